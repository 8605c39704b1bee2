"""A service in Python, on its own http.server. Usage: service.py NAME PORT [SERVICE...]

It answers with who it is and what the services it calls have answered. It calls them by name, through the proxy beside
it, whose address is in MARTLET_OUTBOUND. A service named grpc:NAME is called by gRPC.
"""
import http.client
import http.server
import json
import os
import pathlib
import sys
import threading

import grpc

sys.path.insert(0, str(pathlib.Path(__file__).parent))  # where grpcio looks for the proto file
OUTBOUND = os.environ.get("MARTLET_OUTBOUND", "127.0.0.1:15001")
NAME, PORT, CALLEES = sys.argv[1], int(sys.argv[2]), sys.argv[3:]
kept = threading.local()
channels = {}


def call_http(service, path):
    """GET on a connection that this thread keeps."""
    if not hasattr(kept, "connection"):
        kept.connection = http.client.HTTPConnection(OUTBOUND, timeout=30)
    try:
        kept.connection.request("GET", path, headers={"host": service})
        response = kept.connection.getresponse()
        text = response.read()
    except (OSError, http.client.HTTPException):
        kept.connection.close()
        raise
    if response.status != 200:
        raise RuntimeError(f"{service}: {response.status} {text.decode().strip()}")
    return json.loads(text)


def call_grpc(service, path):
    receipt = channels[service](messages.Order(item=path))
    return json.loads(receipt.answer)


def call(service, path):
    if service.startswith("grpc:"):
        return call_grpc(service.removeprefix("grpc:"), path)
    return call_http(service, path)


class Service(http.server.BaseHTTPRequestHandler):
    """Answers every GET."""
    protocol_version = "HTTP/1.1"
    # Heads and bodies leave at once, not when the client has acknowledged the head.
    disable_nagle_algorithm = True

    def do_GET(self):
        if self.path == "/healthz":
            return self.answer(200, {"service": NAME})
        try:
            calls = [call(service, self.path) for service in CALLEES]
        except (RuntimeError, OSError, http.client.HTTPException, grpc.RpcError) as error:
            return self.answer(500, {"service": NAME, "error": str(error)})
        return self.answer(200, {"service": NAME, "language": "Python", "instance": PORT, "calls": calls})

    def answer(self, status, value):
        text = json.dumps(value).encode() + b"\n"
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *arguments):
        """One line per request would drown what matters."""


if any(service.startswith("grpc:") for service in CALLEES):
    messages, services = grpc.protos_and_services("shop.proto")
    for callee in CALLEES:
        if callee.startswith("grpc:"):
            # One address for all services: which one is meant says the authority.
            authority = (("grpc.default_authority", callee.removeprefix("grpc:")),)
            stub = services.OrdersStub(grpc.insecure_channel(OUTBOUND, options=authority))
            channels[callee.removeprefix("grpc:")] = stub.Place

if __name__ == "__main__":
    server = http.server.ThreadingHTTPServer(("127.0.0.1", PORT), Service)
    server.daemon_threads = True
    server.serve_forever()
