"""TLS to clients and to backends: certificates by SNI, ALPN, client certificates, resumption, passthrough."""
import json
import socket
import ssl
import subprocess
import time

import pytest

from harness import config
from harness.http1 import Closed, Connection, fetch
from harness.upstream import answer, describe


def subject(connection):
    """CN of the certificate that the server showed."""
    return dict(field[0] for field in connection.socket.getpeercert()["subject"])["commonName"]


@pytest.fixture
def secure(proxy, upstream, pki):
    """HTTPS with three certificates on one port."""
    def start(*documents, **listener):
        server = upstream()
        proxy.start([
            config.gateway(config.https(proxy.port, "cert-local", "cert-shop", "cert-wild", **listener)),
            *(config.secret(f"cert-{name}", pki, file) for name, file in
              (("local", "localhost"), ("shop", "shop"), ("wild", "wild"))),
            config.backend("app", server.port), config.route(config.rule("app")), *documents])
        return server
    return start


@pytest.mark.parametrize("name, certificate", [
    ("localhost", "localhost"), ("shop.example", "shop"), ("SHOP.example", "shop"), ("a.example.com", "wild"),
    ("example.com", "wild")])
def test_certificate_by_server_name(secure, client, pki, name, certificate):
    secure()
    connection = client.http1(tls=pki.client("http/1.1"), name=name)
    assert subject(connection) == certificate
    assert connection.get(host=name).status == 200


def test_listeners_by_server_name_on_one_port(proxy, upstream, client, pki):
    one, two = upstream(describe("one")), upstream(describe("two"))
    proxy.start([
        config.gateway(config.https(proxy.port, "a", name="shop", hostname="shop.example"),
                       config.https(proxy.port, "b", name="wild", hostname="*.example.com")),
        config.secret("a", pki, "shop"), config.secret("b", pki, "wild"),
        config.backend("one", one.port), config.backend("two", two.port),
        config.route(config.rule("one"), section="shop"), config.route(config.rule("two"), section="wild")])
    for name, upstream_name in (("shop.example", "one"), ("x.example.com", "two")):
        response = client.get(tls=pki.client("http/1.1"), name=name, host=name)
        assert json.loads(response.body)["upstream"] == upstream_name
    with pytest.raises((ssl.SSLError, ConnectionError)):  # nobody serves this name
        client.http1(tls=pki.client("http/1.1", verify=False), name="other.example")
    # A connection for one name must not reach the other's routes (RFC 9110 §15.5.20).
    response = client.http1(tls=pki.client("http/1.1"), name="shop.example").get(host="x.example.com")
    assert (response.status, response.get("x-martlet-reason")) == (421, "misdirected_request")


@pytest.mark.parametrize("offer, chosen", [
    (("h2", "http/1.1"), "h2"), (("http/1.1", "h2"), "h2"), (("http/1.1",), "http/1.1"), ((), None)])
def test_alpn(secure, client, pki, offer, chosen):
    secure()
    connection = client.http1(tls=pki.client(*offer))
    assert connection.socket.selected_alpn_protocol() == chosen
    if chosen != "h2":
        assert connection.get().status == 200


def test_http2_over_tls(secure, client, pki, proxy):
    secure()
    got = json.loads(client.http2(tls=pki.client("h2")).get().body)
    assert dict((name.lower(), value) for name, value in got["headers"])["x-forwarded-proto"] == "https"
    done = subprocess.run(["curl", "-sS", "--http2", "--cacert", pki.directory / "ca.pem", "-o", "/dev/null", "-w",
                           "%{http_version} %{http_code}", f"https://localhost:{proxy.port}/"], capture_output=True,
                          text=True, timeout=10)
    assert (done.stdout, done.stderr) == ("2 200", "")


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_versions_and_resumption(secure, proxy, client, pki, version):
    secure()
    context = pki.client("http/1.1", version=version)
    with Connection.to(proxy.port, context) as first:
        assert first.get().status == 200 and not first.socket.session_reused
        session = first.socket.session
    plain = socket.create_connection(("127.0.0.1", proxy.port), 5)
    with context.wrap_socket(plain, server_hostname="localhost", session=session) as again:
        assert again.session_reused and Connection(again).get().status == 200


