"""Reviews, several instances: HTTP/1.1 on Python's own http.server. Usage: reviews.py PORT [failing]

`failing` answers 503, as an instance does whose database is gone. /reviews/slow takes half a second.
"""
import http.server
import json
import sys
import time

PORT, IS_FAILING = int(sys.argv[1]), sys.argv[2:] == ["failing"]


class Reviews(http.server.BaseHTTPRequestHandler):
    """Answers every request with who it is, and which attempt reached it."""
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_GET(self):
        if self.path.startswith("/reviews/slow"):
            time.sleep(0.5)
        answer = json.dumps({
            "service": "reviews", "instance": PORT, "attempt": int(self.headers.get("x-martlet-attempt", 1)),
        }).encode() + b"\n"
        self.send_response(503 if IS_FAILING else 200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *arguments):
        """One line per request would drown what matters."""


if __name__ == "__main__":
    http.server.ThreadingHTTPServer(("127.0.0.1", PORT), Reviews).serve_forever()
