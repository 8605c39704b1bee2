"""Mutual TLS between the proxies of a mesh, and what of HTTP/1.1 and HTTP/2 comes out at its other end."""
import json
import os
import socket
import ssl
import threading
import time

import grpc
import pytest
from websockets.sync.client import connect
from websockets.sync.server import serve as serve_websocket

from harness import config, mesh
from harness.grpc_echo import Request, channel, stub
from harness.http1 import Closed, Connection, fetch
from harness.http2 import H2Client
from harness.ports import free_port
from harness.upstream import answer, describe


@pytest.fixture(scope="module")
def authority():
    return mesh.Authority()


@pytest.fixture
def pair(tmp_path, authority, closing):
    made = mesh.Pair(tmp_path, authority)
    yield made
    made.stop()


def client_context(authority, directory, name=None, alpn=("h2", "http/1.1"), **more):
    """A client of the mesh that is no proxy of ours; without a name it shows no certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.load_verify_locations(cadata=mesh.pem(authority.root).decode())
    if alpn:
        context.set_alpn_protocols(list(alpn))
    if name:
        identity = authority.identity(directory / f"client-{name.replace('/', '-')}", name, **more)
        context.load_cert_chain(identity / "identity.pem", identity / "identity.key")
    return context


def seen(response):
    assert response.status == 200, (response.start, response.body)
    return json.loads(response.body)


def header(request, name):
    return [value for key, value in request["headers"] if key.lower() == name]


# MARK: HTTP/1.1 in, HTTP/2 in mutual TLS between, HTTP/1.1 out

def test_http1_comes_out_as_http1(pair, upstream):
    app = upstream(describe("cart"))
    pair.start(app.port)
    with Connection.to(pair.port) as connection:
        for number in range(5):
            request = seen(connection.get(f"/cart?n={number}", host="cart.shop:8080", headers=[
                ("X-Forwarded-Client-Cert", "URI=spiffe://mesh.test/ns/evil/svc/evil"), ("Connection", "x-hop"),
                ("X-Hop", "1"), ("X-Kept", "yes"), ("TE", "trailers")]))
            assert request["start"] == f"GET /cart?n={number} HTTP/1.1"
            assert header(request, "host") == ["cart.shop:8080"] and header(request, "x-kept") == ["yes"]
            assert header(request, "x-hop") == [] and header(request, "transfer-encoding") == []
            [certificate] = header(request, "x-forwarded-client-cert")
            own, _, peer = certificate.split(";")
            assert own == f"By={mesh.spiffe('shop/cart')}" and peer == f"URI={mesh.spiffe('shop/web')}"
    # One connection, full of streams.
    assert pair.callee.metric("martlet_downstream_connections_total") == 1
    assert pair.callee.metric("martlet_protocol_requests_total", protocol="http2") == 5
    assert pair.callee.access_log()[0]["peer"] == mesh.spiffe("shop/web")
    assert pair.callee.access_log()[0]["tls"] == "1.3"


def test_bodies_and_trailers(pair, upstream):
    body = os.urandom(1 << 20)

    def script(request, connection):
        assert request.body == body and request.trailers == [("x-sum", "1")]
        assert request.get("transfer-encoding") == "chunked"
        connection.send(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ntrailer: x-end\r\n\r\n")
        connection.send(b"%x\r\n%b\r\n0\r\nx-end: yes\r\n\r\n" % (len(body), body))
    pair.start(upstream(script).port)
    with Connection.to(pair.port) as connection:
        connection.send(b"POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\nte: trailers\r\n\r\n")
        connection.send(b"%x\r\n%b\r\n0\r\nx-sum: 1\r\n\r\n" % (len(body), body))
        response = connection.response()
        assert response.body == body and response.trailers == [("x-end", "yes")]


def test_lengths_and_head(pair, upstream):
    def script(request, connection):
        if request.method == "HEAD":
            return b"HTTP/1.1 200 OK\r\ncontent-length: 12345\r\n\r\n"
        assert request.get("content-length") == "4" and request.body == b"body"
        return b"HTTP/1.1 204 No Content\r\n\r\n"
    pair.start(upstream(script).port)
    with Connection.to(pair.port) as connection:
        response = connection.get(method="HEAD")
        assert response.status == 200 and response.get("content-length") == "12345"
        assert connection.get(method="PUT", body=b"body").status == 204
        assert connection.get(method="HEAD").get("content-length") == "12345"


def test_interim_responses_and_expectations(pair, upstream):
    def serve(connection):
        head = connection.head()
        if head.get("expect"):
            connection.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        else:
            connection.send(b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n")
        if head.get("content-length"):
            connection.exactly(int(head.get("content-length")))
        connection.send(answer("done"))
        connection.fill()
    pair.start(upstream(serve=serve).port)
    with Connection.to(pair.port) as connection:
        connection.send(b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 2\r\nexpect: 100-continue\r\n\r\n")
        assert connection.response(interim=True).status == 100
        connection.send(b"ok")
        assert connection.response().body == b"done"
    with Connection.to(pair.port) as connection:
        connection.send(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n")
        early = connection.response(interim=True)
        assert early.status == 103 and early.get("link") == "</a>"
        assert connection.response().body == b"done"


def test_absolute_form_and_http10(pair, upstream):
    pair.start(upstream(describe("cart")).port)
    with Connection.to(pair.port) as connection:
        connection.send(b"GET http://cart.shop/a?b HTTP/1.1\r\nhost: cart.shop\r\n\r\n")
        request = seen(connection.response())
        assert request["start"] == "GET /a?b HTTP/1.1" and header(request, "host") == ["cart.shop"]
    with Connection.to(pair.port) as connection:
        connection.send(b"GET /old HTTP/1.0\r\nhost: cart.shop\r\n\r\n")
        request = seen(connection.response())
        assert request["start"] == "GET /old HTTP/1.1"


def test_what_is_said_to_each_side_stays_there(pair, upstream):
    """An application that ends its connection ends neither the client's nor that between the proxies."""
    app = upstream(lambda request, connection: answer("ok", connection="close", keep_alive="timeout=5") and (
        connection.send(answer("ok", connection="close", keep_alive="timeout=5")), False)[1])
    pair.start(app.port)
    with Connection.to(pair.port) as connection:
        for _ in range(3):
            response = connection.get()
            assert response.body == b"ok" and response.get("connection") is None and response.get("keep-alive") is None
    assert len(app.connections) == 3
    assert pair.callee.metric("martlet_downstream_connections_total") == 1


