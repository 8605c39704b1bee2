"""Limits toward backends: what is beyond waits or is refused, over all loops, and what becomes free is used at once."""
import os
import resource
import threading

import pytest

from harness import config
from harness.config import traffic_policy
from harness.gates import Crowd, Gate
from harness.http1 import Connection
from harness.http2 import H2Client
from harness.upstream import answer

GRPC = [("content-type", "application/grpc"), ("te", "trailers")]


@pytest.fixture(params=["h1", "h2", "grpc"])
def gated(request, proxy, upstream, h2_upstream, closing):
    """A backend that holds requests back: gated(**limits) starts the proxy and returns (gate, crowd, read).

    h1: HTTP/1.1 on both sides; h2 and grpc: HTTP/2 on both. read(answer) is (status or grpc-status, reason)."""
    kind = request.param

    def ask():
        if kind == "h1":
            with Connection.to(proxy.port, timeout=20) as connection:
                return connection.get()
        with H2Client(proxy.port, timeout=20) as client:
            return client.get() if kind == "h2" else client.post("/s.S/M", b"\0\0\0\0\0", headers=GRPC)

    def read(got):
        if kind == "grpc":
            fields = dict(got.trailers or got.headers)
            return int(fields["grpc-status"]), got.get("x-martlet-reason")
        return got.status, got.get("x-martlet-reason")

    def start(*arguments, endpoints=1, spec=None, **limits):
        gate = Gate()
        closing.callback(gate.open)
        servers = [upstream(gate.http1) if kind == "h1" else h2_upstream(gate.http2) for _ in range(endpoints)]
        documents = config.simple(proxy.port, *(server.port for server in servers),
                                  protocol=None if kind == "h1" else config.H2C)
        policy = traffic_policy("app", connectionLimits=limits, **(spec or {}))
        proxy.start([*documents, policy], *(arguments or ("--loops", "2")))
        gate.ok = 0 if kind == "grpc" else 200
        gate.refused = 14 if kind == "grpc" else 503
        gate.servers = servers
        return gate, Crowd(ask), read
    start.kind = kind
    return start


def test_requests_beyond_the_limit_are_refused_at_once(gated, proxy, eventually):
    gate, crowd, read = gated(maxRequests=3)
    crowd.send(3)
    eventually(lambda: gate.inside == 3)
    more = [future.result(5) for future in crowd.send(4)]
    assert [read(one) for one in more] == [(gate.refused, "upstream_request_limit")] * 4
    gate.open()
    assert [read(one) for one in crowd.answers()[:3]] == [(gate.ok, None)] * 3
    assert proxy.metric("martlet_upstream_refusals_total", reason="upstream_request_limit") == 4
    assert read(crowd.send()[0].result(5)) == (gate.ok, None)


def test_requests_wait_in_turn(gated, proxy, eventually):
    gate, crowd, read = gated(maxRequests=2, maxPendingRequests=10, pendingTimeout="10s")
    crowd.send(8)
    eventually(lambda: gate.inside == 2)
    eventually(lambda: proxy.metric("martlet_upstream_requests_pending") == 6)
    for served in range(1, 7):
        gate.let_go()
        eventually(lambda: gate.served == served and gate.inside == 2)
    gate.open()
    assert [read(one) for one in crowd.answers()] == [(gate.ok, None)] * 8
    assert gate.most == 2
    assert proxy.metric("martlet_upstream_requests_pending") == 0
    assert proxy.metric("martlet_upstream_queue_duration_seconds_count") == 6


def test_the_queue_is_bounded(gated, proxy, eventually):
    gate, crowd, read = gated(maxRequests=1, maxPendingRequests=2, pendingTimeout="10s")
    crowd.send(1)
    eventually(lambda: gate.inside == 1)
    crowd.send(2)
    eventually(lambda: proxy.metric("martlet_upstream_requests_pending") == 2)
    more = [future.result(5) for future in crowd.send(3)]
    assert [read(one) for one in more] == [(gate.refused, "upstream_pending_limit")] * 3
    gate.open()
    assert [read(one) for one in crowd.answers()[:3]] == [(gate.ok, None)] * 3


