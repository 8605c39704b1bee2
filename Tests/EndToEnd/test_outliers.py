"""Endpoints that fail real requests are taken out for a while, and come back through one request."""
import json
import threading
import time

import pytest

from harness import config
from harness.config import traffic_policy
from harness.http1 import Connection
from harness.upstream import Upstream, answer


class Switch:
    """A script that answers 200, or what it is told."""

    def __init__(self, name):
        self.name, self.status = name, None

    def http1(self, request, connection):
        if self.status == "hang":
            time.sleep(3)
            return False
        if self.status == "reset":
            return False
        return answer(self.name, status=self.status or "200 OK")

    def http2(self, connection, number, request):
        if self.status == "reset":
            return connection.reset(number, 2)
        grpc = ("content-type", "application/grpc") in request["headers"]
        if not grpc:
            return connection.respond(number, int((self.status or "200").split()[0]), body=self.name.encode())
        code = "0" if self.status is None else self.status
        connection.respond(number, headers=[("content-type", "application/grpc")], body=b"\0\0\0\0\0",
                           trailers=[("grpc-status", code)])


@pytest.fixture
def detecting(proxy, upstream, h2_upstream):
    """Two endpoints, round robin: detecting(protocol, **outlierDetection) → the switches a and b."""
    def start(protocol="h1", *more, timeouts=None, loops=2, **detection):
        switches = [Switch("a"), Switch("b")]
        servers = [upstream(one.http1) if protocol == "h1" else h2_upstream(one.http2) for one in switches]
        for switch, server in zip(switches, servers):
            switch.server = server
        documents = [
            config.gateway(config.http(proxy.port)),
            config.backend("app", *(server.port for server in servers),
                           protocol=None if protocol == "h1" else config.H2C),
            config.route(config.rule("app", **({"timeouts": timeouts} if timeouts else {})))]
        settings = {"consecutive5xx": 3, "baseEjectionTime": "1s", "maxEjectionTime": "10s", "interval": "500ms",
                    **detection}
        policy = traffic_policy("app", outlierDetection=settings, loadBalancer={"type": "ROUND_ROBIN"})
        proxy.start([*documents, policy], "--loops", str(loops))
        return switches
    return start


def ejected(proxy):
    return proxy.metric("martlet_upstream_endpoints", state="ejected")


def ask(client, count):
    return [client.get().status for _ in range(count)]


@pytest.mark.parametrize("status", ["500 No", "503 No", "reset"])
def test_failures_in_a_row_eject(detecting, proxy, client, eventually, status):
    a, b = detecting()
    a.status = status
    seen = ask(client, 40)
    # Three failures, and on each loop perhaps one that was on its way.
    assert 3 <= sum(one != 200 for one in seen) <= 5
    assert seen[-20:] == [200] * 20
    assert ejected(proxy) == 1
    assert proxy.metric("martlet_upstream_ejections_total", cause="consecutive_5xx") == 1
    row = next(one for one in json.loads(proxy.admin("/upstreams")[2]) if one["endpoint"].endswith(str(a.server.port)))
    assert row["available"] is False and row["ejection"]["cause"] == "consecutive_5xx" and row["ejection"]["until"]


def test_an_ejected_endpoint_gets_one_request_and_comes_back(detecting, proxy, client, eventually):
    a, b = detecting()
    a.status = "500 No"
    ask(client, 20)
    assert ejected(proxy) == 1
    before = len(a.server.requests)
    # Its time is over: one request, which fails, and it is out for twice as long.
    time.sleep(1.2)
    seen = ask(client, 20)
    assert len(a.server.requests) == before + 1
    assert sum(one != 200 for one in seen) == 1
    assert proxy.metric("martlet_upstream_ejections_total", cause="probe_failed") == 1
    a.status = None
    time.sleep(1.2)
    ask(client, 5)
    assert len(a.server.requests) == before + 1, "2 s are not over"
    time.sleep(1.2)
    ask(client, 20)
    assert ejected(proxy) == 0
    assert len(a.server.requests) > before + 5


def test_only_one_request_at_a_time_is_the_probe(detecting, proxy, client, eventually):
    a, b = detecting(timeouts={"request": "2s"})
    a.status = "500 No"
    ask(client, 20)
    assert ejected(proxy) == 1
    before = len(a.server.requests)
    a.status = "hang"
    time.sleep(1.2)
    connections = [client.http1() for _ in range(10)]
    for connection in connections:
        connection.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
    answers = [connection.response().status for connection in connections]
    assert sorted(answers) == [200] * 9 + [504]
    assert len(a.server.requests) == before + 1
    assert ejected(proxy) == 1, "it took too long: out again"


