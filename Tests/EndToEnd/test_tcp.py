"""TCP listeners: bytes through, half-closes kept, nothing invented."""
import threading
import time

import pytest

from harness import config
from harness.ports import free_port


def echo(connection):
    while connection.fill():
        connection.send(connection.buffer)
        connection.buffer = b""


@pytest.fixture
def tunnel(proxy, upstream):
    def start(serve=echo, **backend):
        server = upstream(serve=serve)
        proxy.start([config.gateway(config.tcp(proxy.port)), config.backend("app", server.port, **backend),
                     config.tcp_route("app")])
        return server
    return start


def test_bytes_pass_both_ways(tunnel, client):
    tunnel()
    connection = client.http1()
    for message in (b"\x00\x01binary", b"second", b"GET / HTTP/1.1\r\n\r\n"):
        connection.send(message)
        assert connection.exactly(len(message)) == message


def test_server_speaks_first(tunnel, client):
    tunnel(lambda connection: (connection.send(b"220 hello\r\n"), connection.fill()))
    assert client.http1().until(b"\r\n") == b"220 hello\r\n"


def test_half_close_of_the_client(tunnel, client):
    tunnel(lambda connection: connection.send(b"%d" % len(connection.to_end())))
    connection = client.http1()
    connection.send(b"x" * 100_000)
    connection.finish()
    assert connection.to_end() == b"100000"


def test_half_close_of_the_server(tunnel, client):
    got = []

    def serve(connection):
        connection.send(b"done")
        connection.finish()
        got.append(connection.to_end())
    tunnel(serve)
    connection = client.http1()
    assert connection.to_end() == b"done"
    connection.send(b"still talking")
    connection.finish()
    deadline = time.monotonic() + 5
    while not got and time.monotonic() < deadline:
        time.sleep(0.02)
    assert got == [b"still talking"]


def test_large_transfer(tunnel, client):
    tunnel()
    connection = client.http1()
    data = bytes(range(256)) * (8 << 12)
    sender = threading.Thread(target=lambda: (connection.send(data), connection.finish()))
    sender.start()
    assert connection.to_end() == data
    sender.join()


def test_refused_upstream_closes_the_client(proxy, client, refusing_port):
    proxy.start([config.gateway(config.tcp(proxy.port)), config.backend("app", refusing_port), config.tcp_route("app")])
    connection = client.http1()
    assert connection.is_closed() and connection.received == b""


def test_many_connections(tunnel, client):
    tunnel()
    connections = [client.http1() for _ in range(200)]
    for number, connection in enumerate(connections):
        connection.send(b"%03d" % number)
    assert [connection.exactly(3) for connection in connections] == [b"%03d" % number for number in range(200)]


def streams(proxy, *ports, **policy):
    proxy.start([config.gateway(config.tcp(proxy.port)), config.backend("app", *ports), config.tcp_route("app"),
                 config.traffic_policy("app", **policy)], "--loops", "1")


def test_another_endpoint_is_tried(proxy, upstream, client):
    """What the client says at once is not lost with the first."""
    server = upstream(serve=echo)
    streams(proxy, free_port(), server.port, loadBalancer={"type": "ROUND_ROBIN"})
    for _ in range(8):
        connection = client.http1()
        connection.send(b"hello")
        connection.finish()
        assert connection.to_end() == b"hello"


def test_an_endpoint_that_refuses_is_ejected_and_comes_back(proxy, upstream, client, eventually):
    port, server = free_port(), upstream(serve=echo)
    streams(proxy, port, server.port, loadBalancer={"type": "ROUND_ROBIN"}, outlierDetection={
        "consecutiveGatewayErrors": 2, "baseEjectionTime": "1s", "interval": "500ms", "maxEjectionPercent": 100})

    def ask():
        connection = client.http1()
        connection.send(b"hello")
        return connection.exactly(5) == b"hello"

    def ejected():
        return proxy.metric("martlet_upstream_endpoints", state="ejected")
    eventually(lambda: ask() and ejected() == 1)
    late = upstream(serve=echo, port=port)
    eventually(lambda: ask() and ejected() == 0 and late.connections, seconds=20)


def test_the_least_busy_endpoint_is_next(proxy, upstream, client):
    servers = [upstream(serve=echo) for _ in range(2)]
    streams(proxy, *(server.port for server in servers), loadBalancer={"type": "LEAST_REQUEST"})
    held = []
    for _ in range(12):
        held.append(client.http1())
        held[-1].send(b"x")
        assert held[-1].exactly(1) == b"x"
    assert sorted(len(server.connections) for server in servers) == [6, 6]


def test_an_endpoint_that_is_full_is_passed_over(proxy, upstream, client):
    """Though all streams of one client belong there."""
    servers = [upstream(serve=echo) for _ in range(3)]
    streams(proxy, *(server.port for server in servers), connectionLimits={"endpoint": {"maxConnections": 1}},
            loadBalancer={"type": "MAGLEV", "hash": [{"sourceIP": True}]})
    held = [client.http1() for _ in range(3)]
    for connection in held:
        connection.send(b"x")
        assert connection.exactly(1) == b"x"
    assert [len(server.connections) for server in servers] == [1, 1, 1]
    assert client.http1().to_end() == b""
    held.pop().close()
