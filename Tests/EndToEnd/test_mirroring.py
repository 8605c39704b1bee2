"""A mirrored copy ends with its response, though nobody reads that."""
from harness import config
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
