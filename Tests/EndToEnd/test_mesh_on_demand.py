"""Calls of services that the caller's Workload does not declare: the first one waits for the control plane."""
import re
import signal
import socket
import threading

import pytest
from harness import grpc_echo
from harness.config import H2C
from harness.grpc_echo import EchoServer, Request
from harness.plane import route, service, settings, to, workload
from harness.upstream import describe


def on_demand(web, result):
    """Requests for undeclared services that came to result so far."""
    _, text = web.admin("/metrics")
    return int(re.search(rf'^martlet_on_demand_requests_total{{result="{result}"}} (\d+)', text, re.M)[1])


@pytest.fixture
def caller(mesh, upstream):
    """caller(documents…) → (plane, web): web declares nothing, and orders is there."""
    def start(*documents, names=("orders",)):
        plane = mesh.control([settings(), service("web"), workload("web"),
                              *(one for name in names for one in (service(name), workload(name))), *documents])
        for name in names:
            mesh.sidecar(f"shop/{name}", app=upstream(describe(name)).port)
        web = mesh.sidecar("shop/web")
        plane.wait_for(*(f"{name}-1" for name in names), "web-1")
        return plane, web
    return start


def reason(response):
    return response.status, response.get("x-martlet-reason")


def test_the_first_call_finds_the_service(caller):
    _, web = caller()
    assert web.call("orders.shop.svc").status == 200
    assert web.call("orders").status == 200
    assert on_demand(web, "found") == 1, "the second call must find a route"


def test_a_body_waits_with_its_request(caller):
    _, web = caller()
    response = web.call("orders", method="POST", body=b"x" * 30_000)
    assert response.status == 200
    assert on_demand(web, "found") == 1


def test_many_first_calls_ask_once(caller):
    plane, web = caller()
    before = plane.metric("martlet_control_pushes_total", type="MeshService")
    statuses = []
    threads = [threading.Thread(target=lambda: statuses.append(web.call("orders").status)) for _ in range(40)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert statuses == [200] * 40
    assert plane.metric("martlet_control_pushes_total", type="MeshService") - before <= 1


def test_the_first_call_obeys_the_services_route(caller):
    _, web = caller(route("orders", "orders", to("other")), names=("orders", "other"))
    assert b'"other"' in web.call("orders").body


def test_grpc_waits_as_well(mesh, closing):
    echo = EchoServer()
    closing.callback(echo.close)
    plane = mesh.control([settings(), service("web"), service("echo", protocol=H2C), workload("web"), workload("echo")])
    mesh.sidecar("shop/echo", app=echo.port)
    web = mesh.sidecar("shop/web")
    plane.wait_for("echo-1", "web-1")
    with grpc_echo.channel(web.outbound, **{"grpc.default_authority": "echo"}) as channel:
        assert grpc_echo.stub(channel).Unary(Request(payload=b"hello"), timeout=10).payload == b"hello"
    assert on_demand(web, "found") == 1


def test_an_unknown_service_is_404_and_remembered(caller):
    _, web = caller()
    for _ in range(3):
        assert reason(web.call("nothing")) == (404, "route_not_found")
    assert on_demand(web, "missing") == 1 and on_demand(web, "remembered") == 2
    # Names that no service has are not asked for.
    assert reason(web.call("www.example.com.au")) == (404, "route_not_found")
    assert reason(web.call("10.1.2.3")) == (404, "route_not_found")


def test_a_service_that_appears_later_is_found(caller):
    plane, web = caller(names=("orders",))
    assert web.call("later").status == 404
    plane.edit([service("later")], "later.yaml")
    # It has no endpoint, but a route.
    web.wait(lambda: reason(web.call("later"))[1] == "no_endpoint", "told of the service that it has asked for")


def test_a_flood_of_unknown_hosts_is_bounded(caller):
    plane, web = caller()
    before = plane.metric("martlet_control_pushes_total", type="MeshService")
    answers = [reason(web.call(f"nobody-{number}")) for number in range(600)]
    assert set(answers) <= {(404, "route_not_found"), (503, "service_not_discovered")}
    asked, refused = on_demand(web, "missing"), on_demand(web, "refused")
    assert refused > 0 and asked + refused == 600
    assert plane.metric("martlet_control_pushes_total", type="MeshService") - before <= asked + 8
    web.wait(lambda: web.call("orders").status == 200, "able to find a service after the flood")


def test_without_a_control_plane_the_caller_is_told(caller):
    plane, web = caller()
    plane.kill()
    web.wait(lambda: "martlet_control_connected 0" in web.admin("/metrics")[1], "aware that the control plane is gone")
    assert reason(web.call("orders")) == (503, "service_not_discovered")
    assert on_demand(web, "unavailable") == 1
    plane.is_expected_to_end = False
    plane.start()
    web.wait(lambda: web.call("orders").status == 200, "able to find the service again")


def test_a_control_plane_that_is_silent_costs_a_second(caller):
    plane, web = caller()
    plane.process.send_signal(signal.SIGSTOP)
    try:
        assert reason(web.call("orders")) == (503, "service_not_discovered")
    finally:
        plane.process.send_signal(signal.SIGCONT)
    assert on_demand(web, "late") == 1
    web.wait(lambda: web.call("orders").status == 200, "able to find the service when it is told")


def test_a_client_that_gives_up_leaves_nothing_behind(caller):
    plane, web = caller()
    plane.process.send_signal(signal.SIGSTOP)
    try:
        for _ in range(20):
            with socket.create_connection(("127.0.0.1", web.outbound)) as connection:
                connection.sendall(b"GET / HTTP/1.1\r\nhost: orders\r\n\r\n")
    finally:
        plane.process.send_signal(signal.SIGCONT)
    web.wait(lambda: web.call("orders").status == 200, "able to find the service")