def test_connect_failures_eject(proxy, upstream, client, refusing_port, eventually):
    good = upstream(lambda *_: answer("good"))
    policy = traffic_policy("app", outlierDetection={"consecutiveConnectFailures": 2}, loadBalancer={"type": "ROUND_ROBIN"})
    proxy.start([*config.simple(proxy.port, good.port, refusing_port), policy])
    # A request of which nothing has left goes to the other endpoint.
    assert ask(client, 20) == [200] * 20
    assert ejected(proxy) == 1
    failures = proxy.metric("martlet_upstream_connect_failures_total")
    assert 2 <= failures <= 4
    assert ask(client, 20) == [200] * 20
    assert proxy.metric("martlet_upstream_connect_failures_total") == failures


def test_timeouts_are_gateway_errors(detecting, proxy, client):
    a, b = detecting(timeouts={"backendRequest": "200ms", "request": "2s"}, consecutive5xx=0, consecutiveGatewayErrors=2)
    a.status = "hang"
    seen = ask(client, 20)
    assert 2 <= seen.count(504) <= 4 and seen[-10:] == [200] * 10
    assert proxy.metric("martlet_upstream_ejections_total", cause="consecutive_gateway_errors") == 1


def test_other_5xx_are_no_gateway_errors(detecting, proxy, client):
    a, b = detecting(consecutive5xx=0, consecutiveGatewayErrors=2)
    a.status = "500 No"
    assert 8 <= ask(client, 20).count(500) <= 12  # each loop takes its own turns
    assert ejected(proxy) == 0


def test_failure_percentage(detecting, proxy, client, eventually):
    a, b = detecting(consecutive5xx=0, failurePercentage={"threshold": 50, "requestVolume": 10})
    a.status = "500 No"
    eventually(lambda: ask(client, 20) and ejected(proxy) == 1)
    assert proxy.metric("martlet_upstream_ejections_total", cause="failure_percentage") == 1


def test_the_last_endpoint_stays(proxy, upstream, client):
    server = upstream(lambda *_: answer("no", status="500 No"))
    proxy.start([*config.simple(proxy.port, server.port), traffic_policy("app", outlierDetection={"consecutive5xx": 1})])
    assert ask(client, 20) == [500] * 20
    assert ejected(proxy) == 0


@pytest.mark.parametrize("code", ["14", "13", "2", "15", "4"])
def test_grpc_statuses_in_trailers_eject(detecting, proxy, client, eventually, code):
    a, b = detecting("h2")
    a.status = code
    http2 = client.http2()
    headers = [("content-type", "application/grpc"), ("te", "trailers")]

    def call():
        stream = http2.post("/s.S/M", b"\0\0\0\0\0", headers=headers)
        return dict(stream.trailers or stream.headers)["grpc-status"]
    seen = [call() for _ in range(30)]
    assert seen.count(code) == 3 and seen[-15:] == ["0"] * 15
    assert ejected(proxy) == 1


def test_grpc_errors_of_the_caller_do_not(detecting, proxy, client):
    a, b = detecting("h2")
    a.status = "5"
    http2 = client.http2()
    for _ in range(20):
        http2.post("/s.S/M", b"\0\0\0\0\0", headers=[("content-type", "application/grpc"), ("te", "trailers")])
    assert ejected(proxy) == 0


def test_http2_resets_eject(detecting, proxy, client):
    a, b = detecting("h2")
    a.status = "reset"
    http2 = client.http2()
    seen = [http2.get().status for _ in range(30)]
    assert sum(one != 200 for one in seen) == 3 and seen[-15:] == [200] * 15


def test_an_ejection_survives_a_reload(detecting, proxy, client, eventually):
    a, b = detecting(baseEjectionTime="30s", maxEjectionTime="60s")
    a.status = "500 No"
    ask(client, 20)
    assert ejected(proxy) == 1
    text = (proxy.directory / "config.yaml").read_text()
    proxy.edit(text.replace("consecutive5xx: 3", "consecutive5xx: 4"))
    eventually(lambda: proxy.metric("martlet_configuration_reloads_total", result="accepted") == 2)
    assert ask(client, 20) == [200] * 20
    assert ejected(proxy) == 1
    # Without detection there is nothing to be out for.
    proxy.edit([*config.simple(proxy.port, a.server.port, b.server.port)])
    eventually(lambda: proxy.metric("martlet_configuration_reloads_total", result="accepted") == 3)
    eventually(lambda: 500 in ask(client, 10))


