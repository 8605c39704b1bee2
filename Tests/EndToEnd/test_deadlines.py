"""Deadlines: whose time counts, what the endpoint is told, and what is not cut."""
import time

import grpc
import pytest

from harness import config
from harness.grpc_echo import Request, channel, stub
from harness.proxy import Proxy
from harness.upstream import answer


@pytest.fixture
def start(proxy):
    def start(*ports, protocol=None, role="edge", **policy):
        documents = [*config.simple(proxy.port, *ports, protocol=protocol), config.listener_policy(role=role)]
        if policy:
            documents.append(config.traffic_policy("app", **policy))
        proxy.start(documents)
    return start


def milliseconds(request):
    value = request.get("x-martlet-timeout-ms")
    return None if value is None else int(value)


def test_endpoint_is_told_what_is_left(start, upstream, client):
    server = upstream(lambda *_: answer("ok"))
    start(server.port, timeouts={"request": "2s"})
    assert client.get().status == 200
    assert 1900 <= milliseconds(server.requests[0]) <= 2000


def test_no_deadline_no_header(start, upstream, client):
    server = upstream(lambda *_: answer("ok"))
    start(server.port)
    client.get()
    assert milliseconds(server.requests[0]) is None


def test_request_timeout(start, upstream, client):
    server = upstream(lambda *_: time.sleep(5))
    start(server.port, timeouts={"request": "200ms"})
    got = client.get()
    assert (got.status, got.get("x-martlet-reason")) == (504, "request_timeout")


def test_edge_believes_nobody(start, upstream, client):
    server = upstream(lambda *_: answer("ok"))
    start(server.port, timeouts={"request": "2s"})
    assert client.get(headers=[("x-martlet-timeout-ms", "1")]).status == 200
    assert 1900 <= milliseconds(server.requests[0]) <= 2000


def test_sidecar_believes_and_shortens(start, upstream, client):
    server = upstream(lambda *_: answer("ok"))
    start(server.port, role="sidecar")
    assert client.get(headers=[("x-martlet-timeout-ms", "1500")]).status == 200
    assert 1400 <= milliseconds(server.requests[0]) <= 1500


@pytest.mark.parametrize("given", ["", "soon", "-5", "1.5"])
def test_nonsense_is_no_deadline(start, upstream, client, given):
    server = upstream(lambda *_: answer("ok"))
    start(server.port, role="sidecar")
    assert client.get(headers=[("x-martlet-timeout-ms", given)]).status == 200


def test_sidecar_ends_in_time(start, upstream, client):
    server = upstream(lambda *_: time.sleep(5))
    start(server.port, role="sidecar")
    begun = time.monotonic()
    got = client.get(headers=[("x-martlet-timeout-ms", "200")])
    assert (got.status, got.get("x-martlet-reason")) == (504, "deadline_exceeded")
    assert time.monotonic() - begun < 2


def test_sidecar_believes_and_shortens_over_http2(start, h2_upstream, client):
    """Both ways: what an HTTP/2 client says, and what an HTTP/2 endpoint is told."""
    server = h2_upstream()
    start(server.port, protocol=config.H2C, role="sidecar", faults=[{"delay": "100ms"}])
    given = [("x-martlet-timeout-ms", "5000")]
    assert client.http2().get(headers=given).status == client.get(headers=given).status == 200
    for request in server.requests:
        left = [value for name, value in request["headers"] if name == "x-martlet-timeout-ms"]
        assert len(left) == 1 and 0 < int(left[0]) <= 4900
    late = client.http2().get(headers=[("x-martlet-timeout-ms", "50")])
    assert (late.status, late.get("x-martlet-reason")) == (504, "deadline_exceeded")
    assert len(server.requests) == 2


def test_what_is_over_is_not_forwarded(start, upstream, client):
    server = upstream(lambda *_: answer("ok"))
    start(server.port, role="sidecar")
    got = client.get(headers=[("x-martlet-timeout-ms", "0")])
    assert (got.status, got.get("x-martlet-reason")) == (504, "deadline_exceeded")
    assert not server.requests


@pytest.fixture
def sidecar(proxy, closing, tmp_path):
    """Two proxies, each of which takes 300 ms: sidecar(port, …policy of the edge)."""
    def start(port, protocol=None, **policy):
        second, slow = Proxy(tmp_path / "sidecar"), {"faults": [{"delay": "300ms"}]}
        closing.callback(second.stop)
        second.start([*config.simple(second.port, port, protocol=protocol), config.listener_policy(role="sidecar"),
                      config.traffic_policy("app", **slow)])
        proxy.start([*config.simple(proxy.port, second.port, protocol=protocol),
                     config.traffic_policy("app", **slow, **policy)])
        return second
    return start


