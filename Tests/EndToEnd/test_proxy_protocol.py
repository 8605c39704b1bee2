"""PROXY protocol, versions 1 and 2, in and out (haproxy.org/download/1.8/doc/proxy-protocol.txt)."""
import json
import socket
import struct

import pytest

from harness import config
from harness.upstream import answer

SIGNATURE = b"\r\n\r\n\x00\r\nQUIT\n"
REQUEST = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"


def version2(source="203.0.113.7", command=1, family=0x11, extra=b"", length=None):
    if family == 0x11:
        body = socket.inet_aton(source) + socket.inet_aton("127.0.0.1") + struct.pack(">HH", 4711, 80)
    elif family == 0x21:
        body = socket.inet_pton(socket.AF_INET6, source) * 2 + struct.pack(">HH", 4711, 80)
    else:
        body = b""
    body += extra
    return SIGNATURE + bytes([0x20 | command, family]) + struct.pack(">H", len(body) if length is None else length) + body


@pytest.fixture
def behind(serve):
    """A listener that wants a PROXY header."""
    return lambda **limits: serve(None, config.listener_policy(proxyProtocol=True, **({"limits": limits} if limits else {})))


@pytest.mark.parametrize("header, source", [
    (b"PROXY TCP4 203.0.113.7 127.0.0.1 4711 80\r\n", "203.0.113.7"),
    (b"PROXY TCP6 2001:db8::7 ::1 4711 80\r\n", "2001:db8::7"),
    (b"PROXY UNKNOWN\r\n", "127.0.0.1"),
    (b"PROXY UNKNOWN ffff::1 ffff::2 1 2\r\n", "127.0.0.1"),
    (version2(), "203.0.113.7"), (version2("2001:db8::7", family=0x21), "2001:db8::7"),
    (version2(extra=b"\x04\x00\x03abc"), "203.0.113.7"), (version2(command=0, family=0), "127.0.0.1"),
])
@pytest.mark.parametrize("pieces", [False, True])
def test_source_address_in(behind, client, header, source, pieces):
    behind()
    connection = client.http1()
    for part in [bytes([byte]) for byte in header] if pieces else [header]:
        connection.send(part)
    connection.send(REQUEST)
    headers = {name.lower(): value for name, value in json.loads(connection.response().body)["headers"]}
    assert headers["x-forwarded-for"] == source


@pytest.mark.parametrize("header", [
    REQUEST, b"PROXY TCP4 999.0.0.1 127.0.0.1 1 2\r\n", b"PROXY TCP4 1.2.3.4 127.0.0.1 1 99999\r\n",
    b"PROXY TCP4 1.2.3.4 127.0.0.1 1\r\n", b"PROXY  TCP4 1.2.3.4 127.0.0.1 1 2\r\n", b"PROXY TCP4 " + b"1" * 200,
    b"PROXY TCP4 1.2.3.4 127.0.0.1 1 2\n", version2(command=2), version2(length=3),
    SIGNATURE + b"\x11\x11\x00\x00", SIGNATURE[:-1] + b"X" + b"\x21\x11\x00\x0c" + bytes(12)])
def test_anything_else_closes(behind, client, header):
    server = behind(handshakeTimeout="700ms")
    connection = client.http1()
    connection.send(header + REQUEST)
    assert connection.is_closed()
    assert not server.requests


def test_header_is_not_believed_without_the_setting(serve, client):
    server = serve()
    connection = client.http1()
    connection.send(b"PROXY TCP4 203.0.113.7 127.0.0.1 4711 80\r\n" + REQUEST)
    assert connection.response().status == 400
    assert not server.requests


@pytest.mark.parametrize("version", ["v1", "v2"])
@pytest.mark.parametrize("kind", ["http", "tcp"])
def test_header_out(proxy, upstream, client, version, kind):
    def serve(connection):
        if version == "v1":
            line = connection.until(b"\r\n").decode().split()
            source, port = line[2], int(line[4])
        else:
            head = connection.exactly(16)
            assert head[:12] == SIGNATURE and head[12:14] == b"\x21\x11"
            body = connection.exactly(struct.unpack(">H", head[14:])[0])
            source, port = socket.inet_ntoa(body[:4]), struct.unpack(">H", body[8:10])[0]
        connection.request()
        connection.send(answer(f"{source} {port}"))
    server = upstream(serve=serve)
    listener, made = (config.http, config.route(config.rule("app"))) if kind == "http" else \
        (config.tcp, config.tcp_route("app"))
    proxy.start([config.gateway(listener(proxy.port)), config.backend("app", server.port, proxyProtocol=version), made])
    connection = client.http1()
    address, port = connection.socket.getsockname()
    assert connection.get().body.decode() == f"{address} {port}"
