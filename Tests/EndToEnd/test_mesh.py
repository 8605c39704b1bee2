"""Sidecars under a control plane: calls by name, versions, routes of services, access, hops."""
import json
import socket

import pytest
from harness import grpc_echo
from harness.config import H2C, MARTLET_API, document
from harness.grpc_echo import Request
from harness.http1 import fetch
from harness.load import HTTP1, Load
from harness.plane import route, service, settings, to, workload
from harness.ports import free_port
from harness.upstream import answer, describe


def shop(*more):
    """web calls orders."""
    return [settings(), service("web"), service("orders"), workload("web", "orders"), workload("orders"), *more]


@pytest.fixture
def pair(mesh, upstream):
    """web and orders, ready; pair(documents…, orders=script) → (plane, web, orders, the upstream of orders)."""
    def start(*documents, script=None):
        plane = mesh.control(shop(*documents))
        served = upstream(script or describe("orders"))
        orders = mesh.sidecar("shop/orders", app=served.port)
        web = mesh.sidecar("shop/web", app=upstream().port)
        plane.wait_for("orders-1", "web-1")
        web.wait(lambda: web.call("orders").status == 200, "able to call orders")
        return plane, web, orders, served
    return start


def test_http1_comes_out_as_http1_and_names_its_caller(pair):
    _, web, _, _ = pair()
    response = web.call("orders", "/a?b=1", headers=[("x-test", "1")])
    seen = json.loads(response.body)
    assert response.status == 200 and seen["start"] == "GET /a?b=1 HTTP/1.1"
    headers = {name.lower(): value for name, value in seen["headers"]}
    assert headers["host"] == "orders" and headers["x-test"] == "1"
    assert "URI=spiffe://test.mesh/ns/shop/svc/web" in headers["x-forwarded-client-cert"]


def test_all_names_of_a_service_lead_to_it(pair):
    _, web, _, _ = pair()
    for name in ("orders", "orders.shop", "orders.shop.svc", "orders.shop.svc.cluster.local", "orders:80"):
        assert web.call(name).status == 200, name
    assert web.call("unheard-of").status == 404


def test_many_requests_share_one_connection_between_sidecars(pair):
    _, web, orders, _ = pair()
    with Load(lambda: HTTP1(web.outbound, name="orders"), threads=8) as load:
        web.wait(lambda: load.done > 200, "through with 200 requests")
    assert not load.failures
    _, text = orders.admin("/metrics")
    opened = [line for line in text.splitlines()
              if line.startswith("martlet_downstream_connections_total") and "inbound" in line]
    assert opened and sum(float(line.rsplit(" ", 1)[1]) for line in opened) <= 3, opened


def test_grpc_between_sidecars(mesh, echo):
    plane = mesh.control([settings(), service("web"), service("echo", protocol=H2C), workload("web", "echo"), workload("echo")])
    mesh.sidecar("shop/echo", app=echo.port)
    web = mesh.sidecar("shop/web")
    plane.wait_for("echo-1", "web-1")
    channel = grpc_echo.channel(web.outbound, **{"grpc.default_authority": "echo"})
    with channel:
        stub = grpc_echo.stub(channel)
        assert stub.Unary(Request(payload=b"hello"), timeout=10, wait_for_ready=True).payload == b"hello"
        assert len(list(stub.ServerStream(Request(count=5), timeout=10))) == 5
        assert [reply.payload for reply in stub.Bidirectional(iter([Request(payload=b"a"), Request(payload=b"b")]), timeout=10)] == [b"a", b"b"]
    assert "spiffe://test.mesh/ns/shop/svc/web" in echo.servicer.metadata["x-forwarded-client-cert"]


def test_tcp_by_a_port_of_its_own(mesh, upstream):
    def parrot(connection):
        while data := connection.socket.recv(4096):
            connection.socket.sendall(data.upper())
    local = free_port()
    plane = mesh.control([settings(), service("web"), service("store", 6379, protocol="tcp"),
                          workload("web", {"service": "store", "port": local}), workload("store")])
    mesh.sidecar("shop/store", app=upstream(serve=parrot).port, port=6379)
    web = mesh.sidecar("shop/web")
    plane.wait_for("store-1", "web-1")

    def asks():
        with socket.create_connection(("127.0.0.1", local), 5) as connection:
            connection.sendall(b"hello")
            return connection.recv(100) == b"HELLO"
    web.wait(asks, "answered by the store")