@pytest.mark.parametrize("protocol", ["h1", "h2"])
def test_two_hops(sidecar, upstream, h2_upstream, client, protocol):
    """1 s at the edge, 300 ms in each of two proxies: the endpoint sees less than 400 ms, the client 1 s."""
    if protocol == "h1":
        server = upstream(lambda *_: time.sleep(5))
    else:
        server = h2_upstream(lambda *_: None)
    sidecar(server.port, None if protocol == "h1" else config.H2C, timeouts={"request": "1s"})
    begun = time.monotonic()
    got = client.get() if protocol == "h1" else client.http2().get()
    # Both proxies know the end; which of them is first makes no difference to the client.
    assert got.status == 504 and got.get("x-martlet-reason") in ("request_timeout", "deadline_exceeded")
    assert time.monotonic() - begun >= 0.9
    request = server.requests[0]
    left = request.get("x-martlet-timeout-ms") if protocol == "h1" else dict(request["headers"])["x-martlet-timeout-ms"]
    assert 0 < int(left) <= 400


def test_backend_request_timeout_counts_for_each_attempt(start, upstream, client):
    server = upstream(lambda *_: time.sleep(5))
    start(server.port, timeouts={"backendRequest": "200ms"},
          retry={"attempts": 1, "on": ["timeout"], "backoff": {"base": "0s", "max": "0s"}})
    got = client.get()
    assert (got.status, got.get("x-martlet-reason")) == (504, "upstream_timeout")
    assert len(server.requests) == 2


def test_retries_end_at_the_deadline(start, upstream, client):
    server = upstream(lambda *_: answer("busy", status="503 Busy"))
    start(server.port, timeouts={"request": "500ms"},
          retry={"attempts": 100, "codes": [503], "backoff": {"base": "100ms", "max": "100ms"}})
    begun = time.monotonic()
    assert client.get().status in (503, 504)
    assert time.monotonic() - begun < 2


def test_events_are_not_cut(start, upstream, client):
    def script(request, connection):
        connection.send("HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n")
        for _ in range(4):
            connection.send("6\r\ndata:\n\r\n")
            time.sleep(0.2)
        connection.send("0\r\n\r\n")
    start(upstream(script).port, timeouts={"request": "300ms"})
    got = client.get()
    assert got.body == b"data:\n" * 4


def test_other_answers_are(start, upstream, client):
    def script(request, connection):
        connection.send("HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf")
        time.sleep(2)
    start(upstream(script).port, timeouts={"request": "300ms"})
    begun = time.monotonic()
    with pytest.raises(Exception):
        client.get()
    assert time.monotonic() - begun < 1.5


class TestGRPC:
    @pytest.fixture
    def calls(self, start, echo, proxy, closing):
        def make(role="edge", **policy):
            start(echo.port, protocol=config.H2C, role=role, **policy)
            return stub(closing.enter_context(channel(proxy.port)))
        return make

    def test_timeout_is_shortened_by_what_has_passed(self, calls, echo):
        calls(faults=[{"delay": "300ms"}]).Unary(Request(), timeout=2)
        assert echo.servicer.remaining < 1.75

    def test_what_is_over_is_not_forwarded(self, calls, echo):
        made = calls(faults=[{"delay": "400ms"}])
        with pytest.raises(grpc.RpcError) as error:
            made.Unary(Request(), timeout=0.2)
        assert error.value.code() == grpc.StatusCode.DEADLINE_EXCEEDED
        time.sleep(0.5)
        assert not echo.servicer.calls

    def test_two_hops(self, sidecar, echo, proxy, closing):
        """2 s, of which two proxies take 300 ms each; what they would use up does not reach the service."""
        second = sidecar(echo.port, config.H2C)
        made = stub(closing.enter_context(channel(proxy.port)))
        made.Unary(Request(), timeout=2)
        assert 0 < echo.servicer.remaining <= 1.4
        with pytest.raises(grpc.RpcError) as error:
            made.Unary(Request(), timeout=0.5)
        assert error.value.code() == grpc.StatusCode.DEADLINE_EXCEEDED
        # The first proxy had time left and asked the second, which is done with it by then.
        second.wait(lambda: second.metric("martlet_requests_total") == 2, "at the end of the second call")
        assert echo.servicer.calls == ["Unary"]

    def test_request_timeout_is_a_grpc_status(self, calls):
        with pytest.raises(grpc.RpcError) as error:
            calls(timeouts={"request": "200ms"}).Unary(Request(delay=5), timeout=5)
        assert error.value.code() == grpc.StatusCode.DEADLINE_EXCEEDED
        assert "request_timeout" in error.value.details()

    def test_streams_are_not_cut(self, calls):
        replies = calls(timeouts={"request": "400ms", "backendRequest": "300ms"}).ServerStream(
            Request(count=5, delay=0.2), timeout=10)
        assert len(list(replies)) == 5
