"""Access policies: who may do what, decided by the identity that mutual TLS has proven."""
import json
import ssl

import grpc
import pytest

from harness import config, mesh
from harness.grpc_echo import Request, channel, stub
from harness.http1 import Connection, fetch
from harness.http2 import H2Client

WEB = {"identities": [mesh.spiffe("shop/web")]}
UNARY = "/martlet.test.Echo/Unary"


@pytest.fixture
def pair(tmp_path, closing):
    made = mesh.Pair(tmp_path, mesh.Authority())
    yield made
    made.stop()


@pytest.fixture
def guarded(pair, upstream):
    """Starts the pair before an application, with these policies at the callee."""
    def start(*policies, default=mesh.ALLOW, **more):
        app = upstream(serve=more.pop("serve", None))
        pair.start(app.port, lambda outbound, inbound: mesh.access(inbound, pair.callee.port, *policies, default=default), **more)
        return app
    return start


def denials(proxy, policy, audit=False):
    return proxy.metric("martlet_access_audit_denied_total" if audit else "martlet_access_denied_total", policy=policy)


def test_deny_allow_default(pair, guarded):
    app = guarded(
        mesh.policy("shop/no-deletes", mesh.DENY, mesh.rule(operations=[{"methods": ["DELETE"]}])),
        mesh.policy("shop/web", mesh.ALLOW, mesh.rule([WEB], [{"paths": ["/cart*", "/health"]}])))
    assert fetch(pair.port, "/cart/1?a=b").status == 200
    assert fetch(pair.port, "/health").status == 200
    denied = fetch(pair.port, "/cart/1", method="DELETE")
    assert denied.status == 403 and denied.get("x-martlet-reason") == "access_denied"
    assert denied.get("content-type") == "application/problem+json"
    assert json.loads(denied.body)["reason"] == "access_denied"
    assert fetch(pair.port, "/admin").status == 403
    assert [request.target for request in app.requests] == ["/cart/1?a=b", "/health"]
    assert denials(pair.callee, "shop/no-deletes") == 1 and denials(pair.callee, "default") == 1
    lines = pair.callee.access_log(4)
    assert [(line["status"], line["reason"], line["policy"]) for line in lines] == [
        (200, None, None), (200, None, None), (403, "access_denied", "shop/no-deletes"),
        (403, "access_denied", "default")]
    assert {line["peer"] for line in lines} == {mesh.spiffe("shop/web")}


def test_nobody_by_default(pair, guarded):
    app = guarded(default=mesh.DENY)
    assert fetch(pair.port).status == 403 and app.requests == []


def test_namespaces(pair, guarded):
    guarded(mesh.policy("shop/inside", mesh.ALLOW, mesh.rule([{"namespaces": ["shop"]}])))
    assert fetch(pair.port).status == 200
    pair.authority.identity(pair.caller.identity, "other/web")
    pair.caller.reread()
    # The pooled connection keeps the identity that it was made with.
    with mesh_client(pair, "other/web") as client:
        assert client.get().status == 403
    with mesh_client(pair, "shop/cart") as client:
        assert client.get().status == 200
    with mesh_client(pair, "shop/web", domain="elsewhere.test") as client:
        assert client.get().status == 403


