"""Hedging: a second attempt beside one that is slow, of which the first to answer wins."""
import itertools
import time

import pytest

from harness import config
from harness.grpc_echo import EchoServer, Request, channel, stub
from harness.upstream import answer

HEDGED = {"attempts": 1, "on": ["reset"], "hedgeDelay": "100ms", "backoff": {"base": "0s", "max": "0s"}}


@pytest.fixture
def start(proxy):
    def start(*ports, protocol=None, **policy):
        proxy.start([*config.simple(proxy.port, *ports, protocol=protocol), config.traffic_policy("app", **policy)])
    return start


def slow(request, connection):
    time.sleep(3)
    return answer("slow")


def fast(request, connection):
    return answer(b"fast" + request.body)


@pytest.mark.parametrize("protocol", ["h1", "h2"])
def test_the_first_answer_wins(start, upstream, client, proxy, protocol, eventually):
    """One of two endpoints takes 3 s: nobody waits for it."""
    lame, good = upstream(slow), upstream(fast)
    start(lame.port, good.port, retry=HEDGED, retryBudget={"minConcurrency": 50})
    begun = time.monotonic()
    get = client.get if protocol == "h1" else client.http2().get
    answers = [get() for _ in range(10)]
    assert [(got.status, got.body) for got in answers] == [(200, b"fast")] * 10
    assert time.monotonic() - begun < 3
    hedges = proxy.metric("martlet_upstream_retries_total", backend="default/Backend/app", cause="hedge")
    assert lame.requests and hedges == len(lame.requests)
    eventually(lambda: proxy.metric("martlet_requests_in_flight") <= 1)  # this one


def test_the_loser_is_cancelled(start, upstream, client, eventually):
    gone = []

    def script(request, connection):
        gone.append(connection.is_closed(seconds=2))
        return False
    lame, good = upstream(script), upstream(fast)
    start(lame.port, good.port, retry=HEDGED)
    for _ in range(6):
        assert client.get().status == 200
    eventually(lambda: gone and all(gone))


def test_who_answers_in_time_is_asked_once(start, upstream, client):
    one, other = upstream(fast), upstream(fast)
    start(one.port, other.port, retry=HEDGED)
    assert [client.get().status for _ in range(20)] == [200] * 20
    assert len(one.requests) + len(other.requests) == 20


def test_the_slow_first_attempt_may_still_win(start, upstream, client):
    """The second attempt hangs for longer than the first takes."""
    count = itertools.count()

    def script(request, connection):
        time.sleep(0.3 if next(count) == 0 else 5)
        return answer("first")
    server = upstream(script)
    start(server.port, retry=HEDGED)
    assert client.get().body == b"first"
    assert len(server.requests) == 2
    assert server.requests[1].get("x-martlet-attempt") == "2"


def test_a_first_attempt_that_fails_waits_for_the_second(start, upstream, client):
    count = itertools.count()

    def script(request, connection):
        if next(count) == 0:
            time.sleep(0.3)
            return False
        time.sleep(0.6)
        return answer("second")
    server = upstream(script)
    start(server.port, retry=HEDGED)
    assert client.get().body == b"second"
    assert len(server.requests) == 2


def test_an_attempt_that_waited_for_a_limit_is_hedged_too(start, upstream, client, eventually):
    """Two requests have all places for a while; what waits for one of them comes to an endpoint that hangs."""
    count = itertools.count()

    def script(request, connection):
        if request.method == "POST":
            time.sleep(1)
            return answer("busy")
        return slow(request, connection) if next(count) == 0 else answer("second")
    server = upstream(script)
    start(server.port, retry=HEDGED, connectionLimits={"maxRequests": 2, "maxPendingRequests": 10})
    busy = [client.http1() for _ in range(2)]
    for connection in busy:
        connection.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n")
    eventually(lambda: len(server.requests) == 2)
    assert client.get().body == b"second"
    assert len(server.requests) == 4


def test_both_fail(start, upstream, client):
    def script(request, connection):
        time.sleep(0.3)
        return False
    server = upstream(script)
    start(server.port, retry=HEDGED)
    got = client.get()
    assert got.status == 502
    assert len(server.requests) == 2


def test_the_budget_holds(start, upstream, client):
    server = upstream(lambda request, connection: time.sleep(0.3) or answer("ok"))
    start(server.port, retry=HEDGED, retryBudget={"percent": 0, "minConcurrency": 0})
    assert client.get().status == 200
    assert len(server.requests) == 1


def test_only_what_may_be_repeated(start, upstream, client):
    server = upstream(lambda request, connection: time.sleep(0.3) or answer("ok"))
    start(server.port, retry=HEDGED)
    assert client.get(method="POST", body=b"x").status == 200
    assert len(server.requests) == 1


def test_with_a_body(start, upstream, client):
    lame, good = upstream(slow), upstream(fast)
    start(lame.port, good.port, retry={**HEDGED, "nonIdempotent": True}, retryBudget={"minConcurrency": 50})
    body = b"b" * 30_000
    for _ in range(6):
        assert client.get(method="POST", body=body).body == b"fast" + body


def test_client_that_leaves_ends_both(start, upstream, client, proxy, eventually):
    server = upstream(slow)
    start(server.port, retry=HEDGED)
    connection = client.http1()
    connection.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
    eventually(lambda: len(server.requests) == 2)
    connection.close()
    eventually(lambda: proxy.metric("martlet_upstream_connections_active", backend="default/Backend/app") == 0)


def test_grpc(start, proxy, closing):
    lame, good = EchoServer(), EchoServer()
    closing.callback(lame.close)
    closing.callback(good.close)
    plain = lame.servicer._reply
    lame.servicer._begin = lambda context, method: lame.servicer.calls.append(method)
    lame.servicer._reply = lambda request, context, number=0: time.sleep(2) or plain(request, context, number)
    start(lame.port, good.port, protocol=config.H2C, retry={**HEDGED, "nonIdempotent": True},
          retryBudget={"minConcurrency": 50})
    calls = stub(closing.enter_context(channel(proxy.port)))
    # Which endpoint is asked first is left to chance.
    for number in range(60):
        assert calls.Unary(Request(payload=b"%d" % number), timeout=1.9).payload == b"%d" % number
        if lame.servicer.calls:
            break
    assert lame.servicer.calls