def test_waiting_is_bounded_in_time(gated, proxy, eventually):
    gate, crowd, read = gated(maxRequests=1, maxPendingRequests=10, pendingTimeout="300ms")
    crowd.send(1)
    eventually(lambda: gate.inside == 1)
    late = [future.result(5) for future in crowd.send(3)]
    assert [read(one) for one in late] == [(gate.refused, "upstream_pending_timeout")] * 3
    assert proxy.metric("martlet_upstream_requests_pending") == 0
    gate.open()
    assert read(crowd.answers()[0]) == (gate.ok, None)


def test_who_goes_away_leaves_the_queue(gated, proxy, eventually):
    gate, crowd, read = gated("--loops", "1", maxRequests=1, maxPendingRequests=1, pendingTimeout="10s")
    crowd.send(1)
    eventually(lambda: gate.inside == 1)
    if gated.kind == "h1":
        gone = Connection.to(proxy.port)
        gone.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
    else:
        gone = H2Client(proxy.port)
        gone.open("/")
    eventually(lambda: proxy.metric("martlet_upstream_requests_pending") == 1)
    gone.close()
    eventually(lambda: proxy.metric("martlet_upstream_requests_pending") == 0)
    crowd.send(1)
    eventually(lambda: proxy.metric("martlet_upstream_requests_pending") == 1)
    gate.open()
    assert [read(one) for one in crowd.answers()] == [(gate.ok, None)] * 2
    assert gate.served == 2


def test_endpoint_limits_send_requests_elsewhere(gated, eventually):
    gate, crowd, read = gated(endpoints=3, endpoint={"maxRequests": 2})
    crowd.send(6)
    eventually(lambda: gate.inside == 6)
    more = [future.result(5) for future in crowd.send(2)]
    assert [read(one) for one in more] == [(gate.refused, "upstream_request_limit")] * 2
    gate.open()
    assert [read(one) for one in crowd.answers()[:6]] == [(gate.ok, None)] * 6
    assert [len(server.requests) for server in gate.servers] == [2, 2, 2]


def test_a_full_endpoint_is_waited_for(gated, proxy, eventually):
    gate, crowd, read = gated(endpoints=2, endpoint={"maxRequests": 1}, maxPendingRequests=10, pendingTimeout="10s")
    crowd.send(5)
    eventually(lambda: gate.inside == 2)
    eventually(lambda: proxy.metric("martlet_upstream_requests_pending") == 3)
    gate.open()
    assert [read(one) for one in crowd.answers()] == [(gate.ok, None)] * 5
    assert gate.most == 2


def test_limits_follow_a_reload(gated, proxy, eventually):
    gate, crowd, read = gated(maxRequests=1)
    crowd.send(1)
    eventually(lambda: gate.inside == 1)
    protocol = None if gated.kind == "h1" else config.H2C
    plain = config.simple(proxy.port, gate.servers[0].port, protocol=protocol)
    proxy.edit([*plain, traffic_policy("app", connectionLimits={"maxRequests": 3})])
    eventually(lambda: proxy.metric("martlet_configuration_reloads_total", result="accepted") == 2)
    # The one that was let in before counts.
    crowd.send(2)
    eventually(lambda: gate.inside == 3)
    assert read(crowd.send()[0].result(5)) == (gate.refused, "upstream_request_limit")
    # Without a limit nothing is counted; what was counted is given back all the same.
    proxy.edit(plain)
    eventually(lambda: proxy.metric("martlet_configuration_reloads_total", result="accepted") == 3)
    crowd.send(2)
    eventually(lambda: gate.inside == 5)
    gate.let_go(5)
    eventually(lambda: gate.inside == 0)
    proxy.edit([*plain, traffic_policy("app", connectionLimits={"maxRequests": 2})])
    eventually(lambda: proxy.metric("martlet_configuration_reloads_total", result="accepted") == 4)
    crowd.send(2)
    eventually(lambda: gate.inside == 2)
    assert read(crowd.send()[0].result(5)) == (gate.refused, "upstream_request_limit")
    gate.open()
    crowd.answers()