def test_websocket(pair, closing):
    """The upgrade is an extended CONNECT between the proxies (RFC 8441), and an upgrade again behind them."""
    port, paths = free_port(), []

    def handler(connection):
        paths.append((connection.request.path, connection.request.headers["x-forwarded-client-cert"]))
        for message in connection:
            connection.send(message)
    server = closing.enter_context(serve_websocket(handler, "127.0.0.1", port, max_size=None))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    pair.start(port)
    with connect(f"ws://127.0.0.1:{pair.port}/chat?a=1", max_size=None) as socket:
        for message in ("text", b"\x00binary", b"x" * (1 << 20)):
            socket.send(message)
            assert socket.recv(5) == message
    [(path, certificate)] = paths
    assert path == "/chat?a=1" and mesh.spiffe("shop/web") in certificate


def test_grpc(pair, echo):
    pair.start(echo.port, protocol=config.H2C)
    with channel(pair.port) as made:
        service = stub(made)
        assert service.Unary(Request(payload=b"x" * 100_000), timeout=5).payload == b"x" * 100_000
        assert [one.number for one in service.ServerStream(Request(count=50), timeout=5)] == list(range(50))
        assert len(list(service.Bidirectional(iter([Request()] * 20), timeout=5))) == 20
        with pytest.raises(grpc.RpcError) as error:
            service.Unary(Request(status=5, details="no such thing"), timeout=5)
        assert error.value.code() == grpc.StatusCode.NOT_FOUND and error.value.details() == "no such thing"
    assert mesh.spiffe("shop/web") in echo.servicer.metadata["x-forwarded-client-cert"]


# MARK: Bytes

def test_bytes(pair, upstream):
    def serve(connection):
        connection.send(b"220 hello\r\n")
        connection.send(b"%d" % len(connection.to_end()))
    pair.start(upstream(serve=serve).port, tcp=True)
    with Connection.to(pair.port) as connection:
        assert connection.until(b"\r\n") == b"220 hello\r\n"
        connection.send(b"x" * 300_000)
        connection.finish()
        assert connection.to_end() == b"300000"
    assert pair.callee.metric("martlet_tls_handshakes_total", result="full") == 1