def test_http_by_a_port_of_its_own(mesh, upstream):
    local = free_port()
    plane = mesh.control([settings(), service("web"), service("orders"), workload("orders"),
                          workload("web", {"service": "orders", "port": local})])
    mesh.sidecar("shop/orders", app=upstream(describe("orders")).port)
    web = mesh.sidecar("shop/web")
    plane.wait_for("orders-1", "web-1")
    web.wait(lambda: fetch(local, host="whatever").status == 200, "able to call orders by its port")


def two_versions(mesh, upstream, *documents):
    plane = mesh.control([settings(), service("web"), service("orders"), workload("web", "orders"),
                          workload("orders-v1", service="orders", labels={"version": "v1"}),
                          workload("orders-v2", service="orders", labels={"version": "v2"}), *documents])
    for version in ("v1", "v2"):
        mesh.sidecar(f"shop/orders-{version}", app=upstream(lambda *_, body=version: answer(body)).port)
    web = mesh.sidecar("shop/web")
    plane.wait_for("orders-v1-1", "orders-v2-1", "web-1")
    web.wait(lambda: web.call("orders").status == 200, "able to call orders")
    return plane, web


def subset(version):
    return document(MARTLET_API, "BackendSubset", f"orders-{version}", {
        "backendRef": {"kind": "Service", "name": "orders", "port": 80}, "labels": {"version": version}}, "shop")


def by_version(weight1, weight2, **more):
    refs = [{"group": "martlet.dev", "kind": "BackendSubset", "name": f"orders-v{number}", "weight": weight}
            for number, weight in ((1, weight1), (2, weight2))]
    return route("split", "orders", *refs, **more)


def versions(web, count=60):
    seen = {}
    for _ in range(count):
        body = web.call("orders").body.decode()
        seen[body] = seen.get(body, 0) + 1
    return seen


def test_without_a_route_all_versions_share(mesh, upstream):
    _, web = two_versions(mesh, upstream)
    seen = versions(web)
    assert set(seen) == {"v1", "v2"}


def test_weights_between_versions_follow_the_configuration(mesh, upstream):
    split = [subset("v1"), subset("v2")]
    plane, web = two_versions(mesh, upstream, *split, by_version(1, 0))
    web.wait(lambda: set(versions(web, 10)) == {"v1"}, "on v1 only")
    documents = [settings(), service("web"), service("orders"), workload("web", "orders"),
                 workload("orders-v1", service="orders", labels={"version": "v1"}),
                 workload("orders-v2", service="orders", labels={"version": "v2"}), *split]
    with Load(lambda: HTTP1(web.outbound, name="orders"), threads=2) as load:
        plane.edit([*documents, by_version(0, 1)])
        web.wait(lambda: set(versions(web, 10)) == {"v2"}, "on v2 only")
    assert not load.failures
    plane.edit([*documents, by_version(1, 1)])
    web.wait(lambda: set(versions(web, 20)) == {"v1", "v2"}, "on both")


def test_a_consumer_route_is_for_callers_of_its_namespace_only(mesh, upstream):
    other = route("mine", "orders", to("orders"), namespace="else",
                  filters=[{"type": "ResponseHeaderModifier", "responseHeaderModifier": {"set": [{"name": "x-route", "value": "consumer"}]}}])
    other["spec"]["parentRefs"][0]["namespace"] = "shop"
    other["spec"]["rules"][0]["backendRefs"][0]["namespace"] = "shop"
    grant = document("gateway.networking.k8s.io/v1beta1", "ReferenceGrant", "grant", {
        "from": [{"group": "gateway.networking.k8s.io", "kind": "HTTPRoute", "namespace": "else"}],
        "to": [{"group": "", "kind": "Service"}]}, "shop")
    plane = mesh.control(shop(service("guest", namespace="else"), other, grant,
                              workload("guest", {"service": "orders", "namespace": "shop"}, namespace="else")))
    mesh.sidecar("shop/orders", app=upstream(describe("orders")).port)
    web, guest = mesh.sidecar("shop/web"), mesh.sidecar("else/guest")
    plane.wait_for("orders-1", "web-1", "guest-1")
    guest.wait(lambda: guest.call("orders.shop").get("x-route") == "consumer", "on its own route")
    web.wait(lambda: web.call("orders").status == 200, "able to call orders")
    assert web.call("orders").get("x-route") is None


def test_route_of_one_port_of_a_service(mesh, upstream):
    plane = mesh.control([settings(), service("web"), service("orders", 80, 81), workload("web", "orders"), workload("orders"),
                          route("only81", "orders", port=81, filters=[{"type": "RequestRedirect", "requestRedirect": {"statusCode": 302, "hostname": "moved"}}])])
    app = upstream(describe("orders"))
    mesh.sidecar("shop/orders", "--port", f"81={app.port}", app=app.port)
    web = mesh.sidecar("shop/web")
    plane.wait_for("orders-1", "web-1")
    web.wait(lambda: web.call("orders:80").status == 200, "able to call orders")
    web.wait(lambda: web.call("orders:81").status == 302, "redirected on port 81")
    assert web.call("orders").status == 200


