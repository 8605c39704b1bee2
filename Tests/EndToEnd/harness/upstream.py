"""An upstream whose behaviour each test writes down: a thread per connection, every request and byte recorded."""
import json
import socket
import threading

from .http1 import Closed, Connection
from .ports import free_port


def answer(body=b"ok", status="200 OK", headers=(), **named):
    """The bytes of a response with Content-Length."""
    body = body.encode() if isinstance(body, str) else body
    fields = [*headers, *((name.replace("_", "-"), value) for name, value in named.items())]
    return "".join([f"HTTP/1.1 {status}\r\n", *(f"{name}: {value}\r\n" for name, value in fields),
                    f"content-length: {len(body)}\r\n\r\n"]).encode() + body


def describe(name):
    """A script that answers with JSON: who answered, and the request as it arrived."""
    def script(request, connection):
        seen = {"upstream": name, "start": request.start, "headers": request.headers,
                "body": request.body.decode("latin-1"), "trailers": request.trailers}
        return answer(json.dumps(seen), content_type="application/json")
    return script


class Upstream:
    """Serves on host:port until closed.

    script(request, connection) → bytes to send, or None after it has sent what it wants itself; False closes.
    serve(connection), if given, takes the whole connection instead.
    """

    def __init__(self, script=None, serve=None, tls=None, port=None, host="127.0.0.1"):
        self.script = script or describe("app")
        self.serve = serve or self._serve
        self.tls = tls
        self.requests = []
        self.connections = []
        self.port = port or free_port()
        self._lock = threading.Lock()
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._listener = socket.create_server((host, self.port), family=family, backlog=512)
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    @property
    def received(self):
        """Everything that arrived on any connection."""
        return b"".join(connection.received for connection in self.connections)

    def _accept(self):
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._run, args=(sock,), daemon=True).start()

    def _run(self, sock):
        try:
            if self.tls:
                sock = self.tls.wrap_socket(sock, server_side=True)
            connection = Connection(sock, timeout=60)
        except OSError:
            sock.close()
            return
        with self._lock:
            self.connections.append(connection)
        try:
            self.serve(connection)
        except (Closed, OSError, ValueError, AssertionError):
            pass  # the proxy hung up, or sent what the test will look at in `received`
        finally:
            connection.close()

    def _serve(self, connection):
        while (request := connection.request()) is not None:
            with self._lock:
                self.requests.append(request)
            reply = self.script(request, connection)
            if reply is False:
                return
            if reply:
                connection.send(reply)

    def close(self):
        try:
            self._listener.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self._listener.close()
        for connection in list(self.connections):
            try:
                connection.socket.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
