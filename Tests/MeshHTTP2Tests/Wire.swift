import MeshHTTP2
