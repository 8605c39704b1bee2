"""Endpoints are asked whether they are well, apart from requests: HTTP, gRPC and TCP."""
import json
import threading

import grpc
import pytest

from harness import config
from harness.config import traffic_policy
from harness.gates import holds
from harness.ports import free_port
from harness.upstream import Upstream, answer


class Healthy:
    """An HTTP/1.1 script: `/health` answers `status`, everything else the name."""

    def __init__(self, name):
        self.name, self.status, self.probes = name, "200 OK", []

    def http1(self, request, connection):
        if request.target.startswith("/health"):
            self.probes.append(request)
            return answer("", status=self.status)
        return answer(self.name)

    def http2(self, connection, number, request):
        fields = dict(request["headers"])
        if fields[":path"].startswith("/health"):
            self.probes.append(fields)
            return connection.respond(number, int(self.status.split()[0]), body=b"x")
        connection.respond(number, body=self.name.encode())


@pytest.fixture(params=["h1", "h2", "tls", "h2tls"])
def checked(request, proxy, upstream, h2_upstream, pki):
    """Two endpoints that are probed: checked(**healthCheck) → a, b."""
    kind = request.param

    def start(**check):
        both = [Healthy("a"), Healthy("b")]
        documents = [config.gateway(config.http(proxy.port)), config.route(config.rule("app"))]
        made = []
        for one in both:
            if kind == "h1":
                made.append(upstream(one.http1))
            elif kind == "h2":
                made.append(h2_upstream(one.http2))
            elif kind == "tls":
                made.append(upstream(one.http1, tls=pki.server("upstream", "http/1.1")))
            else:
                made.append(h2_upstream(one.http2, tls=pki.server("upstream", "h2")))
        for one, server in zip(both, made):
            one.server = server
        documents.append(config.backend("app", *(server.port for server in made),
                                        protocol=config.H2C if kind.startswith("h2") else None))
        if "tls" in kind:
            documents += [config.authority("ca", pki), config.backend_tls("app-tls", "app", "upstream.internal", "ca")]
        settings = {"http": {"path": "/health"}, "interval": "200ms", "timeout": "150ms", "unhealthyThreshold": 2,
                    "healthyThreshold": 2, **check}
        proxy.start([*documents, traffic_policy("app", healthCheck=settings, loadBalancer={"type": "ROUND_ROBIN"})],
                    "--loops", "2")
        return both
    start.kind = kind
    return start


def standing(proxy):
    return [(one["endpoint"], one["available"], one.get("lastProbe")) for one in json.loads(proxy.admin("/upstreams")[2])]


def unhealthy(proxy):
    return proxy.metric("martlet_upstream_endpoints", state="unhealthy")


def names(client, count=12):
    return {client.get().body for _ in range(count)}


def test_an_endpoint_that_says_so_gets_no_requests(checked, proxy, client, eventually):
    a, b = checked()
    eventually(lambda: a.probes and b.probes)
    assert names(client) == {b"a", b"b"}
    a.status = "503 No"
    eventually(lambda: unhealthy(proxy) == 1)
    assert names(client) == {b"b"}
    assert proxy.metric("martlet_upstream_health_probes_total", result="failed") >= 2
    a.status = "202 Fine"
    eventually(lambda: unhealthy(proxy) == 0)
    assert names(client) == {b"a", b"b"}


def test_the_probe_is_recognisable(checked, proxy, eventually):
    a, b = checked(http={"path": "/health?full", "host": "probe.example"})
    eventually(lambda: len(a.probes) >= 2)
    probe = a.probes[0]
    if isinstance(probe, dict):
        assert (probe[":authority"], probe[":path"], probe["user-agent"]) == ("probe.example", "/health?full", "martlet-health")
    else:
        assert (probe.get("host"), probe.target, probe.get("user-agent")) == ("probe.example", "/health?full", "martlet-health")
    # One loop asks for all: no more than one in 180 ms.
    before = len(a.probes)
    holds(lambda: True, 1.0)
    assert len(a.probes) - before <= 6


def test_statuses(checked, proxy, eventually):
    a, b = checked(http={"path": "/health", "statuses": [202, "300-399"]})
    a.status, b.status = "202 Fine", "200 OK"
    eventually(lambda: [available for _, available, _ in standing(proxy)] == [True, False])
    detail = standing(proxy)[1][2]
    assert detail["succeeded"] is False and detail["detail"] == "status 200"


def backend_of(proxy, check, *ports, protocol=None):
    return [*config.simple(proxy.port, *ports, protocol=protocol),
            traffic_policy("app", healthCheck={"interval": "200ms", "timeout": "150ms", "unhealthyThreshold": 2, **check})]