def test_bytes_in_permissive_mode(pair, upstream, authority, tmp_path):
    """TLS, clear text of a client that speaks first, and of a server that does, on one port."""
    def serve(connection):
        connection.send(b"220 hello\r\n")
        while connection.fill():
            connection.send(connection.buffer)
            connection.buffer = b""
    pair.start(upstream(serve=serve).port, tcp=True, mode=mesh.PERMISSIVE)
    with Connection.to(pair.callee.port) as connection:  # says nothing
        assert connection.until(b"\r\n") == b"220 hello\r\n"
        connection.send(b"later")
        assert connection.exactly(5) == b"later"
    with Connection.to(pair.callee.port) as connection:
        connection.send(b"\x00first")
        assert connection.until(b"\r\n") == b"220 hello\r\n" and connection.exactly(6) == b"\x00first"
    with Connection.to(pair.port) as connection:
        assert connection.until(b"\r\n") == b"220 hello\r\n"
    context = client_context(authority, tmp_path, "shop/other", alpn=())
    with Connection.to(pair.callee.port, context) as connection:
        assert connection.until(b"\r\n") == b"220 hello\r\n"
    assert pair.callee.metric("martlet_tls_handshakes_total", result="full") == 2


# MARK: Modes

def test_strict_refuses_clear_text(pair, upstream):
    app = upstream()
    pair.start(app.port)
    with Connection.to(pair.callee.port) as connection:
        connection.send(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n")
        assert connection.is_closed() and connection.received == b""
    assert pair.callee.refuses("clear_text_refused") == 1
    with Connection.to(pair.callee.port) as connection:
        connection.send(b"\x16\x03\x01\x00\x05hello")
        assert connection.is_closed()
    assert pair.callee.refuses("tls_client_hello_malformed") == 1 and app.requests == []


def test_strict_refuses_strangers(pair, upstream, authority, tmp_path):
    app = upstream()
    pair.start(app.port)
    other = mesh.Authority("other root")
    nobody = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    nobody.check_hostname, nobody.verify_mode = False, ssl.CERT_NONE
    strangers = {
        "no certificate": nobody, "another root": client_context(other, tmp_path / "other", "shop/web"),
        "expired": client_context(authority, tmp_path / "expired", "shop/web", hours=-0.5),
    }
    strangers["another root"].load_verify_locations(cadata=mesh.pem(authority.root).decode())
    # Signed by the authority, but for a host and not for a service.
    chain, key = authority.leaf(None, dns=["cart.shop"])
    (tmp_path / "host.pem").write_bytes(chain + key)
    strangers["no identity"] = client_context(authority, tmp_path)
    strangers["no identity"].load_cert_chain(tmp_path / "host.pem")
    for why, context in strangers.items():
        with pytest.raises((ssl.SSLError, OSError, Closed)):
            fetch(pair.callee.port, tls=context)
            pytest.fail(why)
    assert app.requests == []
    assert pair.callee.refuses("client_certificate_required") == 2 and pair.callee.refuses("tls_handshake_failed") == 2
    assert "certificate has expired" in pair.callee.log()


def test_permissive_takes_all_on_one_port(pair, upstream, authority, tmp_path):
    pair.start(upstream(describe("cart")).port, mode=mesh.PERMISSIVE)
    request = seen(fetch(pair.callee.port, headers=[("X-Forwarded-Client-Cert", "URI=spiffe://mesh.test/evil")]))
    assert header(request, "x-forwarded-client-cert") == []
    with H2Client(pair.callee.port) as client:
        assert client.get().status == 200
    assert seen(fetch(pair.port))
    for alpn in ((), ("http/1.1",)):
        request = seen(fetch(pair.callee.port, tls=client_context(authority, tmp_path, "shop/third", alpn)))
        assert header(request, "x-forwarded-client-cert")[0].endswith(mesh.spiffe("shop/third"))
    with H2Client(pair.callee.port, client_context(authority, tmp_path, "shop/third")) as client:
        assert client.get().status == 200
    # One byte at a time is clear text, too.
    with Connection.to(pair.callee.port) as connection:
        for byte in b"GET / HTTP/1.1\r\nhost: a\r\n\r\n":
            connection.send(bytes([byte]))
        assert connection.response().status == 200


def test_a_stricter_mode_ends_clear_text(pair, upstream):
    """Connections of the time before are no way around it."""
    app = upstream()
    pair.start(app.port, mode=mesh.PERMISSIVE)
    with Connection.to(pair.callee.port) as connection:
        assert connection.get().status == 200
        model = pair.models(app.port, mode=mesh.STRICT)[1]
        pair.callee.write(model)
        pair.callee.reread()
        assert connection.get().status == 421
    assert fetch(pair.port).status == 200 and len(app.requests) == 2


# MARK: Who answers

def test_another_identity_is_not_the_service(pair, upstream):
    app = upstream()
    pair.start(app.port, expects=["shop/payments"])
    response = fetch(pair.port)
    assert response.status == 503 and response.get("x-martlet-reason") == "upstream_identity_mismatch"
    assert app.requests == []
    assert f"the endpoint is {mesh.spiffe('shop/cart')}, expected is {mesh.spiffe('shop/payments')}" in pair.caller.log()
    assert pair.caller.metric("martlet_upstream_connect_failures_total", reason="upstream_identity_mismatch") == 1


def test_the_trust_domain_is_part_of_the_identity(pair, upstream, authority):
    authority.identity(pair.callee.identity, "shop/cart", domain="other.test")
    pair.start(upstream().port)
    assert fetch(pair.port).get("x-martlet-reason") == "upstream_identity_mismatch"


def test_another_endpoint_is_asked_instead(pair, upstream, authority, tmp_path):
    """No byte of the request has left: a POST goes to the endpoint that is the service."""
    app = upstream()
    wrong = mesh.MeshProxy(tmp_path, "wrong")
    authority.identity(wrong.identity, "shop/wrong")
    model = wrong.compile(config.simple(wrong.port, app.port))
    mesh.as_inbound(model, wrong.port)
    wrong.start(model)

    def change(outbound, inbound):
        endpoint = mesh.backend(outbound, "app").endpoints.add()
        endpoint.CopyFrom(mesh.backend(outbound, "app").endpoints[0])
        endpoint.address.ip.port = wrong.port
    try:
        pair.start(app.port, change)
        for _ in range(6):
            assert fetch(pair.port, method="POST", body=b"once").status == 200
        assert wrong.metric("martlet_requests_total") == 0 and len(app.requests) == 6
        assert pair.caller.metric("martlet_upstream_connect_failures_total", reason="upstream_identity_mismatch") > 0
    finally:
        wrong.stop()


def test_a_proxy_of_another_root_is_not_believed(pair, upstream, authority):
    other = mesh.Authority("other")
    # The callee believes everybody, the caller only its own.
    other.identity(pair.callee.identity, "shop/cart", bundle=[other, authority])
    pair.start(upstream().port)
    assert fetch(pair.port).get("x-martlet-reason") == "upstream_tls_failed"
    # The other way round: in TLS 1.3 the caller learns it after its handshake.
    authority.identity(pair.callee.identity, "shop/cart")
    other.identity(pair.caller.identity, "shop/web", bundle=[other, authority])
    pair.callee.reread()
    pair.caller.reread()
    response = fetch(pair.port, method="POST", body=b"x")
    assert response.status == 503 and response.get("x-martlet-reason") == "upstream_tls_failed"


def test_meshed_and_other_endpoints_in_one_backend(pair, upstream):
    """Endpoints that are no proxies of the mesh are spoken to as the backend says."""
    app, outside = upstream(describe("meshed")), upstream(describe("outside"))

    def change(outbound, inbound):
        endpoint = mesh.backend(outbound, "app").endpoints.add()
        endpoint.CopyFrom(mesh.backend(outbound, "app").endpoints[0])
        endpoint.address.ip.port, endpoint.is_meshed = outside.port, False
    pair.start(app.port, change)
    names = {seen(fetch(pair.port))["upstream"] for _ in range(20)}
    assert names == {"meshed", "outside"}


def test_an_endpoint_may_move_into_the_mesh(pair, upstream):
    """The same address, first in clear text, then in TLS."""
    app = upstream()

    def clear(outbound, inbound):
        mesh.backend(outbound, "app").endpoints[0].is_meshed = False
    pair.start(app.port, clear, mode=mesh.PERMISSIVE)
    assert fetch(pair.port).status == 200
    assert pair.callee.metric("martlet_tls_handshakes_total") == 0
    pair.caller.write(pair.models(app.port)[0])
    pair.caller.reread()
    assert fetch(pair.port).status == 200
    assert pair.callee.metric("martlet_tls_handshakes_total", result="full") == 1


def test_health_probes_of_meshed_endpoints(pair, upstream):
    app = upstream()

    def change(outbound, inbound):
        check = mesh.backend(outbound, "app").health_check
        check.http.path = "/health"
        check.http.statuses.add(first=200, last=299)
        check.interval.nanos = 100_000_000
        check.timeout.seconds = check.healthy_threshold = check.unhealthy_threshold = 1
    pair.start(app.port, change)
    pair.caller.wait(lambda: pair.caller.metric("martlet_upstream_health_probes_total", result="succeeded") >= 2, "well")
    assert pair.caller.metric("martlet_upstream_health_probes_total", result="failed") == 0
    assert app.requests[0].target == "/health" and mesh.spiffe("shop/web") in app.requests[0].get("x-forwarded-client-cert")


def test_a_gateway_calls_into_the_mesh(pair, upstream, authority):
    """The edge knows no identity of its clients; the service sees the gateway's."""
    def change(outbound, inbound):
        outbound.listeners[0].role = mesh.proto.ROLE_EDGE
    authority.identity(pair.caller.identity, "infra/edge")
    pair.start(upstream(describe("cart")).port, change)
    request = seen(fetch(pair.port, headers=[("X-Forwarded-Client-Cert", "URI=spiffe://mesh.test/ns/a/svc/b")]))
    [certificate] = header(request, "x-forwarded-client-cert")
    assert certificate.endswith(f"URI={mesh.spiffe('infra/edge')}")


# MARK: Identities that are missing, and that change

def test_without_an_identity_nothing_is_in_clear_text(pair, upstream, authority):
    app = upstream()
    for proxy in (pair.caller, pair.callee):
        for name in ("identity.pem", "identity.key", "bundle.pem"):
            (proxy.identity / name).unlink()
        proxy.identity.rmdir()
    pair.start(app.port)
    response = fetch(pair.port)
    assert response.status == 503 and response.get("x-martlet-reason") == "mesh_identity_missing"
    assert "the proxy has no identity in the mesh: TLS is refused at" in pair.callee.log()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with pytest.raises((ssl.SSLError, OSError)):
        Connection.to(pair.callee.port, context)
    with Connection.to(pair.callee.port) as connection:
        connection.send(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n")
        assert connection.is_closed() and connection.received == b""
    assert app.requests == [] and pair.callee.refuses("mesh_identity_missing") == 1


def test_a_broken_identity_changes_nothing(pair, upstream, authority):
    pair.start(upstream().port)
    (pair.callee.identity / "identity.key").write_text("no key")
    pair.callee.reread("nothing is changed")
    assert "no PEM private key" in pair.callee.log()
    assert fetch(pair.port).status == 200


class Load:
    """Requests one after the other, on new connections of the caller's client, until it is told to stop."""

    def __init__(self, port, threads=2):
        self.port, self.stopped, self.results = port, threading.Event(), []
        self.threads = [threading.Thread(target=self.run, daemon=True) for _ in range(threads)]

    def run(self):
        while not self.stopped.is_set():
            try:
                with Connection.to(self.port) as connection:
                    for _ in range(10):
                        response = connection.get(method="POST", body=b"x")
                        self.results.append((response.status, response.get("x-martlet-reason")))
            except (OSError, Closed) as error:
                self.results.append((0, repr(error)))

    def more(self, count=20):
        """Waits for so many more requests."""
        target, deadline = len(self.results) + count, time.monotonic() + 10
        while len(self.results) < target:
            assert time.monotonic() < deadline
            time.sleep(0.01)

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.stopped.set()
        for thread in self.threads:
            thread.join(10)


def test_identities_change_under_load(pair, upstream, authority, tmp_path):
    """Leaf, intermediate, root: nobody notices, and new connections have the new one."""
    old, new = mesh.Authority("old"), mesh.Authority("new")
    app = upstream()

    def become(issuer, bundle):
        for proxy, name in ((pair.callee, "shop/cart"), (pair.caller, "shop/web")):
            issuer.identity(proxy.identity, name, bundle=bundle)
            proxy.reread()

    def serial():
        context = client_context(issuer, tmp_path, "shop/probe", alpn=("http/1.1",))
        context.load_verify_locations(cadata=mesh.pem(other.root).decode())
        with Connection.to(pair.callee.port, context) as connection:
            return mesh.x509.load_der_x509_certificate(connection.socket.getpeercert(True)).serial_number
    old.identity(pair.callee.identity, "shop/cart")
    old.identity(pair.caller.identity, "shop/web")
    # Requests end connections often, so that new ones are made all the time.
    def change(outbound, inbound):
        mesh.backend(outbound, "app").limits.max_requests_per_connection = 3
    pair.start(app.port, change)
    with Load(pair.port) as load:
        issuer, other, serials = old, new, []
        load.more()
        serials.append(serial())
        become(old, [old])  # another leaf
        load.more()
        serials.append(serial())
        old.renew()
        become(old, [old])  # another intermediate
        load.more()
        serials.append(serial())
        become(old, [old, new])  # both roots are believed
        load.more()
        become(new, [old, new])  # leaves of the new one
        issuer, other = new, old
        load.more()
        serials.append(serial())
        become(new, [new])  # the old one is gone
        load.more()
        serials.append(serial())
    assert set(load.results) == {(200, None)}
    assert len(set(serials)) == 5
    assert pair.callee.metric("martlet_tls_handshakes_total", result="full") >= 6
    with pytest.raises((ssl.SSLError, OSError, Closed)):
        fetch(pair.callee.port, tls=client_context(old, tmp_path / "late", "shop/web"))


def test_sessions_end_with_the_identity(pair, upstream, authority, tmp_path):
    pair.start(upstream().port)
    context = client_context(authority, tmp_path, "shop/web", alpn=("http/1.1",))

    def session(known=None):
        """(the session after a request, whether it was resumed)"""
        with socket.create_connection(("127.0.0.1", pair.callee.port), 5) as sock:
            with context.wrap_socket(sock, session=known) as secure:
                connection = Connection(secure)
                assert connection.get().status == 200
                return secure.session, secure.session_reused
    first, _ = session()
    second, reused = session(first)
    assert reused
    pair.callee.reread("configuration unchanged")
    third, reused = session(second)
    assert reused
    authority.identity(pair.callee.identity, "shop/cart")  # another leaf
    pair.callee.reread()
    fourth, reused = session(third)
    assert not reused
    other = mesh.Authority("other")
    chain = {name: (pair.callee.identity / name).read_bytes() for name in ("identity.pem", "identity.key")}
    authority.identity(pair.callee.identity, "shop/cart", bundle=[authority, other])  # another bundle, the same leaf
    for name, data in chain.items():
        (pair.callee.identity / name).write_bytes(data)
    pair.callee.reread()
    assert not session(fourth)[1]


def test_a_session_does_not_outlive_the_certificate(pair, upstream, authority, tmp_path):
    pair.start(upstream().port)
    context = client_context(authority, tmp_path, "shop/web", alpn=("http/1.1",), hours=3 / 3600)
    known = None
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        try:
            with socket.create_connection(("127.0.0.1", pair.callee.port), 5) as sock:
                with context.wrap_socket(sock, session=known) as secure:
                    connection = Connection(secure)
                    assert connection.get().status == 200
                    known = secure.session
        except (OSError, Closed):
            break
        time.sleep(0.2)
    else:
        pytest.fail("a client whose certificate has expired is still let in")


def test_what_people_can_see(pair, upstream):
    pair.start(upstream().port)
    certificates = json.loads(pair.callee.admin("/certs")[2])
    assert [one["uris"] for one in certificates] == [[mesh.spiffe("shop/cart")]]
    expiry = pair.callee.metric("martlet_certificate_expiry_timestamp_seconds")
    assert time.time() < expiry < time.time() + 3700
    key = (pair.callee.identity / "identity.key").read_text().splitlines()[1]
    for path in ("/config", "/certs", "/upstreams", "/metrics"):
        assert key not in pair.callee.admin(path)[2]
    assert key not in pair.callee.log()
