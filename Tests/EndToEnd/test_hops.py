"""Requests between services, as the metrics of a proxy of the mesh count them."""
import pytest

from harness import config, mesh
from harness.mesh import MeshProxy
from harness.ports import free_port
from harness.upstream import answer

PLACE = "shop/cart"


@pytest.fixture
def sidecar(closing, tmp_path):
    one = MeshProxy(tmp_path, "cart")
    closing.callback(one.stop)
    return one


def documents(port, *ports, name="app"):
    return [config.gateway(config.http(port)), config.backend(name, *ports), config.route(config.rule(name), name="all")]


def placed(model, port=None):
    model.place.service, model.place.version = PLACE, "v3"
    mesh.as_sidecar(model, port)
    return model


def hops(proxy, **labels):
    return proxy.metric("martlet_hop_requests_total", **labels)


def test_outbound_hops_name_service_version_and_route(sidecar, upstream, client):
    one, two = upstream(), upstream(lambda *_: answer(status="503 Busy"))
    port = free_port()
    model = placed(sidecar.compile(documents(port, one.port, two.port)))
    backend = mesh.backend(model, "app")
    backend.service = "shop/web"
    for endpoint in backend.endpoints:
        endpoint.labels["version"] = "v1" if endpoint.address.ip.port == one.port else "v2"
    sidecar.start(model)
    for _ in range(8):
        client.get(port=port)
    common = {"direction": "outbound", "source": PLACE, "destination": "shop/web", "route": "default/all", "mtls": "false"}
    good = hops(sidecar, destination_version="v1", status_class="2xx", reason="", **common)
    bad = hops(sidecar, destination_version="v2", status_class="5xx", reason="", **common)
    assert good == len(one.requests) > 0 and bad == len(two.requests) > 0 and good + bad == 8
    assert sidecar.metric("martlet_hop_duration_seconds_count", **common, destination_version="v1") == good


def test_a_backend_that_is_no_service_goes_by_its_name(sidecar, refusing_port, client):
    port = free_port()
    model = placed(sidecar.compile(documents(port, refusing_port)))
    sidecar.start(model)
    client.get(port=port)
    name = mesh.backend(model, "app").name
    assert hops(sidecar, direction="outbound", source=PLACE, destination=name, status_class="5xx",
                reason="upstream_connect_failed") == 1


def test_inbound_hops_have_the_place_as_their_destination(sidecar, upstream, client):
    app, port = upstream(), free_port()
    model = placed(sidecar.compile(documents(port, app.port)))
    # As a service that takes clear text only has it.
    mesh.section(model, port).name = f"{PLACE}/inbound-80"
    sidecar.start(model)
    client.get(port=port)
    assert hops(sidecar, direction="inbound", source="", destination=PLACE, destination_version="v3",
                route="default/all", mtls="false", status_class="2xx") == 1
    assert not hops(sidecar, direction="outbound")


def test_tcp_connections_are_hops(sidecar, upstream, client, eventually):
    server = upstream(serve=lambda connection: connection.send(connection.until(b"\n")))
    port = free_port()
    model = placed(sidecar.compile([config.gateway(config.tcp(port)), config.backend("app", server.port),
                                    config.tcp_route("app")]))
    [backend] = model.backends
    backend.service = "shop/db"
    sidecar.start(model)
    connection = client.http1(port=port)
    connection.send(b"hello\n")
    assert connection.until(b"\n") == b"hello\n"
    connection.finish()
    eventually(lambda: hops(sidecar, direction="outbound", source=PLACE, destination="shop/db", route="",
                            status_class="none") == 1, "the connection is counted")


def test_outside_of_a_mesh_nothing_is_a_hop(sidecar, upstream, client):
    app, port = upstream(), free_port()
    sidecar.start(sidecar.compile(documents(port, app.port)))
    client.get(port=port)
    assert not hops(sidecar)


def test_hops_go_on_when_endpoints_change(sidecar, upstream, client):
    one, two, port = upstream(), upstream(), free_port()
    model = placed(sidecar.compile(documents(port, one.port)))
    sidecar.start(model)
    client.get(port=port)
    mesh.backend(model, "app").endpoints[0].address.ip.port = two.port
    sidecar.write(model)
    sidecar.reread()
    client.get(port=port)
    assert len(one.requests) == len(two.requests) == 1
    assert hops(sidecar, direction="outbound", route="default/all", status_class="2xx") == 2


def test_routes_by_port(sidecar, upstream, client):
    web, admin, port = upstream(), upstream(), free_port()
    model = placed(sidecar.compile([
        config.gateway(config.http(port)), config.backend("web", web.port), config.backend("admin", admin.port),
        config.route(config.rule("web"), hostnames=["svc.test"], name="web"),
        config.route(config.rule("admin"), hostnames=["svc.test"], name="admin")]))
    for route in mesh.section(model, port).routes:
        route.port = 80 if route.name.endswith("web") else 8080
    sidecar.start(model)
    for host, status in (("svc.test", 200), ("svc.test:80", 200), ("svc.test:8080", 200), ("svc.test:81", 404)):
        assert client.get(port=port, host=host).status == status
    assert (len(web.requests), len(admin.requests)) == (2, 1)
