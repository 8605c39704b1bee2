"""A mirrored copy ends with its response, though nobody reads that, and is in nobody's way."""
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from harness import config
from harness.config import traffic_policy
from harness.http1 import Connection
from harness.http2 import H2Client
from harness.upstream import answer


def test_copies_give_their_connections_back(proxy, upstream, client, eventually):
    app, shadow = upstream(lambda *_: answer("ok")), upstream(lambda *_: answer("y" * 5000))
    mirror = {"type": "RequestMirror", "requestMirror": {"backendRef": config.ref("shadow")}}
    proxy.start([config.gateway(config.http(proxy.port)), config.backend("app", app.port),
                 config.backend("shadow", shadow.port), config.route(config.rule("app", filters=[mirror]))])
    for number in range(30):
        assert client.get().status == 200
        eventually(lambda: len(shadow.requests) == number + 1)
    assert len(shadow.connections) < 10


def test_copies_of_large_answers_end_too(proxy, upstream, client, eventually):
    app, shadow = upstream(lambda *_: answer("ok")), upstream(lambda *_: answer(bytes(2 << 20)))
    mirror = {"type": "RequestMirror", "requestMirror": {"backendRef": config.ref("shadow")}}
    proxy.start([config.gateway(config.http(proxy.port)), config.backend("app", app.port),
                 config.backend("shadow", shadow.port), config.route(config.rule("app", filters=[mirror]))])
    for number in range(5):
        assert client.get(method="POST", body=b"b" * 10_000).status == 200
        eventually(lambda: proxy.metric("martlet_upstream_requests_total", backend="default/Backend/shadow",
                                        status_class="2xx") == number + 1)
    assert len(shadow.connections) < 5


MIRROR = {"type": "RequestMirror", "requestMirror": {"backendRef": config.ref("shadow")}}


def mirrored(proxy, app, shadow, *policies):
    return [config.gateway(config.http(proxy.port)), config.backend("app", app.port),
            config.backend("shadow", shadow.port), config.route(config.rule("app", filters=[MIRROR])), *policies]


def hang(request, connection):
    connection.is_closed(seconds=30)
    return False


def test_copies_do_not_wait_for_a_limit(proxy, upstream, client, eventually):
    app, shadow = upstream(lambda *_: answer("ok")), upstream(hang)
    proxy.start(mirrored(proxy, app, shadow, traffic_policy(
        "shadow", connectionLimits={"maxRequests": 1, "maxPendingRequests": 100, "pendingTimeout": "60s"})))
    assert [client.get().status for _ in range(6)] == [200] * 6
    eventually(lambda: proxy.metric("martlet_upstream_refusals_total", backend="default/Backend/shadow",
                                    reason="upstream_request_limit") == 5)
    assert proxy.metric("martlet_upstream_requests_pending", backend="default/Backend/shadow") == 0


def test_copies_live_no_longer_than_their_originals_may(proxy, upstream, client, eventually):
    app, shadow = upstream(lambda *_: answer("ok")), upstream(hang)
    proxy.start(mirrored(proxy, app, shadow, traffic_policy("app", timeouts={"request": "1s"})))
    assert client.get().status == 200
    eventually(lambda: len(shadow.requests) == 1)
    eventually(lambda: proxy.metric("martlet_upstream_connections_active", backend="default/Backend/shadow") == 0)


def test_a_copy_that_is_over_is_not_taken_for_the_next_request(proxy, upstream, client, eventually):
    """The copy has its answer long before the original has come in, and its object serves another request by then."""
    app = upstream(lambda request, connection: answer(request.body))
    shadow = upstream(serve=lambda connection: (
        connection.until(b"\r\n\r\n"),
        connection.send("HTTP/1.1 400 No\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")))
    documents = mirrored(proxy, app, shadow)
    documents[3] = config.route(config.rule("app", matches=[config.path("/copied")], filters=[MIRROR]),
                                config.rule("app", matches=[config.path("/plain")]))
    proxy.start(documents, "--loops", "1")
    first = client.http1()
    first.send("POST /copied HTTP/1.1\r\nHost: a\r\nContent-Length: 20\r\n\r\n" + "a" * 10)
    eventually(lambda: proxy.metric("martlet_upstream_requests_total", backend="default/Backend/shadow",
                                    status_class="4xx") == 1)
    others = [client.http1() for _ in range(3)]
    for other in others:
        other.send("POST /plain HTTP/1.1\r\nHost: a\r\nContent-Length: 20\r\n\r\n" + "b" * 10)
    eventually(lambda: proxy.metric("martlet_requests_in_flight") >= 4)
    first.send("a" * 10)
    assert first.response().body == b"a" * 20
    for other in others:
        other.send("b" * 10)
        assert other.response().body == b"b" * 20


def early(connection):
    """Answers each request when its head is there, and reads the rest."""
    while connection.fill():
        if b"\r\n\r\n" in connection.buffer:
            connection.until(b"\r\n\r\n")
            connection.send(answer("enough"))
            return connection.to_end()


def not_echoed(proxy, number, turns=15):
    """Bodies that do not come back as they were sent, of POSTs one after the other on one connection."""
    wrong = []
    with (Connection.to if number % 2 else H2Client)(proxy.port) as connection:
        for turn in range(turns):
            body = f"{number}:{turn} ".encode() * 300
            got = connection.get(method="POST", body=body) if number % 2 else connection.post("/", body)
            if (got.status, got.body) != (200, body):
                wrong.append((got.status, body[:20], got.body[:20]))
    return wrong


@pytest.mark.parametrize("shadow", ["no endpoint", "refuses", "closes", "answers at once"])
def test_a_copy_that_ends_early_touches_no_other_request(proxy, upstream, client, refusing_port, shadow):
    """Its original still sends: what comes belongs to no request that the proxy has begun since."""
    app = upstream(lambda request, _: answer(request.body))
    if shadow in ("refuses", "no endpoint"):
        port = refusing_port
    else:
        port = upstream(serve=early if shadow == "answers at once" else lambda connection: connection.fill()).port
    weight = {"weight": 0} if shadow == "no endpoint" else {}
    mirror = {"type": "RequestMirror", "requestMirror": {"backendRef": config.ref("shadow")}}
    proxy.start([
        config.gateway(config.http(proxy.port)), config.backend("app", app.port),
        config.backend("shadow", endpoints=[{"ip": {"address": "127.0.0.1", "port": port}, **weight}]),
        config.route(config.rule("app", filters=[mirror]))], "--loops", "1")
    slow = [client.http1() for _ in range(6)]
    for connection in slow:
        connection.send("POST /slow HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nslow\r\n")
    with ThreadPoolExecutor(8) as pool:
        others = [pool.submit(not_echoed, proxy, number) for number in range(8)]
        pieces = 0
        while pieces < 20 or not all(other.done() for other in others):
            for connection in slow:
                connection.send("4\r\nslow\r\n")
            pieces += 1
            time.sleep(0.01)
        assert [wrong for other in others for wrong in other.result()] == []
    for connection in slow:
        connection.send("0\r\n\r\n")
        assert connection.response().body == b"slow" * (pieces + 1)
