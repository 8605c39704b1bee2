"""Memory stays bounded however large the body and however slow the peer.

The bound, per exchange that is stuck: the watermark of each direction, one read, and what HTTP/2 windows let in
(64 KiB per stream on each side). PER_EXCHANGE is that with room for malloc; bodies are 50 MB, so that anything that
is collected instead of streamed is seen at once.
"""
import socket
import threading

import pytest

from harness import config
from harness.http1 import Connection

MB = 1_000_000
SIZE = 50 * MB
EXCHANGES = 4
PER_EXCHANGE = 1536  # KiB
PIECE = b"m" * 65536


class Steady:
    """Waits until a number has stopped changing."""

    def __init__(self, proxy, number):
        self.proxy, self.number = proxy, number

    def wait(self, quiet=25):
        state = {"last": None, "same": 0}

        def settled():
            now = self.number()
            state["same"] = state["same"] + 1 if now == state["last"] else 0
            state["last"] = now
            return state["same"] >= quiet and now > 0
        self.proxy.wait(settled, "stuck", seconds=30)
        return state["last"]


class Sender:
    """An HTTP/1.1 upstream that sends SIZE bytes and counts what it got rid of."""

    def __init__(self):
        self.sent = 0

    def __call__(self, request, connection):
        connection.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 65536)
        connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % SIZE)
        left = SIZE
        while left:
            connection.send(PIECE[:left])
            self.sent += min(left, len(PIECE))
            left -= min(left, len(PIECE))


def small_window(port):
    """A client connection that the kernel buffers little for."""
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8192)
    sock.connect(("127.0.0.1", port))
    return Connection(sock, timeout=30)


def warm(proxy, client):
    """Resident KiB after the first requests, with all that comes once allocated."""
    for _ in range(3):
        client.get("/warm")
    client.http2().get("/warm")
    return proxy.resident_kib()


def grown(proxy, before, exchanges=EXCHANGES):
    growth = proxy.resident_kib() - before
    assert growth < exchanges * PER_EXCHANGE, f"{growth} KiB more for {exchanges} exchanges"


def drain(connection):
    """Reads a response with Content-Length without keeping it; the bytes of its body."""
    head = connection.head()
    left = int(head.get("content-length")) - len(connection.buffer)
    connection.buffer = b""
    while left:
        piece = connection.socket.recv(1 << 20)
        assert piece, f"closed with {left} bytes to come"
        left -= len(piece)
    return int(head.get("content-length"))


def test_slow_reader_stops_an_http1_upstream(serve, proxy, client, closing):
    sender = Sender()

    def script(request, connection):
        return sender(request, connection) if request.target == "/large" else b"HTTP/1.1 204 No Content\r\n\r\n"
    serve(script)
    before = warm(proxy, client)
    slow = [closing.enter_context(small_window(proxy.port)) for _ in range(EXCHANGES)]
    for connection in slow:
        connection.send("GET /large HTTP/1.1\r\nHost: a\r\n\r\n")
    sent = Steady(proxy, lambda: sender.sent).wait()
    assert sent < EXCHANGES * 8 * MB, "the sender was not stopped"
    grown(proxy, before)
    assert drain(slow[0]) == SIZE  # slow, not stuck
    grown(proxy, before)
    for connection in slow:
        connection.close()


def test_slow_http2_reader_stops_an_http1_upstream(serve, proxy, client, closing):
    sender = Sender()

    def script(request, connection):
        return sender(request, connection) if request.target == "/large" else b"HTTP/1.1 204 No Content\r\n\r\n"
    serve(script)
    before = warm(proxy, client)
    http2 = client.http2(timeout=60)
    http2.flow_control = False  # no WINDOW_UPDATE: the windows of the start are all that the proxy gets
    numbers = [http2.open("/large") for _ in range(EXCHANGES)]
    http2.wait(lambda: sum(len(http2.streams[number].body) for number in numbers) >= 65535)
    sent = Steady(proxy, lambda: sender.sent).wait()
    assert sent < EXCHANGES * 8 * MB
    grown(proxy, before)
    assert http2.get("/warm").status == 204  # stuck streams do not hold up others
    for number in numbers:
        http2.state.reset_stream(number)
    http2.flush()


