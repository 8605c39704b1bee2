"""Retries against real faults: what the client sees, what the endpoints see, and what is counted.

The share of requests that succeed is stated for each fault and held.
"""
import itertools
import threading
import time

import grpc
import pytest

from harness import config
from harness.gates import Crowd, Gate
from harness.grpc_echo import Request, channel, stub
from harness.http1 import Closed
from harness.ports import free_port
from harness.upstream import Upstream, answer

QUICK = {"base": "0s", "max": "0s"}


@pytest.fixture
def start(proxy):
    """Serves a backend of ports under a policy: start(ports, retry={…}, …)."""
    def start(*ports, protocol=None, loops=None, **policy):
        proxy.start([*config.simple(proxy.port, *ports, protocol=protocol), config.traffic_policy("app", **policy)],
                    *(("--loops", str(loops)) if loops else ()))
    return start


def ask(client, protocol, path="/", method="GET", body=b""):
    """(status, body) over HTTP/1.1 or HTTP/2."""
    if protocol == "h1":
        got = client.get(path, method=method, body=body) if body else client.get(path, method=method)
        return got.status, got.body
    connection = client.http2()
    got = connection.post(path, body) if method == "POST" else connection.get(path)
    return got.status, got.body


def failing(times, broken):
    """A script that does `broken` for the first `times` requests, then answers."""
    count = itertools.count()

    def script(request, connection):
        return broken(connection) if next(count) < times else answer(request.body or b"fine")
    return script


def reset(connection):
    return False


def half(connection):
    """A response that ends in its middle."""
    connection.send("HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf")
    return False


def unavailable(connection):
    return answer("sorry", status="503 Service Unavailable")


@pytest.mark.parametrize("protocol", ["h1", "h2"])
class TestBothProtocols:
    def test_listed_status(self, start, upstream, client, proxy, protocol, eventually):
        server = upstream(failing(2, unavailable))
        start(server.port, retry={"attempts": 3, "codes": [503], "backoff": QUICK})
        assert ask(client, protocol) == (200, b"fine")
        assert [request.get("x-martlet-attempt") for request in server.requests] == [None, "2", "3"]
        assert len(server.connections) == 1, "short answers that are not forwarded leave their connection in use"
        eventually(lambda: proxy.metric("martlet_upstream_retries_total", backend="default/Backend/app", cause="status") == 2)

    def test_other_statuses_are_forwarded(self, start, upstream, client, protocol):
        server = upstream(failing(1, lambda _: answer("no", status="500 Internal Server Error")))
        start(server.port, retry={"attempts": 3, "codes": [503], "backoff": QUICK})
        assert ask(client, protocol) == (500, b"no")
        assert len(server.requests) == 1

    def test_the_last_answer_is_the_clients(self, start, upstream, client, protocol):
        server = upstream(failing(9, unavailable))
        start(server.port, retry={"attempts": 2, "codes": [503], "backoff": QUICK})
        assert ask(client, protocol) == (503, b"sorry")
        assert len(server.requests) == 3

    def test_a_real_answer_is_better_than_a_reason(self, start, upstream, client, protocol):
        count = itertools.count()
        server = upstream(lambda request, connection: unavailable(connection) if next(count) == 0 else False)
        start(server.port, retry={"attempts": 2, "codes": [503], "on": ["reset"], "backoff": QUICK})
        assert ask(client, protocol) == (503, b"sorry")
        # The second attempt found its connection closed after use, which is repeated whatever the policy says.
        assert len(server.requests) == 4

    def test_reset_before_the_response(self, start, upstream, client, protocol):
        server = upstream(failing(2, reset))
        start(server.port, retry={"attempts": 2, "on": ["reset"], "backoff": QUICK})
        assert ask(client, protocol) == (200, b"fine")

    def test_never_after_the_response_has_begun(self, start, upstream, client, protocol):
        server = upstream(failing(1, half))
        start(server.port, retry={"attempts": 3, "on": ["reset", "timeout"], "backoff": QUICK})
        if protocol == "h1":
            with pytest.raises(Closed):
                client.get()
        else:
            connection = client.http2()
            assert connection.get().reset is not None
        assert len(server.requests) == 1

    def test_per_try_timeout(self, start, upstream, client, protocol):
        server = upstream(failing(1, lambda _: time.sleep(3)))
        start(server.port, retry={"attempts": 1, "on": ["timeout"], "perTryTimeout": "200ms", "backoff": QUICK})
        begun = time.monotonic()
        assert ask(client, protocol) == (200, b"fine")
        assert 0.2 <= time.monotonic() - begun < 2

    def test_body_is_sent_again(self, start, upstream, client, protocol):
        server = upstream(failing(2, unavailable))
        start(server.port, retry={"attempts": 2, "codes": [503], "nonIdempotent": True, "backoff": QUICK})
        body = bytes(range(256)) * 200  # 50 KiB of the 64 that are kept
        assert ask(client, protocol, method="POST", body=body) == (200, body)
        assert [request.body == body for request in server.requests] == [True] * 3

    def test_body_too_large_to_keep(self, start, upstream, client, protocol):
        server = upstream(failing(1, unavailable))
        start(server.port, retry={"attempts": 2, "codes": [503], "nonIdempotent": True, "backoff": QUICK,
                                  "bufferBytes": 1000})
        assert ask(client, protocol, method="POST", body=b"x" * 5000) == (503, b"sorry")
        assert len(server.requests) == 1

    def test_post_only_where_it_is_said(self, start, upstream, client, protocol):
        server = upstream(failing(1, unavailable))
        start(server.port, retry={"attempts": 2, "codes": [503], "backoff": QUICK})
        assert ask(client, protocol, method="POST", body=b"x") == (503, b"sorry")
        assert len(server.requests) == 1

    def test_thirty_percent_503(self, start, upstream, client, protocol):
        """Three of ten fail, four attempts: 99.2 % must succeed, and all do since failures are spread."""
        count = itertools.count()

        def script(request, connection):
            return unavailable(connection) if next(count) % 10 < 3 else answer("fine")
        server = upstream(script)
        start(server.port, retry={"attempts": 3, "codes": [503], "backoff": QUICK})
        statuses = [ask(client, protocol)[0] for _ in range(200)]
        assert statuses.count(200) == 200