def policy(name, action="ALLOW", mode=None, **rule):
    return document(MARTLET_API, "AccessPolicy", name, {
        "targetRefs": [{"kind": "Service", "name": "orders"}], "action": action, **({"mode": mode} if mode else {}),
        "rules": [rule]}, "shop")


def test_access_policy_lets_in_whom_it_names(pair):
    plane, web, _, _ = pair(policy("reads", **{"from": [{"identities": ["shop/web"]}], "to": [{"methods": ["GET"]}]}))
    denied = web.call("orders", method="POST", body=b"x")
    assert denied.status == 403 and denied.get("x-martlet-reason") == "access_denied"
    plane.edit(shop(policy("reads", **{"from": [{"identities": ["shop/nobody"]}]})))
    web.wait(lambda: web.call("orders").status == 403, "refused")


def test_audited_policy_only_counts(pair):
    _, web, orders, _ = pair(policy("none", "DENY", "AUDIT", **{"from": [{"identities": ["*"]}]}))
    assert web.call("orders").status == 200
    assert "audit" in orders.admin("/metrics")[1]


def test_a_gateway_leads_into_the_mesh(mesh, upstream):
    port = free_port()
    gateway = document("gateway.networking.k8s.io/v1", "Gateway", "edge", {
        "listeners": [{"name": "http", "protocol": "HTTP", "port": port}]}, "shop")
    front = document("gateway.networking.k8s.io/v1", "HTTPRoute", "front", {
        "parentRefs": [{"name": "edge"}], "rules": [{"backendRefs": [to("orders")]}]}, "shop")
    plane = mesh.control(shop(gateway, front))
    mesh.sidecar("shop/orders", app=upstream(describe("orders")).port)
    edge = mesh.gateway("shop/edge")
    plane.wait_for("orders-1", "edge-1")
    edge.wait(lambda: fetch(port, headers=[("x-forwarded-client-cert", "URI=spiffe://forged")]).status == 200, "serving")
    seen = json.loads(fetch(port, headers=[("x-forwarded-client-cert", "URI=spiffe://forged")]).body)
    sent = {name.lower(): value for name, value in seen["headers"]}["x-forwarded-client-cert"]
    assert "forged" not in sent and "svc/edge" in sent


def test_hops_are_known_to_the_control_plane(pair):
    plane, web, _, _ = pair()
    for _ in range(20):
        assert web.call("orders").status == 200

    def hops():
        return [hop for hop in plane.get("/v1/traffic")["hops"]
                if (hop["source"], hop["destination"]) == ("shop/web", "shop/orders")]
    plane.wait(lambda: any(hop["requests"] >= 20 for hop in hops()), "aware of the hop", 20)
    assert all(hop["mtls"] for hop in hops()), hops()
    table = plane.tool("edges").stdout
    assert "shop/web" in table and "shop/orders" in table


def test_permissive_takes_both_and_strict_only_mutual_tls(mesh, upstream):
    inbound = free_port()
    open_to_all = workload("orders", mtls={"mode": "PERMISSIVE"}, ports=[{"port": 80, "inboundPort": inbound}])
    plane = mesh.control([settings(), service("web"), service("orders"), workload("web", "orders"), open_to_all])
    orders = mesh.sidecar("shop/orders", app=upstream(describe("orders")).port)
    web = mesh.sidecar("shop/web")
    plane.wait_for("orders-1", "web-1")
    web.wait(lambda: web.call("orders").status == 200, "able to call orders")
    assert fetch(inbound).status == 200
    plane.edit([settings(), service("web"), service("orders"), workload("web", "orders"),
                workload("orders", ports=[{"port": 80, "inboundPort": inbound}])])

    def refused():
        try:
            return fetch(inbound).status != 200
        except Exception:  # noqa: BLE001: closed, reset: anything but an answer
            return True
    orders.wait(refused, "strict")
    web.wait(lambda: web.call("orders").status == 200, "able to call orders in strict mode")


def test_undeclared_service_is_fetched_on_demand(mesh, upstream):
    plane = mesh.control([settings(), service("web"), service("orders"), workload("web"), workload("orders")])
    mesh.sidecar("shop/orders", app=upstream(describe("orders")).port)
    web = mesh.sidecar("shop/web")
    plane.wait_for("orders-1", "web-1")
    assert web.call("orders").status == 200
