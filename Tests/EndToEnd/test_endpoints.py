"""Where endpoints are: names, IPv6, unix sockets; limits of their connections."""
import json
import socket
import threading
import time

import pytest

from harness import config
from harness.http1 import Connection
from harness.ports import free_port
from harness.upstream import Upstream, answer


def serving(proxy, *endpoints, **backend):
    return [config.gateway(config.http(proxy.port)), config.backend("app", endpoints=list(endpoints), **backend),
            config.route(config.rule("app"))]


def named(hostname, port):
    return {"fqdn": {"hostname": hostname, "port": port}}


@pytest.fixture
def localhost(closing):
    """The port of an upstream on every address of localhost."""
    port = free_port()
    addresses = {info[4][0] for info in socket.getaddrinfo("localhost", port, type=socket.SOCK_STREAM)}
    for address in addresses:
        made = Upstream(lambda *_: answer("by name"), host=address, port=port)
        closing.callback(made.close)
    return port


def test_endpoint_by_name(proxy, client, localhost):
    proxy.start(serving(proxy, named("localhost", localhost)))
    assert [client.get().body for _ in range(10)] == [b"by name"] * 10


def test_names_beside_addresses(proxy, upstream, client, localhost):
    other = upstream(lambda *_: answer("by address"))
    proxy.start(serving(proxy, named("localhost", localhost), {"ip": {"address": "127.0.0.1", "port": other.port}},
                        loadBalancer={"type": "RoundRobin"}), "--loops", "1")
    assert {client.get().body for _ in range(20)} == {b"by name", b"by address"}


def test_name_that_does_not_exist(proxy, client):
    """RFC 6761 §6.4: .invalid never resolves. It must not keep the proxy from starting."""
    proxy.start(serving(proxy, named("no-such-host.invalid", 80)))
    connection = client.http1(timeout=20)
    response = connection.get()
    assert response.status == 503
    assert response.get("x-martlet-reason") in ("endpoint_name_not_resolved", "no_endpoint")


def test_name_that_does_not_exist_leaves_the_others(proxy, upstream, client):
    server = upstream()
    proxy.start(serving(proxy, named("no-such-host.invalid", 80), {"ip": {"address": "127.0.0.1", "port": server.port}}))
    proxy.wait(lambda: client.get().status == 200, "served by the other", seconds=15)
    assert [client.get().status for _ in range(5)] == [200] * 5


def test_ipv6(proxy, client, closing):
    if not socket.has_ipv6:
        pytest.skip("no IPv6 here")
    try:
        server = Upstream(lambda *_: answer("six"), host="::1")
    except OSError:
        pytest.skip("no IPv6 loopback here")
    closing.callback(server.close)
    proxy.start(serving(proxy, {"ip": {"address": "::1", "port": server.port}}))
    assert client.get().body == b"six"


def test_unix_socket(proxy, client, closing, tmp_path):
    path = tmp_path / "app.sock"
    listener = socket.socket(socket.AF_UNIX)
    closing.callback(listener.close)
    listener.bind(str(path))
    listener.listen()

    def run():
        while True:
            try:
                sock, _ = listener.accept()
            except OSError:
                return
            with Connection(sock) as connection:
                while connection.request():
                    connection.send(answer("unix"))
    threading.Thread(target=run, daemon=True).start()
    proxy.start(serving(proxy, {"unix": {"path": str(path)}}))
    assert client.get().body == b"unix"
    with Connection.to(proxy.port) as kept:
        assert [kept.get().body for _ in range(3)] == [b"unix"] * 3


def test_connections_of_a_backend_are_limited(proxy, upstream, client):
    release, peak, lock = threading.Event(), [0, 0], threading.Lock()

    def script(request, connection):
        with lock:
            peak[0] += 1
            peak[1] = max(peak)
        release.wait(5)
        with lock:
            peak[0] -= 1
        return answer("x")
    server = upstream(script)
    proxy.start(serving(proxy, {"ip": {"address": "127.0.0.1", "port": server.port}},
                        connectionLimits={"maxConnections": 2}), "--loops", "1")
    connections = [client.http1() for _ in range(5)]
    for connection in connections:
        connection.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
    time.sleep(0.5)  # nothing to wait for: that no third connection comes
    release.set()
    responses = [connection.response() for connection in connections]
    assert peak[1] <= 2
    assert {response.get("x-martlet-reason") for response in responses if response.status != 200} <= {
        "upstream_connection_limit"}
    assert sum(response.status == 200 for response in responses) >= 2


def test_requests_of_an_upstream_connection_are_limited(proxy, upstream, client):
    server = upstream(lambda *_: answer("x"))
    proxy.start(serving(proxy, {"ip": {"address": "127.0.0.1", "port": server.port}},
                        connectionLimits={"maxRequestsPerConnection": 3}), "--loops", "1")
    connection = client.http1()
    assert [connection.get().status for _ in range(9)] == [200] * 9
    assert len(server.connections) == 3


def test_idle_upstream_connections_end(proxy, upstream, client, eventually):
    server = upstream(lambda *_: answer("x"))
    proxy.start(serving(proxy, {"ip": {"address": "127.0.0.1", "port": server.port}}, timeouts={"idle": "300ms"}))
    assert client.get().status == 200
    eventually(lambda: proxy.metric("martlet_upstream_connections_active") == 0, "the idle connection's end")
    assert client.get().status == 200 and len(server.connections) == 2


@pytest.mark.parametrize("first", ["address", "name"])
def test_one_address_twice_is_one_endpoint(proxy, upstream, client, localhost, eventually, first):
    other = upstream(lambda *_: answer("other"))
    address = {"ip": {"address": "127.0.0.1", "port": localhost}}
    twice = [address, address] if first == "address" else [named("localhost", localhost), address]
    check = config.traffic_policy("app", healthCheck={"http": {"path": "/"}, "interval": "200ms", "timeout": "150ms"},
                                  outlierDetection={"consecutive5xx": 3})
    rest = {"ip": {"address": "127.0.0.1", "port": other.port}}

    def rows():
        return [row["endpoint"] for row in json.loads(proxy.admin("/upstreams")[2])]
    proxy.start([*serving(proxy, *twice, rest), check], "--loops", "2")
    eventually(lambda: {client.get().body for _ in range(10)} == {b"by name", b"other"})
    assert rows().count(f"127.0.0.1:{localhost}") == 1
    # The name may have other addresses, where nobody is.
    eventually(lambda: proxy.metric("martlet_upstream_endpoints", state="available") == 2)
    proxy.edit([*serving(proxy, rest), check])
    eventually(lambda: rows() == [f"127.0.0.1:{other.port}"])
    assert proxy.metric("martlet_upstream_endpoints", state="available") == 1
    assert {client.get().body for _ in range(10)} == {b"other"}
    proxy.edit([*serving(proxy, *twice), check])
    eventually(lambda: rows().count(f"127.0.0.1:{localhost}") == 1)
    assert {client.get().body for _ in range(10)} == {b"by name"}