def test_no_retry_without_a_policy(serve, client):
    server = serve(failing(1, unavailable))
    assert client.get().status == 503
    assert len(server.requests) == 1


def test_another_endpoint_is_preferred(start, upstream, client):
    bad, good = upstream(lambda *_: answer("sorry", status="503 Service Unavailable")), upstream(lambda *_: answer("fine"))
    start(bad.port, good.port, retry={"attempts": 1, "codes": [503], "backoff": QUICK})
    assert [client.get().status for _ in range(40)] == [200] * 40
    assert bad.requests, "it had its share of first attempts"


def test_retry_after_is_honoured(start, upstream, client):
    server = upstream(failing(1, lambda _: answer("", status="503 Busy", retry_after="1")))
    start(server.port, retry={"attempts": 1, "codes": [503], "backoff": QUICK, "maxRetryAfter": "2s"})
    begun = time.monotonic()
    assert client.get().status == 200
    assert time.monotonic() - begun >= 1


def test_retry_after_that_is_too_long_ends_it(start, upstream, client):
    server = upstream(failing(1, lambda _: answer("", status="503 Busy", retry_after="60")))
    start(server.port, retry={"attempts": 1, "codes": [503], "backoff": QUICK})
    assert client.get().status == 503
    assert len(server.requests) == 1


def test_budget_bounds_the_retries(start, upstream, client, proxy, eventually):
    server = upstream(lambda *_: answer("sorry", status="503 Service Unavailable"))
    start(server.port, retry={"attempts": 3, "codes": [503], "backoff": QUICK},
          retryBudget={"percent": 0, "minConcurrency": 0})
    assert [client.get().status for _ in range(5)] == [503] * 5
    assert len(server.requests) == 5
    eventually(lambda: proxy.metric("martlet_upstream_retries_refused_total", backend="default/Backend/app", limit="budget") == 5)


