import MeshProxy
