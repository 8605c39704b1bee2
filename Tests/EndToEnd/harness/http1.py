"""HTTP/1.1 on a raw socket, for clients and upstreams: nothing is tidied up on the way."""
import dataclasses
import socket
import ssl


@dataclasses.dataclass
class Message:
    """A request or response as it was on the wire."""
    start: str
    headers: list
    body: bytes = b""
    trailers: list = dataclasses.field(default_factory=list)
    raw_head: bytes = b""

    @property
    def status(self):
        return int(self.start.split(" ")[1])

    @property
    def method(self):
        return self.start.split(" ")[0]

    @property
    def target(self):
        return self.start.split(" ")[1]

    def all(self, name):
        return [value for key, value in self.headers if key.lower() == name.lower()]

    def get(self, name, default=None):
        return next(iter(self.all(name)), default)


class Closed(Exception):
    """The peer closed where more was expected; `received` is what came."""

    def __init__(self, received=b""):
        super().__init__(f"closed after {received[-200:]!r}")
        self.received = received


class Connection:
    """One socket with a read buffer."""

    def __init__(self, sock, timeout=8):
        self.socket = sock
        self.socket.settimeout(timeout)
        if sock.family in (socket.AF_INET, socket.AF_INET6):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.buffer = b""
        self.received = b""  # everything, ever

    @classmethod
    def to(cls, port, tls=None, name="localhost", timeout=8, **options):
        sock = socket.create_connection(("127.0.0.1", port), timeout, **options)
        if tls:
            sock = tls.wrap_socket(sock, server_hostname=name)
        return cls(sock, timeout)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        try:
            self.socket.close()
        except OSError:
            pass

    def send(self, data):
        self.socket.sendall(data.encode() if isinstance(data, str) else data)

    def finish(self):
        """No more from this side."""
        self.socket.shutdown(socket.SHUT_WR)

    def fill(self):
        """Reads once; False at the end."""
        try:
            piece = self.socket.recv(65536)
        except (ConnectionResetError, ssl.SSLEOFError, BrokenPipeError):
            piece = b""
        self.buffer += piece
        self.received += piece
        return bool(piece)

    def until(self, mark):
        while mark not in self.buffer:
            if not self.fill():
                raise Closed(self.buffer)
        before, _, self.buffer = self.buffer.partition(mark)
        return before + mark

    def exactly(self, count):
        while len(self.buffer) < count:
            if not self.fill():
                raise Closed(self.buffer)
        data, self.buffer = self.buffer[:count], self.buffer[count:]
        return data

    def to_end(self):
        while self.fill():
            pass
        data, self.buffer = self.buffer, b""
        return data

    def is_closed(self, seconds=3):
        """True if the peer closes within seconds; bytes that come before count as read."""
        self.socket.settimeout(seconds)
        try:
            while self.fill():
                pass
            return True
        except TimeoutError:
            return False

    def is_silent(self, seconds=0.3):
        """True if neither bytes nor a close come within seconds."""
        if self.buffer:
            return False
        before = self.socket.gettimeout()
        self.socket.settimeout(seconds)
        try:
            self.fill()
            return False
        except TimeoutError:
            return True
        finally:
            self.socket.settimeout(before)

    def head(self):
        raw = self.until(b"\r\n\r\n")
        lines = raw[:-4].decode("latin-1").split("\r\n")
        headers = [tuple(part.strip() for part in line.split(":", 1)) for line in lines[1:]]
        return Message(lines[0], headers, raw_head=raw)

    def chunked(self, message):
        while True:
            size = int(self.until(b"\r\n").split(b";")[0], 16)
            if size == 0:
                break
            message.body += self.exactly(size)
            assert self.exactly(2) == b"\r\n"
        while (line := self.until(b"\r\n")) != b"\r\n":
            message.trailers.append(tuple(part.strip() for part in line.decode("latin-1").split(":", 1)))

    def request(self):
        """One whole request; None if the peer closed between two."""
        try:
            message = self.head()
        except Closed as closed:
            if closed.received:
                raise
            return None
        if message.get("transfer-encoding"):
            self.chunked(message)
        elif message.get("content-length"):
            message.body = self.exactly(int(message.get("content-length")))
        return message

    def response(self, method="GET", interim=False):
        """One whole response; interim ones (1xx but 101) are skipped unless asked for."""
        while True:
            message = self.head()
            assert message.start.startswith("HTTP/1."), message.start
            if message.status == 101 or message.status >= 200 or interim:
                break
        if method == "HEAD" or message.status in (204, 304) or message.status < 200:
            return message
        if (message.get("transfer-encoding") or "").lower() == "chunked":
            self.chunked(message)
        elif message.get("content-length") is not None:
            message.body = self.exactly(int(message.get("content-length")))
        else:
            message.body = self.to_end()
        return message

    def get(self, path="/", host="localhost", method="GET", headers=(), body=None):
        """Sends one well-formed request and reads the response."""
        lines = [f"{method} {path} HTTP/1.1", f"Host: {host}", *(f"{name}: {value}" for name, value in headers)]
        if body is not None:
            lines.append(f"Content-Length: {len(body)}")
        self.send("\r\n".join(lines).encode() + b"\r\n\r\n" + (body or b""))
        return self.response(method)


def fetch(port, path="/", **request):
    """One request on a connection of its own."""
    tls, name = request.pop("tls", None), request.pop("name", "localhost")
    with Connection.to(port, tls, name) as connection:
        return connection.get(path, **request)