def test_places_in_the_budget_are_given_back(start, upstream, client):
    server = upstream(lambda *_: answer("sorry", status="503 Service Unavailable"))
    start(server.port, retry={"attempts": 1, "codes": [503], "backoff": QUICK},
          retryBudget={"percent": 0, "minConcurrency": 1})
    assert [client.get().status for _ in range(20)] == [503] * 20
    assert len(server.requests) == 40, "each had its retry: a place that is not given back would end them"


@pytest.mark.parametrize("protocol", ["h1", "h2"])
def test_max_retries(start, upstream, client, proxy, protocol, closing, eventually):
    """One retry at a time: who comes meanwhile gets the answer that is there, and the place is given back."""
    gate = Gate()
    closing.callback(gate.open)

    def script(request, connection):
        return gate.http1(request, connection) if request.get("x-martlet-attempt") else unavailable(connection)
    server = upstream(script)
    start(server.port, retry={"attempts": 1, "codes": [503], "backoff": QUICK}, connectionLimits={"maxRetries": 1},
          retryBudget={"percent": 100, "minConcurrency": 100})
    crowd = Crowd(lambda: ask(client, protocol)[0])
    waiting = crowd.send()[0]
    eventually(lambda: gate.inside == 1)
    assert [ask(client, protocol) for _ in range(3)] == [(503, b"sorry")] * 3
    refused = {"backend": "default/Backend/app"}
    eventually(lambda: proxy.metric("martlet_upstream_retries_refused_total", limit="limit", **refused) == 3)
    assert proxy.metric("martlet_upstream_retries_refused_total", limit="budget", **refused) == 0
    gate.open()
    assert waiting.result(5) == 200
    assert ask(client, protocol) == (200, b"done")
    assert gate.served == 2 and len(server.requests) == 7


def test_replays_at_another_endpoint_ask_the_budget(start, upstream, client, proxy):
    """Without a retry policy too: else a backend that refuses connections would get twice the requests."""
    server = upstream()
    # On one loop: each has turns of its own.
    start(free_port(), server.port, loops=1, retryBudget={"percent": 0, "minConcurrency": 0},
          loadBalancer={"type": "ROUND_ROBIN"})
    assert sorted(client.get().status for _ in range(10)) == [200] * 5 + [503] * 5
    assert proxy.metric("martlet_upstream_retries_refused_total", backend="default/Backend/app", limit="budget") == 5


def test_replays_give_their_places_in_the_budget_back(start, upstream, client):
    server = upstream()
    start(free_port(), server.port, retryBudget={"percent": 0, "minConcurrency": 1}, loadBalancer={"type": "ROUND_ROBIN"})
    assert [client.get().status for _ in range(20)] == [200] * 20


def test_websockets_reached_by_a_replay_give_their_places_back(proxy, upstream, client):
    """All of them are open at once."""
    def script(request, connection):
        connection.send("HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n")
        connection.send(b"hello")
        connection.to_end()
        return False
    server = upstream(script)
    proxy.start([*config.simple(proxy.port, free_port(), server.port),
                 config.traffic_policy("app", retry={"attempts": 1, "on": ["connect-failure"], "backoff": QUICK},
                                       retryBudget={"percent": 0, "minConcurrency": 1},
                                       loadBalancer={"type": "ROUND_ROBIN"})], "--loops", "1")
    sockets = [client.http1() for _ in range(8)]
    for socket in sockets:
        socket.send("GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n")
        assert b" 101 " in socket.until(b"\r\n\r\n")
        assert socket.exactly(5) == b"hello"


def test_client_that_leaves_ends_the_retries(start, upstream, client, eventually):
    server = upstream(lambda *_: answer("sorry", status="503 Service Unavailable"))
    start(server.port, retry={"attempts": 50, "codes": [503], "backoff": {"base": "300ms", "max": "300ms"}})
    connection = client.http1()
    connection.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
    eventually(lambda: server.requests)
    connection.close()
    time.sleep(0.5)
    seen = len(server.requests)
    time.sleep(0.7)
    assert len(server.requests) <= seen