@pytest.mark.parametrize("room", ["backend", "endpoint", "no limit", "new endpoint"])
def test_a_reload_that_makes_room_wakes_who_waits(gated, proxy, upstream, h2_upstream, eventually, room):
    """At once: nothing that is under way ends before."""
    patience = {"maxPendingRequests": 10, "pendingTimeout": "15s"}
    before = {"maxRequests": 1} if room in ("backend", "no limit") else {"endpoint": {"maxRequests": 1}}
    after = {"backend": {"maxRequests": 2, **patience}, "endpoint": {"endpoint": {"maxRequests": 2}, **patience},
             "no limit": None, "new endpoint": {**before, **patience}}[room]
    gate, crowd, read = gated(**before, **patience)
    crowd.send(1)
    eventually(lambda: gate.inside == 1)
    crowd.send(1)
    eventually(lambda: proxy.metric("martlet_upstream_requests_pending") == 1)
    ports = [gate.servers[0].port]
    if room == "new endpoint":
        ports.append((upstream(gate.http1) if gated.kind == "h1" else h2_upstream(gate.http2)).port)
    documents = config.simple(proxy.port, *ports, protocol=None if gated.kind == "h1" else config.H2C)
    proxy.edit([*documents, *([traffic_policy("app", connectionLimits=after)] if after else [])])
    eventually(lambda: gate.inside == 2)
    assert proxy.metric("martlet_upstream_requests_pending") == 0
    gate.open()
    assert [read(one) for one in crowd.answers()] == [(gate.ok, None)] * 2


def test_draining_serves_who_waits(gated, proxy, eventually):
    gate, crowd, read = gated(maxRequests=1, maxPendingRequests=5, pendingTimeout="10s")
    crowd.send(3)
    eventually(lambda: proxy.metric("martlet_upstream_requests_pending") == 2)
    assert proxy.admin("/drain", "POST")[0] == 202
    gate.open()
    assert [read(one) for one in crowd.answers()] == [(gate.ok, None)] * 3


def test_an_adaptive_limit_refuses(gated, proxy, eventually):
    gate, crowd, read = gated(spec={"adaptiveConcurrency": {"minLimit": 2, "initialLimit": 3, "maxLimit": 10}})
    crowd.send(3)
    eventually(lambda: gate.inside == 3)
    assert read(crowd.send()[0].result(5)) == (gate.refused, "concurrency_limit")
    assert proxy.metric("martlet_upstream_concurrency_limit") == 3
    gate.open()
    assert [read(one) for one in crowd.answers()[:3]] == [(gate.ok, None)] * 3
    assert read(crowd.send()[0].result(5)) == (gate.ok, None)


def test_refusals_at_a_limit_are_not_retried(gated, proxy, eventually):
    """The proxy's own 503 is no answer of an endpoint, though a policy lists it."""
    retry = {"attempts": 3, "codes": [503], "on": ["5xx", "reset", "connect-failure", "unavailable"],
             "nonIdempotent": True, "backoff": {"base": "0s", "max": "0s"}}
    gate, crowd, read = gated(maxRequests=1, spec={"retry": retry})
    crowd.send(1)
    eventually(lambda: gate.inside == 1)
    more = [future.result(5) for future in crowd.send(3)]
    assert [read(one) for one in more] == [(gate.refused, "upstream_request_limit")] * 3
    # A retry would be refused as well, and counted.
    assert proxy.metric("martlet_upstream_refusals_total", reason="upstream_request_limit") == 3
    assert proxy.metric("martlet_upstream_retries_total") == 0
    gate.open()
    assert read(crowd.answers()[0]) == (gate.ok, None)
    assert len(gate.servers[0].requests) == 1


# Connections

@pytest.fixture
def connections(proxy, upstream, closing):
    """The same for connections, HTTP/1.1: connections(endpoints, *arguments, **limits) → (gate, crowd)."""
    def start(endpoints, *arguments, **limits):
        gate = Gate()
        closing.callback(gate.open)
        gate.servers = [upstream(gate.http1) for _ in range(endpoints)]
        documents = config.simple(proxy.port, *(server.port for server in gate.servers))
        proxy.start([*documents, traffic_policy("app", connectionLimits=limits)], *arguments)

        def ask():
            with Connection.to(proxy.port, timeout=20) as connection:
                return connection.get()
        return gate, Crowd(ask)
    return start


def test_connections_are_limited_and_waited_for(connections, proxy, eventually):
    gate, crowd = connections(1, "--loops", "2", maxConnections=2, maxPendingRequests=20, pendingTimeout="10s")
    crowd.send(10)
    eventually(lambda: gate.inside == 2)
    gate.open()
    assert [one.status for one in crowd.answers()] == [200] * 10
    assert gate.most == 2
    assert proxy.metric("martlet_upstream_connections_active") <= 2


