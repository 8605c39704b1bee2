"""Readiness of a service, asked by its own sidecar: while it is not well, its instance gets no traffic."""
import signal

import pytest
from harness.config import H2C
from harness.gates import Gate
from harness.http2 import H2Server
from harness.load import HTTP1, Load
from harness.plane import service, settings, workload
from harness.ports import free_port
from harness.upstream import Upstream, answer

OFTEN = {"interval": "200ms", "timeout": "150ms", "unhealthyThreshold": 1, "healthyThreshold": 2}


class ByStatus:
    """An HTTP/1.1 service whose /health answers with a status."""
    check, protocol, reason = {"http": {"path": "/health"}}, None, "status 503"

    def __init__(self, name, closing):
        self.name, self.status = name, "200 OK"
        self.server = Upstream(self.script)
        self.port = self.server.port
        closing.callback(self.server.close)

    def script(self, request, connection):
        return answer("", status=self.status) if request.target == "/health" else answer(self.name)

    def fall_ill(self):
        self.status = "503 Busy"

    def recover(self):
        self.status = "200 OK"


class ByServingStatus:
    """An h2c service with grpc.health.v1.Health."""
    check, protocol, reason = {"grpc": {}}, H2C, "NOT_SERVING"

    def __init__(self, name, closing):
        self.name, self.status = name, 1
        self.server = H2Server(self.script)
        self.port = self.server.port
        closing.callback(self.server.close)

    def script(self, connection, number, request):
        if dict(request["headers"])[":path"] == "/grpc.health.v1.Health/Check":
            return connection.respond(number, headers=[("content-type", "application/grpc")],
                                      body=bytes([0, 0, 0, 0, 2, 8, self.status]), trailers=[("grpc-status", "0")])
        connection.respond(number, body=self.name.encode())

    def fall_ill(self):
        self.status = 2

    def recover(self):
        self.status = 1


class ByConnection:
    """A service that is well while another port of it takes connections."""
    protocol, reason = None, "the connection failed"

    def __init__(self, name, closing):
        self.closing, self.watched = closing, free_port()
        self.server = Upstream(lambda *_: answer(name))
        self.port = self.server.port
        closing.callback(self.server.close)
        self.check = {"tcp": {}, "port": self.watched}
        self.recover()

    def fall_ill(self):
        self.other.close()

    def recover(self):
        self.other = Upstream(port=self.watched)
        self.closing.callback(self.other.close)


@pytest.fixture(params=[ByStatus, ByServingStatus, ByConnection], ids=["http", "grpc", "tcp"])
def two(request, mesh, closing):
    """Two versions of orders, one instance each, and web: two() → (plane, web, {name: service}, orders).

    later: not started yet; orders[name]() does so.
    """
    def start(later=()):
        apps = {name: request.param(name, closing) for name in ("a", "b")}
        documents = [workload(f"orders-{name}", service="orders", ports=[{"port": 80, "readiness": {**app.check, **OFTEN}}])
                     for name, app in apps.items()]
        plane = mesh.control([settings(), service("web"), service("orders", protocol=request.param.protocol),
                              workload("web", "orders"), *documents])
        orders = {name: lambda name=name, app=app: mesh.sidecar(f"shop/orders-{name}", app=app.port, ready=False)
                  for name, app in apps.items()}
        started = [name for name in apps if name not in later]
        for name in started:
            orders[name]()
        web = mesh.sidecar("shop/web")
        plane.wait_for("web-1", *(f"orders-{name}-1" for name in started))
        web.wait(lambda: web.call("orders").status == 200, "able to call orders")
        return plane, web, apps, orders
    return start


def readiness(plane, name):
    return plane.proxies().get(f"orders-{name}-1", {}).get("readiness")


def served_by(load, web, count=50):
    """Who answers the next requests."""
    load.bodies.clear()
    done = load.done
    web.wait(lambda: load.done > done + count, f"through with {count} requests")
    return {body.decode() for body in load.bodies}


def test_an_instance_that_is_not_well_gets_no_traffic_until_it_is(two):
    plane, web, apps, _ = two()
    with Load(lambda: HTTP1(web.outbound, name="orders"), threads=4) as load:
        web.wait(lambda: len(load.bodies) == 2, "served by both")
        apps["a"].fall_ill()
        plane.wait(lambda: readiness(plane, "a") == "unready", "aware that a is not well")
        web.wait(lambda: served_by(load, web) == {"b"}, "served by b alone")
        apps["a"].recover()
        plane.wait(lambda: readiness(plane, "a") == "ready", "aware that a is well again")
        web.wait(lambda: served_by(load, web) == {"a", "b"}, "served by both again")
    assert not load.failures, load.failures[:3]


def test_an_instance_that_was_never_well_never_got_traffic(two):
    plane, web, apps, orders = two(later=("a",))
    apps["a"].fall_ill()
    with Load(lambda: HTTP1(web.outbound, name="orders"), threads=4) as load:
        orders["a"]()
        plane.wait(lambda: readiness(plane, "a") == "unready", "aware that a is not well")
        done = load.done
        web.wait(lambda: load.done > done + 50, "through with 50 requests")
        assert {body.decode() for body in load.bodies} == {"b"}
        apps["a"].recover()
        plane.wait(lambda: readiness(plane, "a") == "ready", "aware that a is well")
        web.wait(lambda: served_by(load, web) == {"a", "b"}, "served by both")
    assert not load.failures, load.failures[:3]


def test_why_an_instance_gets_no_traffic_is_said(two):
    plane, web, apps, _ = two()
    apps["a"].fall_ill()
    plane.wait(lambda: readiness(plane, "a") == "unready", "aware that a is not well")
    warnings = plane.proxies()["orders-a-1"]["warnings"]
    assert any(apps["a"].reason in warning for warning in warnings), warnings


# ------------------------------------------------------------------ the end

def test_an_instance_that_drains_is_out_before_it_ends(mesh, upstream):
    plane = mesh.control([settings(), service("web"), service("orders"), workload("web", "orders"), workload("orders")])
    gate = Gate()
    held = upstream(lambda request, connection: gate.http1(request, connection) if request.target == "/hold" else answer("a"))
    first = mesh.sidecar("shop/orders", app=held.port)
    web = mesh.sidecar("shop/web")
    plane.wait_for("orders-1", "web-1")
    web.wait(lambda: web.call("orders").status == 200, "able to call orders")
    slow = HTTP1(web.outbound, "/hold", name="orders")
    with Load(lambda: slow, threads=1) as asking:
        web.wait(lambda: gate.inside == 1, "asking the first")
        asking.stop_asking()
        mesh.sidecar("shop/orders", app=upstream(lambda *_: answer("b")).port)
        plane.wait_for("orders-2")
        with Load(lambda: HTTP1(web.outbound, name="orders"), threads=4) as load:
            web.wait(lambda: len(load.bodies) == 2, "served by both")
            first.process.send_signal(signal.SIGTERM)
            plane.wait(lambda: plane.proxies()["orders-1"]["readiness"] == "draining", "aware that it drains")
            web.wait(lambda: served_by(load, web) == {"b"}, "served by the other")
            assert first.process.poll() is None, "it waits for the request in flight"
            gate.open()
            assert first.process.wait(20) == 0
            served_by(load, web)
        assert not load.failures, load.failures[:3]
    assert asking.bodies == {b"done": 1} and not asking.failures