@pytest.mark.parametrize("option", ["-tls1_2", "-tls1_3"])
def test_ocsp_response_is_stapled_to_its_certificate_only(proxy, upstream, pki, tmp_path, option):
    response = pki.ocsp_response("localhost", tmp_path / "localhost.ocsp")
    stapled = config.secret("stapled", pki, "localhost")
    stapled["stringData"]["tls.ocsp-staple"] = f"file:{response}"
    proxy.start([config.gateway(config.https(proxy.port, "stapled", "plain")), stapled,
                 config.secret("plain", pki, "shop"), config.backend("app", upstream().port),
                 config.route(config.rule("app"))])

    def status(name):
        done = subprocess.run(["openssl", "s_client", "-connect", f"127.0.0.1:{proxy.port}", "-servername", name, option,
                               "-status", "-CAfile", pki.directory / "ca.pem"], input="", capture_output=True, text=True,
                              timeout=10)
        assert "Verify return code: 0 (ok)" in done.stdout
        return done.stdout
    given = status("localhost")
    text = subprocess.run(["openssl", "ocsp", "-respin", response, "-noverify", "-resp_text"], check=True,
                          capture_output=True, text=True).stdout
    serial = next(line for line in text.splitlines() if "Serial Number" in line)
    assert "OCSP Response Status: successful" in given and "Cert Status: good" in given and serial in given
    assert "OCSP response: no response sent" in status("shop.example")


@pytest.mark.parametrize("option", ["-tls1", "-tls1_1"])
def test_old_versions_are_refused(secure, proxy, option):
    secure()
    done = subprocess.run(["openssl", "s_client", "-connect", f"127.0.0.1:{proxy.port}", option, "-cipher",
                           "DEFAULT@SECLEVEL=0"], input="", capture_output=True, text=True, timeout=10)
    assert done.returncode != 0 and "Cipher is (NONE)" in done.stdout


@pytest.mark.parametrize("cipher", ["aNULL", "eNULL", "RC4", "3DES", "EXPORT"])
def test_weak_ciphers_are_refused(secure, proxy, cipher):
    secure()
    done = subprocess.run(["openssl", "s_client", "-connect", f"127.0.0.1:{proxy.port}", "-tls1_2", "-cipher",
                           f"{cipher}:@SECLEVEL=0"], input="", capture_output=True, text=True, timeout=10)
    assert done.returncode != 0


def test_clear_text_on_a_tls_port_gets_no_http(secure, proxy):
    server = secure()
    with Connection.to(proxy.port) as connection:
        connection.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        connection.is_closed()
        assert not connection.received.startswith(b"HTTP/1.1 200")
    assert not server.received


@pytest.fixture
def mutual(proxy, upstream, pki):
    def start(mode="AllowValidOnly"):
        server = upstream()
        proxy.start([
            config.gateway(config.https(proxy.port, "cert"), tls={"frontend": {"default": {"validation": {
                "mode": mode, "caCertificateRefs": [{"group": "", "kind": "ConfigMap", "name": "ca"}]}}}}),
            config.secret("cert", pki, "localhost"), config.authority("ca", pki),
            config.backend("app", server.port), config.route(config.rule("app"))])
        return server
    return start


def attempt(proxy, context):
    """The status, or None where the handshake failed; TLS 1.3 says so only at the first read."""
    try:
        return fetch(proxy.port, tls=context).status
    except (OSError, Closed):  # ssl.SSLError is an OSError
        return None


def test_client_certificate(mutual, proxy, pki, tmp_path):
    from harness.pki import PKI
    server = mutual()
    assert attempt(proxy, pki.client("http/1.1", certificate="client")) == 200
    before = len(server.requests)
    assert attempt(proxy, pki.client("http/1.1")) is None
    stranger = PKI(tmp_path / "stranger")
    context = pki.client("http/1.1")
    context.load_cert_chain(f"{stranger.path('client')}.pem", f"{stranger.path('client')}.key")
    assert attempt(proxy, context) is None
    assert len(server.requests) == before


def test_client_certificate_optional(mutual, proxy, pki):
    mutual("AllowInsecureFallback")
    assert attempt(proxy, pki.client("http/1.1")) == 200
    assert attempt(proxy, pki.client("http/1.1", certificate="client")) == 200


def test_passthrough_by_server_name(proxy, upstream, client, pki):
    shop = upstream(lambda *_: answer("shop"), tls=pki.server("shop"))
    wild = upstream(lambda *_: answer("wild"), tls=pki.server("wild"))
    proxy.start([
        config.gateway(config.passthrough(proxy.port)), config.backend("shop", shop.port),
        config.backend("wild", wild.port), config.tls_route("shop", "shop.example"),
        config.tls_route("wild", "*.example.com")])
    for name, body in (("shop.example", b"shop"), ("a.example.com", b"wild")):
        connection = client.http1(tls=pki.client(), name=name)
        assert subject(connection) == body.decode() and connection.get(host=name).body == body
    with pytest.raises((ssl.SSLError, ConnectionError)):
        client.http1(tls=pki.client(), name="unknown.example")


