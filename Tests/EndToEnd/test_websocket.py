"""WebSockets: the HTTP/1.1 upgrade, and extended CONNECT over HTTP/2 (RFC 8441), against Python `websockets`."""
import os
import struct
import threading

import pytest
from websockets.sync.client import connect
from websockets.sync.server import serve as serve_websocket

from harness import config
from harness.ports import free_port
from harness.upstream import answer

CONNECT = [(":method", "CONNECT"), (":protocol", "websocket"), (":scheme", "http"), (":path", "/chat"),
           (":authority", "localhost")]
VERSION = [("sec-websocket-version", "13")]


def frame(payload, opcode=1):
    """A masked client frame."""
    mask = os.urandom(4)
    size = bytes([0x80 | len(payload)]) if len(payload) < 126 else b"\xfe" + struct.pack(">H", len(payload))
    return bytes([0x80 | opcode]) + size + mask + bytes(byte ^ mask[index % 4] for index, byte in enumerate(payload))


@pytest.fixture
def chat(proxy, closing):
    """The proxy before a WebSocket server that echoes, and records what it saw of the request."""
    port = free_port()
    seen = []

    def handler(connection):
        seen.append((connection.request.path, dict(connection.request.headers)))
        for message in connection:
            connection.send(message)
    server = closing.enter_context(serve_websocket(handler, "127.0.0.1", port, max_size=None))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    proxy.start(config.simple(proxy.port, port))
    return seen


def test_echo(chat, proxy):
    with connect(f"ws://127.0.0.1:{proxy.port}/chat?room=1", max_size=None) as socket:
        for message in ("text", b"\x00binary\xff", "ü" * 1000, b"x" * (1 << 20)):
            socket.send(message)
            assert socket.recv(5) == message
        assert socket.ping().wait(5)
    path, headers = chat[0]
    assert path == "/chat?room=1" and headers["x-forwarded-for"] == "127.0.0.1"
    assert socket.close_code == 1000


def test_many_at_once(chat, proxy):
    sockets = [connect(f"ws://127.0.0.1:{proxy.port}/") for _ in range(50)]
    for number, socket in enumerate(sockets):
        socket.send(str(number))
    assert [socket.recv(5) for socket in sockets] == [str(number) for number in range(50)]
    for socket in sockets:
        socket.close()


def test_refused_upgrade_is_an_ordinary_answer(serve, client):
    serve(lambda *_: answer("no", "403 Forbidden"))
    connection = client.http1()
    upgrade = [("Connection", "Upgrade"), ("Upgrade", "websocket"), ("Sec-WebSocket-Version", "13"),
               ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==")]
    assert connection.get(headers=upgrade).status == 403
    assert connection.get(headers=upgrade).status == 403  # still HTTP


def test_nothing_is_forwarded_before_101(serve, client):
    """Upgrade smuggling: bytes behind an upgrade request are no tunnel until the upstream has agreed."""
    def handle(connection):
        head = connection.head()
        early = not connection.is_silent(0.4)
        connection.send(answer("early" if early else "silent"))
        if not early:
            connection.request()
            connection.send(answer("next"))
    server = serve(serve=handle)
    connection = client.http1()
    connection.send("GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
                    "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
                    "GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n")
    assert connection.response().body == b"silent"
    assert b"/smuggled" not in server.received.partition(b"\r\n\r\n")[0]


def test_101_without_upgrade_request_is_an_error(serve, client):
    serve(lambda *_: b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
    assert client.get().status == 502


def test_extended_connect_to_an_http1_upstream(chat, client):
    http2 = client.http2(strict=False)
    http2.wait(lambda: http2.state.remote_settings.enable_connect_protocol == 1)
    number = http2.open(pseudo=CONNECT, headers=VERSION, end=False)
    stream = http2.streams[number]
    http2.wait(lambda: stream.headers)
    assert stream.status == 200
    http2.send(number, frame(b"over h2"))
    http2.wait(lambda: len(stream.body) >= 9)
    assert stream.body == b"\x81\x07over h2"
    http2.send(number, frame(struct.pack(">H", 1000), opcode=8))
    http2.wait(lambda: stream.ended or stream.reset is not None)
    assert stream.body[9:11] == b"\x88\x02"
    assert chat[0][0] == "/chat"


def test_extended_connect_refused_by_the_upstream(serve, client):
    serve(lambda *_: answer("no", "403 Forbidden"))
    http2 = client.http2(strict=False)
    http2.wait(lambda: http2.state.remote_settings.enable_connect_protocol == 1)
    number = http2.open(pseudo=CONNECT, headers=VERSION, end=False)
    http2.wait(lambda: http2.streams[number].headers)
    assert http2.streams[number].status == 403


def test_http1_upgrade_to_an_http2_upstream(serve_h2, client):
    """The other way: HTTP/1.1 upgrade in front, extended CONNECT behind."""
    from h2.settings import SettingCodes

    def on_head(connection, number, request):
        connection.state.send_headers(number, [(":status", "200")])
        connection.state.send_data(number, b"\x81\x02hi")
    server = serve_h2(on_head=on_head, settings={SettingCodes.ENABLE_CONNECT_PROTOCOL: 1})
    connection = client.http1()
    connection.send("GET /chat HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
                    "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n")
    head = connection.head()
    assert head.status == 101 and head.get("sec-websocket-accept") == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
    assert connection.exactly(4) == b"\x81\x02hi"
    fields = dict(server.requests[0]["headers"])
    assert (fields[":method"], fields[":protocol"], fields[":path"]) == ("CONNECT", "websocket", "/chat")


def test_endpoint_that_ignores_the_upgrade_opens_no_tunnel(serve, client):
    """200 to CONNECT is a tunnel (RFC 9113 §8.5): an HTTP/1.1 endpoint's ordinary 200 must not look like one."""
    serve(lambda *_: answer("a page"))
    http2 = client.http2(strict=False)
    http2.wait(lambda: http2.state.remote_settings.enable_connect_protocol == 1)
    number = http2.open(pseudo=CONNECT, headers=VERSION, end=False)
    stream = http2.streams[number]
    http2.wait(lambda: stream.headers)
    assert (stream.status, stream.get("x-martlet-reason")) == (502, "upgrade_refused")


def test_http2_endpoint_without_extended_connect_refuses_the_upgrade(serve_h2, client):
    from h2.errors import ErrorCodes

    def on_head(connection, number, request):  # as RFC 8441 §3 has it, and most servers do it
        connection.state.reset_stream(number, ErrorCodes.PROTOCOL_ERROR)
    serve_h2(on_head=on_head)
    response = client.get(headers=[("Connection", "Upgrade"), ("Upgrade", "websocket"), ("Sec-WebSocket-Version", "13"),
                                   ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==")])
    assert (response.status, response.get("x-martlet-reason")) == (502, "upgrade_refused")