def test_client_that_leaves_gives_its_place_back(start, upstream, client, eventually):
    server = upstream()
    start(server.port, retry={"attempts": 1, "codes": [503], "backoff": QUICK,
                              "maxRetryAfter": "60s"}, retryBudget={"percent": 0, "minConcurrency": 1})
    count = itertools.count()

    def script(request, connection):
        if next(count) == 0:
            return answer("", status="503 Busy", retry_after="30")
        return unavailable(connection)
    server.script = script
    connection = client.http1()
    connection.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
    eventually(lambda: server.requests)
    time.sleep(0.2)
    connection.close()
    time.sleep(0.2)
    assert client.get().status == 503
    assert len(server.requests) == 3, "the place is there for the next request's retry"


def test_edge_believes_no_attempt_number(start, upstream, client):
    server = upstream(lambda *_: answer("fine"))
    start(server.port, retry={"attempts": 1, "codes": [503]})
    client.get(headers=[("x-martlet-attempt", "7")])
    assert server.requests[0].get("x-martlet-attempt") is None


def test_attempts_are_logged(start, upstream, client, proxy, eventually):
    server = upstream(failing(2, unavailable))
    start(server.port, retry={"attempts": 2, "codes": [503], "backoff": QUICK})
    client.get("/logged")
    eventually(lambda: any(line["attempts"] == 3 and line["status"] == 200 for line in proxy.access_log()))


class TestHTTP2Endpoints:
    def test_refused_streams(self, start, h2_upstream, client):
        count = itertools.count()
        server = h2_upstream(lambda connection, number, request: connection.reset(number, 7)
                             if next(count) < 5 else connection.respond(number))
        start(server.port, protocol=config.H2C, retry={"attempts": 4, "on": ["refused-stream"], "backoff": QUICK})
        assert client.get().status == 200

    def test_status_and_body_again(self, start, h2_upstream, client):
        count = itertools.count()
        server = h2_upstream(lambda connection, number, request: connection.respond(
            number, status=503 if next(count) < 2 else 200, body=request["body"] or b"none"))
        start(server.port, protocol=config.H2C, retry={
            "attempts": 3, "codes": [503], "nonIdempotent": True, "backoff": QUICK})
        got = client.http2().post("/", b"y" * 40_000)
        assert (got.status, got.body) == (200, b"y" * 40_000)
        assert not server.resets, "short answers are read to their end"

    def test_reset_in_the_middle_is_not_retried(self, start, h2_upstream, client):
        def script(connection, number, request):
            connection.state.send_headers(number, [(":status", "200")])
            connection.state.send_data(number, b"half")
            connection.flush()
            connection.reset(number, 2)
        server = h2_upstream(script)
        start(server.port, protocol=config.H2C, retry={"attempts": 3, "on": ["reset"], "backoff": QUICK})
        with pytest.raises(Closed):
            client.get()
        assert len(server.requests) == 1


@pytest.fixture
def calls(start, echo, proxy, closing):
    def make(**policy):
        start(echo.port, protocol=config.H2C, **policy)
        return stub(closing.enter_context(channel(proxy.port, **{"grpc.enable_retries": 0})))
    return make