def test_passthrough_of_a_client_hello_in_pieces(proxy, upstream, client, pki):
    server = upstream(lambda *_: answer("whole"), tls=pki.server("shop"))
    proxy.start([config.gateway(config.passthrough(proxy.port)), config.backend("shop", server.port),
                 config.tls_route("shop", "shop.example")])
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = pki.client().wrap_bio(incoming, outgoing, server_hostname="shop.example")
    connection = client.http1()
    with pytest.raises(ssl.SSLWantReadError):
        tls.do_handshake()
    for byte in outgoing.read():
        connection.send(bytes([byte]))
    while True:
        try:
            tls.do_handshake()
            break
        except ssl.SSLWantReadError:
            assert connection.fill()
            incoming.write(connection.buffer)
            connection.buffer = b""
    assert dict(field[0] for field in tls.getpeercert()["subject"])["commonName"] == "shop"


@pytest.mark.parametrize("garbage", [b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01\x00\x05hello", b"\x16\x03\x01\xff\xff" + b"\x01" * 100])
def test_passthrough_refuses_what_is_no_client_hello(proxy, upstream, client, pki, garbage):
    server = upstream(tls=pki.server("shop"))
    proxy.start([config.gateway(config.passthrough(proxy.port)), config.backend("shop", server.port),
                 config.tls_route("shop", "shop.example"), config.limits(handshakeTimeout="500ms")])
    connection = client.http1()
    connection.send(garbage)
    assert connection.is_closed()
    assert not server.connections


def upstream_tls(proxy, server, pki, hostname="upstream.internal", protocol=None, **gateway):
    return [config.gateway(config.http(proxy.port), **gateway), config.backend("app", server.port, protocol=protocol),
            config.route(config.rule("app")), config.authority("ca", pki),
            config.backend_tls("to-app", "app", hostname, "ca")]


def test_tls_to_the_backend(proxy, upstream, client, pki):
    server = upstream(lambda *_: answer("over TLS"), tls=pki.server("upstream"))
    proxy.start(upstream_tls(proxy, server, pki))
    assert client.get().body == b"over TLS"


def test_http2_over_tls_to_the_backend(proxy, h2_upstream, client, pki):
    server = h2_upstream(tls=pki.server("upstream", "h2"))
    proxy.start(upstream_tls(proxy, server, pki, protocol=config.H2C))
    assert client.http2().get().status == 200


def test_backend_with_another_name_is_not_trusted(proxy, upstream, client, pki):
    server = upstream(tls=pki.server("upstream"))
    proxy.start(upstream_tls(proxy, server, pki, hostname="someone.else"))
    response = client.get()
    assert (response.status, response.get("x-martlet-reason")) == (503, "upstream_tls_failed")
    assert not server.requests


def test_backend_of_another_authority_is_not_trusted(proxy, upstream, client, pki, tmp_path):
    from harness.pki import PKI
    server = upstream(tls=PKI(tmp_path / "stranger").server("upstream"))
    proxy.start(upstream_tls(proxy, server, pki))
    assert client.get().get("x-martlet-reason") == "upstream_tls_failed"
    assert not server.requests


def test_client_certificate_to_the_backend(proxy, upstream, client, pki):
    server = upstream(lambda request, connection: answer(
        json.dumps(subject(connection))),
        tls=pki.server("upstream", mutual=True))
    proxy.start([*upstream_tls(proxy, server, pki, tls={"backend": {"clientCertificateRef": {"name": "own"}}}),
                 config.secret("own", pki, "client")])
    assert json.loads(client.get().body) == "client"


def test_certificate_is_replaced_without_cutting_connections(proxy, upstream, client, pki):
    server = upstream()

    def documents(certificate):
        return [config.gateway(config.https(proxy.port, "cert")), config.secret("cert", pki, certificate),
                config.backend("app", server.port), config.route(config.rule("app"))]
    proxy.start(documents("localhost"))
    old = client.http1(tls=pki.client("http/1.1"))
    assert old.get().status == 200

    def shown():
        with Connection.to(proxy.port, pki.client("http/1.1"), "shop.example") as connection:
            return subject(connection)

    def replaced():
        try:
            return shown() == "shop"
        except ssl.SSLError:
            return False
    proxy.reload(documents("shop"), replaced)
    assert old.get().status == 200


def test_handshake_timeout(secure, client):
    secure(config.limits(handshakeTimeout="400ms"))
    connection = client.http1()
    started = time.monotonic()
    assert connection.is_closed(5) and time.monotonic() - started < 3