def test_killed_and_restarted_under_load(proxy, upstream, closing, eventually):
    """At least 99.9 % of the requests do not notice that one endpoint of three dies and comes back."""
    script = lambda *_: answer("ok")  # noqa: E731
    servers = [upstream(script) for _ in range(3)]
    policy = traffic_policy("app", outlierDetection={"consecutiveConnectFailures": 2, "baseEjectionTime": "500ms"},
                            loadBalancer={"type": "ROUND_ROBIN"})
    proxy.start([*config.simple(proxy.port, *(server.port for server in servers)), policy], "--loops", "2")
    seen, stop = [], threading.Event()

    def load():
        connection = Connection.to(proxy.port)
        while not stop.is_set():
            seen.append(connection.get().status)
        connection.close()
    threads = [threading.Thread(target=load) for _ in range(4)]
    for thread in threads:
        thread.start()
    eventually(lambda: len(seen) > 300)
    servers[0].close()
    eventually(lambda: ejected(proxy) == 1)
    before = len(seen)
    eventually(lambda: len(seen) > before + 300)
    restarted = Upstream(script, port=servers[0].port)
    closing.callback(restarted.close)
    eventually(lambda: ejected(proxy) == 0)
    eventually(lambda: len(restarted.requests) > 50)
    stop.set()
    for thread in threads:
        thread.join()
    assert seen.count(200) >= len(seen) * 0.999, f"{len(seen) - seen.count(200)} of {len(seen)} failed"


STREAMS = {
    "/events": ("HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
                "9\r\ndata: 1\n\n\r\n"),
    "/ws": "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
}
UPGRADE = [("Connection", "Upgrade"), ("Upgrade", "websocket"), ("Sec-WebSocket-Version", "13"),
           ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==")]


@pytest.mark.parametrize("path", STREAMS)
def test_a_stream_that_has_begun_brings_its_endpoint_back(proxy, upstream, client, closing, eventually, path):
    """It may stay open for hours: nobody waits for its end."""
    over, broken = threading.Event(), threading.Event()
    closing.callback(over.set)
    broken.set()

    def script(request, connection):
        if broken.is_set():
            return answer("no", status="500 No")
        if request.target in STREAMS:
            connection.send(STREAMS[request.target])
            over.wait(20)
            return False
        return answer("a")
    a, b = upstream(script), upstream(lambda *_: answer("b"))
    proxy.start([*config.simple(proxy.port, a.port, b.port), traffic_policy(
        "app", outlierDetection={"consecutive5xx": 2, "baseEjectionTime": "300ms", "maxEjectionTime": "300ms"},
        loadBalancer={"type": "ROUND_ROBIN"})], "--loops", "1")
    eventually(lambda: ask(client, 2) and ejected(proxy) == 1)
    broken.clear()
    time.sleep(0.5)
    before = len(a.requests)
    stream = client.http1()
    lines = "".join(f"{name}: {value}\r\n" for name, value in (UPGRADE if path == "/ws" else []))
    stream.send(f"GET {path} HTTP/1.1\r\nHost: a\r\n{lines}\r\n")
    assert stream.head().status == (101 if path == "/ws" else 200)
    assert len(a.requests) == before + 1, "it is the probe"
    assert ejected(proxy) == 0
    assert {client.get().body for _ in range(4)} == {b"a", b"b"}
    assert stream.is_silent() or path == "/events"


def test_idle_connections_to_others_keep_no_endpoint_out(proxy, upstream, client, eventually):
    """All connections that there may be are idle: one of them is given up for the probe."""
    broken, together = threading.Event(), threading.Barrier(2)
    broken.set()

    def fails(request, connection):
        if broken.is_set():
            connection.send(answer("no", status="500 No", connection="close"))
            return False
        return answer("a")

    def waits(request, connection):
        if request.target == "/together":
            together.wait(5)
        return answer("b")
    a, b = upstream(fails), upstream(waits)
    proxy.start([*config.simple(proxy.port, a.port, b.port), traffic_policy(
        "app", outlierDetection={"consecutive5xx": 2, "baseEjectionTime": "300ms", "maxEjectionTime": "300ms"},
        connectionLimits={"maxConnections": 2}, loadBalancer={"type": "ROUND_ROBIN"})], "--loops", "1")
    eventually(lambda: ask(client, 2) and ejected(proxy) == 1)
    connections = [client.http1(), client.http1()]
    for connection in connections:
        connection.send("GET /together HTTP/1.1\r\nHost: a\r\n\r\n")
    assert [connection.response().body for connection in connections] == [b"b"] * 2
    assert proxy.metric("martlet_upstream_connections_active") == 2
    broken.clear()
    time.sleep(0.5)
    assert client.get().body == b"a", "it is the probe"
    assert ejected(proxy) == 0
    assert proxy.metric("martlet_upstream_connections_active") <= 2