class TestGRPC:
    ON = {"attempts": 3, "on": ["unavailable"], "backoff": QUICK}

    def flaky(self, echo, times):
        """UNAVAILABLE in trailers for the first calls: the servicer sends its metadata first."""
        plain, count = echo.servicer._reply, itertools.count()

        def reply(request, context, number=0):
            if next(count) < times:
                context.abort(grpc.StatusCode.UNAVAILABLE, "not yet")
            return plain(request, context, number)
        echo.servicer._reply = reply

    def test_unavailable_in_trailers(self, calls, echo):
        self.flaky(echo, 2)
        reply, call = calls(retry=self.ON).Unary.with_call(Request(payload=b"hi"), timeout=5)
        assert reply.payload == b"hi" and echo.servicer.calls == ["Unary"] * 3
        assert dict(call.initial_metadata())["x-initial"] == "one"
        assert echo.servicer.metadata["x-martlet-attempt"] == "3"

    def test_the_last_status_is_the_callers(self, calls, echo):
        self.flaky(echo, 99)
        with pytest.raises(grpc.RpcError) as error:
            calls(retry=self.ON).Unary(Request(), timeout=5)
        assert error.value.code() == grpc.StatusCode.UNAVAILABLE and error.value.details() == "not yet"
        assert len(echo.servicer.calls) == 4

    def test_other_statuses_are_not_retried(self, calls, echo):
        with pytest.raises(grpc.RpcError) as error:
            calls(retry=self.ON).Unary(Request(status=5, details="gone"), timeout=5)
        assert error.value.code() == grpc.StatusCode.NOT_FOUND and len(echo.servicer.calls) == 1

    def test_a_stream_that_has_begun_is_not_retried(self, calls, echo):
        plain = echo.servicer._reply

        def reply(request, context, number=0):
            if number == 3:
                context.abort(grpc.StatusCode.UNAVAILABLE, "cut")
            return plain(request, context, number)
        echo.servicer._reply = reply
        got = []
        with pytest.raises(grpc.RpcError) as error:
            for one in calls(retry=self.ON).ServerStream(Request(count=10), timeout=5):
                got.append(one.number)
        assert error.value.code() == grpc.StatusCode.UNAVAILABLE
        assert got == [0, 1, 2] and echo.servicer.calls == ["ServerStream"]

    def test_streams_that_are_not_retried_work_as_ever(self, calls):
        made = calls(retry=self.ON)
        assert [one.number for one in made.ServerStream(Request(count=500), timeout=10)] == list(range(500))
        turn = threading.Semaphore(1)

        def requests():
            for number in range(20):
                turn.acquire()
                yield Request(payload=b"%d" % number)
        for number, reply in enumerate(made.Bidirectional(requests(), timeout=10)):
            assert reply.payload == b"%d" % number
            turn.release()

    def test_large_messages_pass(self, calls):
        payload = bytes(4 << 20)
        assert calls(retry=self.ON).Unary(Request(payload=payload), timeout=20).payload == payload

    def test_pushback_forbids(self, calls, echo):
        def reply(request, context, number=0):
            context.set_trailing_metadata((("grpc-retry-pushback-ms", "-1"),))
            context.abort(grpc.StatusCode.UNAVAILABLE, "never")
        echo.servicer._reply = reply
        with pytest.raises(grpc.RpcError):
            calls(retry=self.ON).Unary(Request(), timeout=5)
        assert len(echo.servicer.calls) == 1

    def test_thirty_percent_unavailable(self, calls, echo):
        """Three of ten calls fail, four attempts: 99.2 % must succeed, and all do since failures are spread."""
        plain, count = echo.servicer._reply, itertools.count()

        def reply(request, context, number=0):
            if next(count) % 10 < 3:
                context.abort(grpc.StatusCode.UNAVAILABLE, "not yet")
            return plain(request, context, number)
        echo.servicer._reply = reply
        made = calls(retry=self.ON)
        assert [made.Unary(Request(payload=b"%d" % n), timeout=5).payload for n in range(100)] == [
            b"%d" % n for n in range(100)]


def test_all_that_failed_are_avoided(start, upstream, client):
    """Two of three endpoints fail everything: two retries are enough for every request."""
    bad = [upstream(lambda *_: answer("sorry", status="503 Service Unavailable")) for _ in range(2)]
    good = upstream(lambda *_: answer("fine"))
    start(*(one.port for one in (*bad, good)), retry={"attempts": 2, "codes": [503], "backoff": QUICK},
          retryBudget={"minConcurrency": 50})
    assert [client.get().status for _ in range(40)] == [200] * 40


@pytest.mark.parametrize("protocol", ["h1", "h2"])
def test_an_answer_too_large_to_keep_is_given_to_nobody(start, upstream, client, protocol):
    """Its body is gone: its head with content-length alone would put the connection out of step."""
    broken = itertools.count()

    def script(request, connection):
        if request.target == "/fine":
            return answer("fine")
        return False if next(broken) % 2 else answer(b"x" * (20 << 10), status="503 Service Unavailable")
    server = upstream(script)
    start(server.port, retry={"attempts": 1, "codes": [503], "backoff": QUICK})
    connection = client.http1() if protocol == "h1" else client.http2()
    for turn in range(3):
        got = connection.get("/broken")
        assert (got.status, got.get("x-martlet-reason")) == (502, "upstream_closed")
        assert int(got.get("content-length")) == len(got.body) > 0
        got = connection.get("/fine")
        assert (got.status, got.body) == (200, b"fine")
    assert next(broken) == 6