def test_an_endpoint_that_hangs_is_unhealthy(proxy, upstream, client, eventually):
    hanging = upstream(serve=lambda connection: threading.Event().wait(5))
    good = upstream(lambda *_: answer("good"))
    proxy.start(backend_of(proxy, {"http": {"path": "/"}}, hanging.port, good.port))
    eventually(lambda: unhealthy(proxy) == 1)
    assert names(client) == {b"good"}
    assert [one[2]["detail"] for one in standing(proxy) if not one[1]] == ["no answer in time"]


def test_tcp(proxy, client, eventually):
    port = free_port()
    other = Upstream(lambda *_: answer("other"))
    try:
        proxy.start(backend_of(proxy, {"tcp": {}}, port, other.port))
        eventually(lambda: unhealthy(proxy) == 1)
        assert names(client) == {b"other"}
        late = Upstream(lambda *_: answer("late"), port=port)
        try:
            eventually(lambda: unhealthy(proxy) == 0)
            eventually(lambda: b"late" in names(client))
        finally:
            late.close()
    finally:
        other.close()


def test_another_port(proxy, upstream, client, eventually):
    health = upstream(lambda *_: answer("", status="500 No"))
    good, other = upstream(lambda *_: answer("x")), upstream(lambda *_: answer("y"))
    proxy.start(backend_of(proxy, {"http": {"path": "/"}, "port": health.port}, good.port, other.port))
    eventually(lambda: unhealthy(proxy) == 2)
    # All are unwell: the fault is likely elsewhere, and requests go on.
    assert client.get().status == 200


def test_checks_end_with_their_policy(proxy, upstream, client, eventually):
    sick = Healthy("sick")
    sick.status = "500 No"
    server, good = upstream(sick.http1), upstream(lambda *_: answer("good"))
    proxy.start(backend_of(proxy, {"http": {"path": "/health"}}, server.port, good.port))
    eventually(lambda: unhealthy(proxy) == 1)
    proxy.edit(config.simple(proxy.port, server.port, good.port))
    eventually(lambda: b"sick" in names(client))
    count = len(sick.probes)
    assert holds(lambda: len(sick.probes) <= count + 1, 0.6)


class HealthServer:
    """grpc.health.v1 by hand: the status of each service."""

    def __init__(self):
        self.port = free_port()
        self.statuses, self.asked, self.metadata = {"": 1}, [], {}
        from concurrent.futures import ThreadPoolExecutor
        self.server = grpc.server(ThreadPoolExecutor(4))

        def check(request, context):
            name = request[2:].decode() if request else ""
            self.asked.append(name)
            self.metadata = dict(context.invocation_metadata())
            if name not in self.statuses:
                context.abort(grpc.StatusCode.NOT_FOUND, "unknown service")
            return bytes([8, self.statuses[name]])
        handler = grpc.method_handlers_generic_handler("grpc.health.v1.Health", {
            "Check": grpc.unary_unary_rpc_method_handler(check)})
        self.server.add_generic_rpc_handlers((handler,))
        self.server.add_insecure_port(f"127.0.0.1:{self.port}")
        self.server.start()

    def close(self):
        self.server.stop(0).wait(5)


@pytest.fixture
def health_server(closing):
    def make():
        made = HealthServer()
        closing.callback(made.close)
        return made
    return make


@pytest.mark.parametrize("service", ["", "shop.v1.Cart"])
def test_grpc(proxy, health_server, eventually, service):
    a, b = health_server(), health_server()
    for one in (a, b):
        one.statuses = {service: 1}
    check = {"grpc": {"service": service} if service else {}}
    proxy.start(backend_of(proxy, check, a.port, b.port, protocol=config.H2C))
    eventually(lambda: a.asked and b.asked)
    assert set(a.asked) == {service}
    assert a.metadata["user-agent"].startswith("martlet-health")
    eventually(lambda: proxy.metric("martlet_upstream_health_probes_total", result="succeeded") >= 4)
    assert unhealthy(proxy) == 0
    a.statuses = {service: 2}
    eventually(lambda: unhealthy(proxy) == 1)
    assert [one[2]["detail"] for one in standing(proxy) if not one[1]] == ["NOT_SERVING"]
    a.statuses = {}
    eventually(lambda: any(one[2]["detail"] == "grpc-status 5" for one in standing(proxy)))
    a.statuses = {service: 1}
    eventually(lambda: unhealthy(proxy) == 0)


def test_grpc_endpoint_without_the_service(proxy, echo, eventually):
    proxy.start(backend_of(proxy, {"grpc": {}}, echo.port, protocol=config.H2C))
    eventually(lambda: unhealthy(proxy) == 1)
    assert standing(proxy)[0][2]["detail"] == "grpc-status 12"