def test_an_idle_connection_of_another_endpoint_is_used(connections, eventually):
    """The limit is the backend's: one connection, two endpoints."""
    gate, crowd = connections(2, "--loops", "1", maxConnections=1)
    gate.open()
    for _ in range(10):
        assert crowd.send()[0].result(5).status == 200
    assert gate.most == 1


def test_an_idle_connection_of_another_loop_is_given_up(connections, proxy, eventually):
    gate, crowd = connections(1, "--loops", "2", maxConnections=1, maxPendingRequests=10, pendingTimeout="5s")
    gate.open()
    # Each on a connection of its own: the kernel spreads them over the loops.
    for _ in range(30):
        response = crowd.send()[0].result(8)
        assert (response.status, response.get("x-martlet-reason")) == (200, None)
    assert gate.most == 1


def test_endpoint_connections_are_limited(connections, eventually):
    gate, crowd = connections(2, "--loops", "2", endpoint={"maxConnections": 1})
    crowd.send(2)
    eventually(lambda: gate.inside == 2)
    response = crowd.send()[0].result(5)
    assert (response.status, response.get("x-martlet-reason")) == (503, "upstream_connection_limit")
    assert [len(server.connections) for server in gate.servers] == [1, 1]
    gate.open()
    assert [one.status for one in crowd.answers()] == [200, 200, 503]


def test_many_waiters_over_all_loops_are_all_served(connections, proxy, eventually):
    """Nothing that becomes free is forgotten, whichever loop waits."""
    gate, crowd = connections(2, "--loops", "2", maxRequests=3, maxConnections=3, maxPendingRequests=1000,
                              pendingTimeout="20s")
    gate.open()
    crowd.send(300)
    assert [one.status for one in crowd.answers()] == [200] * 300
    assert gate.most <= 3
    assert proxy.metric("martlet_upstream_requests_pending") == 0


def test_a_stream_that_is_reset_gives_its_place_to_who_waits(proxy, h2_upstream, client, eventually):
    """One connection of one stream: the place is free when the reset has left for the endpoint."""
    heads = []
    server = h2_upstream(on_head=lambda connection, number, request: heads.append((connection, number)))
    proxy.start([*config.simple(proxy.port, server.port, protocol=config.H2C), traffic_policy("app", connectionLimits={
        "maxConnections": 1, "maxConcurrentStreams": 1, "maxPendingRequests": 5, "pendingTimeout": "15s"})], "--loops", "1")
    first, second = client.http2(), client.http2()
    number = first.open()
    eventually(lambda: len(heads) == 1)
    waiting = second.open()
    eventually(lambda: proxy.metric("martlet_upstream_requests_pending") == 1)
    first.state.reset_stream(number, 8)
    first.flush()
    eventually(lambda: len(heads) == 2)
    heads[1][0].respond(heads[1][1])
    assert second.finished(waiting).status == 200
    assert len(server.resets) == 1
    assert len(server.connections) == 1


# Overload of the proxy

def test_overload_refuses_all_but_the_admin(proxy, upstream, client, eventually):
    """Beyond 120 % of the memory all are refused, but for the admin endpoint; it ends as it came."""
    documents = config.simple(proxy.port, upstream().port)
    proxy.start(documents)
    assert client.get().status == 200
    resident = proxy.resident_kib() // 1024
    proxy.edit([*documents, config.settings(overload={"maxMemory": f"{max(1, resident // 2)}Mi"})])
    eventually(lambda: proxy.metric("martlet_overload_level") == 3)
    response = client.get()
    assert (response.status, response.get("x-martlet-reason")) == (503, "overloaded")
    assert response.get("retry-after") == "1"
    assert client.http2().post("/s.S/M", b"\0\0\0\0\0", headers=GRPC).get("grpc-status") == "14"
    assert proxy.admin("/ready")[0] == 200
    proxy.edit([*documents, config.settings(overload={"maxMemory": "64Gi"})])
    eventually(lambda: client.get().status == 200, seconds=20)