def mesh_client(pair, name, **more):
    """A client with another identity, straight to the callee."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    identity = pair.authority.identity(pair.caller.root / "other", name, **more)
    context.load_cert_chain(identity / "identity.pem", identity / "identity.key")
    context.set_alpn_protocols(["h2"])
    return H2Client(pair.callee.port, context)


@pytest.mark.parametrize("path", ["/admin", "//admin", "/x/../admin", "/%61dmin", "/./admin?x=1"])
def test_no_other_way_to_write_a_path(pair, guarded, path):
    """A sidecar passes paths on as they are, but judges what they mean."""
    app = guarded(mesh.policy("shop/admin", mesh.DENY, mesh.rule(operations=[{"paths": ["/admin"]}])))
    assert fetch(pair.port, path).status == 403
    assert fetch(pair.port, "/a%2fadmin").get("x-martlet-reason") == "invalid_path"
    assert fetch(pair.port, "/a//b/%61").status == 200
    assert [request.target for request in app.requests] == ["/a//b/%61"]


def test_hosts_and_ports(pair, guarded):
    guarded(mesh.policy("shop/hosts", mesh.ALLOW,
                        mesh.rule([WEB], [{"hosts": ["cart.shop"], "ports": [pair.callee.port]}])))
    assert fetch(pair.port, host="CART.shop:99").status == 200
    assert fetch(pair.port, host="other.shop").status == 403


def test_clear_text_has_no_identity(pair, guarded):
    """Whatever it says of itself."""
    guarded(mesh.policy("shop/web", mesh.ALLOW, mesh.rule([WEB])), mode=mesh.PERMISSIVE)
    said = [("X-Forwarded-Client-Cert", f"URI={mesh.spiffe('shop/web')}")]
    assert fetch(pair.port).status == 200
    assert fetch(pair.callee.port, headers=said).status == 403


def test_addresses(pair, guarded):
    guarded(mesh.policy("shop/local", mesh.ALLOW, mesh.rule([{"cidrs": ["127.0.0.0/8"]}])), mode=mesh.PERMISSIVE)
    assert fetch(pair.callee.port).status == 200 and fetch(pair.port).status == 200


def test_addresses_behind_trusted_hops(pair, upstream):
    def change(outbound, inbound):
        outbound.listeners[0].role = mesh.proto.ROLE_EDGE
        outbound.listeners[0].trusted_hops = 1
        mesh.access(outbound, pair.caller.port, mesh.policy("a/b", mesh.ALLOW, mesh.rule([{"cidrs": ["192.0.2.0/24"]}])))
    pair.start(upstream().port, change)
    assert fetch(pair.port, headers=[("X-Forwarded-For", "192.0.2.9")]).status == 200
    assert fetch(pair.port, headers=[("X-Forwarded-For", "192.0.3.9")]).status == 403
    assert fetch(pair.port, headers=[("X-Forwarded-For", "192.0.2.9, 198.51.100.1")]).status == 403
    assert fetch(pair.port).status == 403


def test_grpc(pair, echo):
    def change(outbound, inbound):
        mesh.access(inbound, pair.callee.port, mesh.policy(
            "shop/unary", mesh.ALLOW, mesh.rule([WEB], [{"paths": [UNARY]}])))
    pair.start(echo.port, change, protocol=config.H2C)
    with channel(pair.port) as made:
        assert stub(made).Unary(Request(payload=b"x"), timeout=5).payload == b"x"
        with pytest.raises(grpc.RpcError) as error:
            list(stub(made).ServerStream(Request(count=1), timeout=5))
        assert error.value.code() == grpc.StatusCode.PERMISSION_DENIED
        assert error.value.details().startswith("access_denied: ")


def test_audit_refuses_nobody(pair, guarded):
    app = guarded(mesh.policy("shop/soon", mesh.ALLOW, mesh.rule([{"namespaces": ["infra"]}]), audit=True))
    assert fetch(pair.port).status == 200 and len(app.requests) == 1
    assert denials(pair.callee, "shop/soon", audit=True) == 1 and denials(pair.callee, "shop/soon") == 0
    [line] = pair.callee.access_log()
    assert line["reason"] is None and line["policy"] == "shop/soon"


@pytest.mark.parametrize("names, works", [(["shop/web"], True), (["shop/other"], False)])
def test_bytes(pair, guarded, names, works):
    served = []

    def serve(connection):
        served.append(connection)
        connection.send(b"hello")
        connection.fill()
    guarded(mesh.policy("shop/bytes", mesh.ALLOW, mesh.rule([{"identities": [mesh.spiffe(one) for one in names]}])),
            serve=serve, tcp=True)
    with Connection.to(pair.port) as connection:
        if works:
            assert connection.exactly(5) == b"hello"
            return
        assert connection.is_closed() and connection.received == b""
    assert served == [] and denials(pair.callee, "default") == 1
    assert pair.callee.refuses("access_denied") == 1


def test_policies_change_on_open_connections(pair, guarded):
    app = guarded()
    with Connection.to(pair.port) as connection:
        assert connection.get().status == 200
        model = pair.models(app.port)[1]
        mesh.access(model, pair.callee.port, default=mesh.DENY)
        pair.callee.write(model)
        pair.callee.reread()
        assert connection.get().status == 403


def test_what_is_not_valid_is_named(pair, guarded):
    app = guarded()
    model = pair.models(app.port)[1]
    mesh.access(model, pair.callee.port, mesh.policy("shop/typo", mesh.ALLOW, mesh.rule([{"cidrs": ["10.0.0.0/99"]}])))
    pair.callee.write(model)
    pair.callee.reread("nothing is changed")
    assert "'10.0.0.0/99' is no address range" in pair.callee.log()
    assert fetch(pair.port).status == 200