@pytest.mark.parametrize("front", ["h1", "h2"])
def test_slow_reader_stops_an_http2_upstream(serve_h2, proxy, client, closing, front):
    body = memoryview(bytes(SIZE))

    def script(connection, number, request):
        large = dict(request["headers"])[":path"] == "/large"
        connection.respond(number, headers=[("content-length", str(SIZE if large else 2))], body=body if large else b"ok")
    server = serve_h2(script)
    before = warm(proxy, client)
    if front == "h1":
        slow = [closing.enter_context(small_window(proxy.port)) for _ in range(EXCHANGES)]
        for connection in slow:
            connection.send("GET /large HTTP/1.1\r\nHost: a\r\n\r\n")
    else:
        slow = client.http2(timeout=60)
        slow.flow_control = False
        for _ in range(EXCHANGES):
            slow.open("/large")
        slow.wait(lambda: sum(len(stream.body) for stream in slow.streams.values()) >= 65535)

    def left():
        return sum(len(unsent[0]) for connection in server.connections for unsent in list(connection.unsent.values()))
    stuck = Steady(proxy, left).wait()
    assert stuck > EXCHANGES * (SIZE - 8 * MB), "the sender was not stopped"
    grown(proxy, before)
    assert client.get("/warm").body == b"ok"  # the same upstream connection still serves others
    if front == "h1":
        assert drain(slow[0]) == SIZE
        for connection in slow:
            connection.close()


def upload(port, path="/", count=SIZE):
    """Sends a body in a thread; returns (thread, [bytes sent], connection)."""
    connection, sent = Connection.to(port, timeout=60), [0]

    def run():
        connection.send(f"POST {path} HTTP/1.1\r\nHost: a\r\nContent-Length: {count}\r\n\r\n")
        try:
            while sent[0] < count:
                connection.send(PIECE[:count - sent[0]])
                sent[0] += min(len(PIECE), count - sent[0])
        except OSError:
            pass
    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    return thread, sent, connection


def test_slow_upstream_stops_an_http1_sender(serve, proxy, client, closing):
    release = threading.Event()

    def handle(connection):
        while (head := connection.head()).target == "/warm":
            connection.send(b"HTTP/1.1 204 No Content\r\n\r\n")
        release.wait(60)
        left = int(head.get("content-length")) - len(connection.buffer)
        connection.buffer = b""
        while left:
            left -= len(connection.socket.recv(min(left, 1 << 20)))
        connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
    serve(None, config.limits(bodyMinimumRate=0), serve=handle)
    before = warm(proxy, client)
    uploads = [upload(proxy.port) for _ in range(EXCHANGES)]
    sent = Steady(proxy, lambda: sum(one[1][0] for one in uploads)).wait()
    # Four socket buffers on the way hold up to 6 MB each.
    assert sent < EXCHANGES * 30 * MB, "the sender was not stopped"
    grown(proxy, before)
    release.set()
    for thread, total, connection in uploads:
        thread.join(60)
        assert total[0] == SIZE and connection.response().status == 200
        connection.close()
    grown(proxy, before)


def test_slow_upstream_closes_the_window_of_an_http2_sender(serve, proxy, client):
    """RFC 9113 §6.9: the windows that the proxy announced are all that a client can send."""
    release = threading.Event()

    def handle(connection):
        while (head := connection.head()).target == "/warm":
            connection.send(b"HTTP/1.1 204 No Content\r\n\r\n")
        release.wait(60)
        connection.chunked(head) if head.get("transfer-encoding") else connection.exactly(int(head.get("content-length")))
        connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
    serve(None, config.limits(bodyMinimumRate=0), serve=handle)
    before = warm(proxy, client)
    http2 = client.http2(timeout=5)
    number = http2.open("/up", "POST", end=False)
    sent = 0
    with pytest.raises(TimeoutError):  # no more WINDOW_UPDATE
        while sent < SIZE:
            room = min(http2.state.local_flow_control_window(number), http2.state.max_outbound_frame_size)
            if room == 0:
                http2.pump(2)
                continue
            http2.state.send_data(number, PIECE[:room])
            http2.flush()
            sent += room
    assert sent < 12 * MB
    grown(proxy, before, 2)
    release.set()
    http2.timeout = 30
    http2.send(number, b"end", end=True)
    assert http2.finished(number).status == 200


def test_slow_senders_of_heads_cost_little(serve, proxy, client):
    """500 connections that each have sent half a head."""
    serve(None, config.limits(headerTimeout="60s"))
    before = warm(proxy, client)
    connections = [client.http1() for _ in range(500)]
    for connection in connections:
        connection.send("GET / HTTP/1.1\r\nHost: a\r\nX-Half: " + "x" * 200)
    assert client.get().status == 200
    assert proxy.resident_kib() - before < 500 * 20


def test_slow_sender_is_forwarded_as_it_comes(serve, client):
    """A slow body reaches the upstream piece by piece, and nothing waits for the rest."""
    arrived = threading.Semaphore(0)

    def handle(connection):
        connection.head()
        for _ in range(5):
            connection.exactly(4)
            arrived.release()
        connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
    serve(serve=handle)
    connection = client.http1()
    connection.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 20\r\n\r\n")
    for _ in range(5):
        connection.send("slow")
        assert arrived.acquire(timeout=5)
    assert connection.response().status == 200