def test_streams_that_have_begun_go_on(proxy, upstream, client, eventually):
    """While everything new is refused: a WebSocket, and server-sent events over HTTP/1.1 and HTTP/2."""
    more = threading.Event()

    def script(request, connection):
        if request.target == "/ws":
            connection.send("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
            while connection.fill():
                connection.send(connection.exactly(len(connection.buffer)))
            return False
        if request.target == "/events":
            connection.send("HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n")
            connection.send("transfer-encoding: chunked\r\n\r\n9\r\ndata: 1\n\n\r\n")
            more.wait(20)
            connection.send("9\r\ndata: 2\n\n\r\n0\r\n\r\n")
            return None
        return answer("ok")
    documents = config.simple(proxy.port, upstream(script).port)
    proxy.start(documents)
    tunnel, events, http2 = client.http1(), client.http1(), client.http2()
    tunnel.send("GET /ws HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
                "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n")
    assert tunnel.response().status == 101
    tunnel.send("before")
    assert tunnel.exactly(6) == b"before"
    events.send("GET /events HTTP/1.1\r\nHost: a\r\n\r\n")
    assert events.head().status == 200
    events.until(b"data: 1\n\n")
    stream = http2.streams[http2.open("/events")]
    assert http2.wait(lambda: stream.body == b"data: 1\n\n")
    proxy.edit([*documents, config.settings(overload={"maxMemory": "1Mi"})])
    eventually(lambda: proxy.metric("martlet_overload_level") == 3)
    assert client.get().get("x-martlet-reason") == "overloaded"
    tunnel.send("after it")
    assert tunnel.exactly(8) == b"after it"
    assert http2.get().get("x-martlet-reason") == "overloaded", "a new stream is new, on whatever connection"
    more.set()
    assert events.until(b"0\r\n\r\n").endswith(b"data: 2\n\n\r\n0\r\n\r\n")
    assert http2.wait(lambda: stream.ended) and stream.body == b"data: 1\n\ndata: 2\n\n"


@pytest.fixture
def crowded(proxy, client, eventually):
    """Opens idle connections; then use(percent) makes them so much of the limit on descriptors."""
    def start(documents):
        proxy.start(documents, "--loops", "2")
        idle = [client.http1() for _ in range(300)]
        eventually(lambda: proxy.metric("martlet_downstream_connections_active") >= len(idle))
        pid = proxy.process.pid
        before, most = resource.prlimit(pid, resource.RLIMIT_NOFILE)

        def use(percent):
            used = len(os.listdir(f"/proc/{pid}/fd"))
            resource.prlimit(pid, resource.RLIMIT_NOFILE, (used * 100 // percent if percent else before, most))
        return use
    return start


def test_accepting_pauses_before_descriptors_run_out(crowded, proxy, upstream, client, eventually):
    use = crowded(config.simple(proxy.port, upstream().port))
    kept = client.http1()
    assert kept.get().status == 200
    # Accepting pauses at 95 percent; only at 97.5 are requests refused that have no priority.
    use(96)
    eventually(lambda: proxy.metric("martlet_loops_not_accepting") == 2)
    waiting = client.http1()
    waiting.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
    assert waiting.is_silent(0.5)
    # What is connected is served on: no descriptor is needed for it.
    assert kept.get().status == 200
    use(None)
    assert waiting.response().status == 200
    assert client.get().status == 200


def test_priorities(crowded, proxy, upstream, client, eventually):
    """LOW is shed from 50 percent of the descriptors on, NORMAL at three quarters of the way from there to all."""
    names = ["low", "plain", "high"]
    routes = [config.route(config.rule("app", matches=[config.path(f"/{name}")]), name=name) for name in names]
    use = crowded([
        config.gateway(config.http(proxy.port)), config.backend("app", upstream().port), *routes,
        traffic_policy("low", "HTTPRoute", priority="LOW"), traffic_policy("high", "HTTPRoute", priority="HIGH"),
        config.settings(overload={"maxDescriptorPercent": 50})])
    kept = client.http1()  # while nothing is accepted

    def statuses():
        return [kept.get(f"/{name}").status for name in names]
    assert statuses() == [200, 200, 200]
    use(62)
    eventually(lambda: statuses() == [503, 200, 200])
    use(93)
    eventually(lambda: statuses() == [503, 503, 200])
    assert kept.get("/low").get("x-martlet-reason") == "overloaded"
    assert proxy.metric("martlet_overload_level") == 2
