"""What the soak does to a proxy at the same time: good clients, whose every failure counts, and bad ones."""
import random
import socket
import time

from h2.errors import ErrorCodes
from hyperframe.frame import ContinuationFrame, DataFrame, HeadersFrame, PingFrame, RstStreamFrame, SettingsFrame
from websockets.exceptions import WebSocketException
from websockets.sync.client import connect

from .grpc_echo import Request, channel, stub
from .http1 import Connection
from .http2 import H2Client, RawH2
from .load import HTTP1, HTTP2


class Kept:
    """Asks over a kept connection and checks the answer: a worker of `load` with an expectation."""

    def __init__(self, worker, statuses=(200,)):
        self.worker, self.statuses = worker, statuses

    def __call__(self):
        try:
            status, body = self.worker.ask()
        except Exception:
            self.worker.close()
            raise
        if status not in self.statuses:
            raise AssertionError(f"{status} {body[:200]!r}")

    def close(self):
        self.worker.close()


class Calls:
    """gRPC: unary, a server stream, a bidirectional stream."""

    def __init__(self, port):
        self.channel = channel(port)
        self.stub = stub(self.channel)
        self.turn = 0

    def __call__(self):
        self.turn += 1
        payload = b"%d" % self.turn
        if self.turn % 3 == 0:
            assert len(list(self.stub.ServerStream(Request(count=20), timeout=20))) == 20
        elif self.turn % 3 == 1:
            assert self.stub.Unary(Request(payload=payload), timeout=20).payload == payload
        else:
            requests = [Request(payload=b"%d" % number) for number in range(5)]
            assert [one.payload for one in self.stub.Bidirectional(iter(requests), timeout=20)] == [
                one.payload for one in requests]

    def close(self):
        self.channel.close()


class Sockets:
    """A WebSocket that talks for a while, then another."""

    def __init__(self, port):
        self.port, self.socket, self.messages = port, None, 0

    def __call__(self):
        if self.socket is None:
            self.socket, self.messages = connect(f"ws://127.0.0.1:{self.port}/ws", open_timeout=20), 0
        try:
            message = "m" * random.randint(1, 5000)
            self.socket.send(message)
            assert self.socket.recv(20) == message
        except WebSocketException:
            self.close()
            raise
        self.messages += 1
        if self.messages == 200:
            self.close()

    def close(self):
        if self.socket:
            self.socket.close()
        self.socket = None


class Bad:
    """A client whose misbehaviour is the point: what happens to its own connections is expected."""

    def __init__(self, act):
        self.act = act

    def __call__(self):
        try:
            self.act()
        except (OSError, AssertionError, EOFError):
            pass

    def close(self):
        pass


def resets(port):
    """Streams that are reset at random points, on one connection."""
    with H2Client(port) as client:
        for _ in range(20):
            number = client.open("/h1/large")
            if random.random() < 0.5:
                client.pump(1)
            if not client.streams[number].ended:
                client.state.reset_stream(number, ErrorCodes.CANCEL)
                client.flush()


def hang_ups(port):
    """HTTP/1.1 clients that leave: in the head, in the body, in the response."""
    for data in ("GET / HT", "POST /h1 HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\nhalf",
                 "GET /h1/large HTTP/1.1\r\nHost: a\r\n\r\n", "GET /flaky HTTP/1.1\r\nHost: a\r\n\r\n"):
        with Connection.to(port) as connection:
            connection.send(data)
            if data.startswith("GET /h1"):
                connection.socket.recv(1000)


def slow_reader(port):
    """Takes a large response in small sips, for some seconds, and leaves."""
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8192)
    sock.settimeout(5)
    with sock:
        sock.connect(("127.0.0.1", port))
        sock.sendall(b"GET /h1/large HTTP/1.1\r\nHost: a\r\n\r\n")
        for _ in range(50):
            if not sock.recv(4096):
                return
            time.sleep(0.1)


def slow_sender(port):
    """Sends a body by the byte, fast enough not to be refused."""
    with Connection.to(port) as connection:
        connection.send("POST /h1 HTTP/1.1\r\nHost: a\r\nContent-Length: 2000\r\n\r\n")
        for _ in range(20):
            connection.send("b" * 100)
            time.sleep(0.15)
        connection.response()


FLOODS = {
    "rapid reset": lambda raw, turn: [raw.headers(1 + 2 * turn), RstStreamFrame(1 + 2 * turn, error_code=8)],
    "ping": lambda raw, turn: [PingFrame(0, opaque_data=b"12345678")] * 10,
    "settings": lambda raw, turn: [SettingsFrame(0, settings={})] * 10,
    "empty data": lambda raw, turn: ([raw.headers(1, flags=("END_HEADERS",))] if turn == 0 else [DataFrame(1)] * 10),
    "continuation": lambda raw, turn: [HeadersFrame(1, data=b"\x82") if turn == 0 else ContinuationFrame(1, data=b"")],
}


def flood(port):
    """One of the floods, until the proxy ends it."""
    make = random.choice(list(FLOODS.values()))
    with RawH2(port) as raw:
        for turn in range(2000):
            if not raw.send(*make(raw, turn)):
                return
        assert raw.ended(5)[1]


def garbage(port):
    """Bytes that are nothing."""
    with Connection.to(port) as connection:
        connection.send(random.randbytes(random.randint(1, 3000)))
        connection.is_closed(2)


def good(port, tls_port, context):
    """name → (how many threads, makes the client)"""
    return {
        "HTTP/1.1": (2, lambda: Kept(HTTP1(port, "/h1"))),
        "HTTP/1.1 large": (1, lambda: Kept(HTTP1(port, "/h1/large"))),
        "HTTP/1.1 to h2": (1, lambda: Kept(HTTP1(port, "/h2"))),
        "h2 to HTTP/1.1": (1, lambda: Kept(HTTP2(port, "/h1"))),
        "h2 to h2": (2, lambda: Kept(HTTP2(port, "/h2"))),
        "TLS HTTP/1.1": (1, lambda: Kept(HTTP1(tls_port, "/h1", context("http/1.1")))),
        "TLS h2": (1, lambda: Kept(HTTP2(tls_port, "/h2", context("h2")))),
        "new TLS connections": (1, lambda: Once(lambda: HTTP1(tls_port, "/h1", context("http/1.1")))),
        "gRPC": (2, lambda: Calls(port)),
        "WebSocket": (2, lambda: Sockets(port)),
        # The upstream behind it restarts: these answers are what the documents promise meanwhile.
        "restarting upstream": (1, lambda: Kept(HTTP1(port, "/flaky"), (200, 502, 503))),
    }


class Once:
    """A connection per request."""

    def __init__(self, make):
        self.make = make

    def __call__(self):
        asking = Kept(self.make())
        try:
            asking()
        finally:
            asking.close()

    def close(self):
        pass


def bad(port):
    """name → (how many threads, makes the client)"""
    acts = {"resets": resets, "hang-ups": hang_ups, "slow readers": slow_reader, "slow senders": slow_sender,
            "h2 floods": flood, "garbage": garbage}
    return {name: (2 if name.startswith("slow") else 1, lambda act=act: Bad(lambda: act(port)))
            for name, act in acts.items()}
