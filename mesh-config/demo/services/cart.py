"""The cart, version 1: HTTP/1.1 on Python's own http.server. Usage: cart.py PORT"""
import http.server
import json
import sys


class Cart(http.server.BaseHTTPRequestHandler):
    """Answers every request with who it is and what arrived."""
    protocol_version = "HTTP/1.1"
    # Heads and bodies leave at once, not when the client has acknowledged the head.
    disable_nagle_algorithm = True

    def do_GET(self):
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        answer = json.dumps({
            "service": "cart-v1", "language": "Python", "method": self.command, "path": self.path,
            "headers": {name.lower(): value for name, value in self.headers.items()}, "body": body.decode("latin-1"),
        }).encode() + b"\n"
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    do_POST = do_GET

    def log_message(self, *arguments):
        """One line per request would drown what matters."""


if __name__ == "__main__":
    http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Cart).serve_forever()
