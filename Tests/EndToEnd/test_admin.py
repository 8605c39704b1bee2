"""The admin endpoint: what it answers, to which method, and what it never says."""
import http.client
import json
import re
import socket

import pytest

from harness import config
from harness.http1 import Connection

PATHS = ["/live", "/ready", "/metrics", "/config", "/upstreams", "/certs"]


@pytest.fixture
def secure(proxy, upstream, pki):
    """An HTTPS gateway with a client certificate towards its backend: everything secret that there is."""
    server = upstream()
    proxy.start([
        config.gateway(config.https(proxy.port, "cert"), tls={"backend": {"clientCertificateRef": {"name": "own"}}}),
        config.secret("cert", pki, "localhost"), config.secret("own", pki, "client"), config.authority("ca", pki),
        config.backend("app", server.port), config.backend_tls("to-app", "app", "upstream.internal", "ca"),
        config.route(config.rule("app"), name="all")])
    return server


@pytest.mark.parametrize("path", PATHS)
def test_get(serve, proxy, path):
    serve()
    status, headers, body = proxy.admin(path)
    assert status == 200
    assert "no-store" in {name.lower(): value for name, value in headers.items()}.get("cache-control", "")
    if path in ("/config", "/upstreams", "/certs"):
        json.loads(body)


@pytest.mark.parametrize("path", PATHS)
def test_head_is_get_without_the_body(serve, proxy, path):
    serve()
    status, _, body = proxy.admin(path, "HEAD")
    assert (status, body) == (200, "")


@pytest.mark.parametrize("path, method, allowed", [
    *((path, method, "GET") for path in PATHS for method in ("POST", "DELETE")), ("/drain", "GET", "POST"),
    ("/drain", "HEAD", "POST"), ("/drain", "PUT", "POST")])
def test_wrong_method(serve, proxy, path, method, allowed):
    serve()
    status, headers, _ = proxy.admin(path, method)
    headers = {name.lower(): value for name, value in headers.items()}
    assert status == 405 and allowed in [one.strip() for one in headers["allow"].split(",")]
    assert proxy.admin("/ready")[0] == 200, "it drained all the same"


@pytest.mark.parametrize("path", ["/nothing", "/config/", "/metrics/x", "/LIVE", "//live", "/live/../config"])
def test_unknown(serve, proxy, path):
    serve()
    assert proxy.admin(path)[0] in (404, 400)


def test_query_does_not_count(serve, proxy):
    serve()
    assert proxy.admin("/live?x=1")[0] == 200


def test_config_shows_what_is_served(secure, proxy):
    text = proxy.admin("/config")[2]
    assert str(proxy.port) in text and "default/all" in text and str(secure.port) in text


def test_secrets_are_never_shown(secure, proxy, pki):
    for path in PATHS:
        text = proxy.admin(path)[2]
        assert "PRIVATE KEY" not in text, path
        for name in ("localhost", "client"):
            key = pki.path(name).with_suffix(".key").read_text()
            for line in key.splitlines()[1:-1]:
                assert line not in text, f"a private key is in {path}"


def test_certs_name_what_is_served_and_when_it_ends(secure, proxy):
    text = proxy.admin("/certs")[2]
    assert "localhost" in text and re.search(r"20\d\d-\d\d-\d\dT", text)


def test_upstreams_show_endpoints(serve, proxy, client):
    server = serve()
    assert client.get().status == 200
    text = proxy.admin("/upstreams")[2]
    assert f"127.0.0.1:{server.port}" in text and "default/Backend/app" in text


def test_revision_is_the_same_everywhere(serve, proxy):
    serve()
    revision = next(dict(labels)["revision"] for (name, labels), _ in proxy.metrics().items()
                    if name == "martlet_configuration_info")
    assert revision and revision in proxy.admin("/config")[2] and revision in proxy.log()


def test_admin_is_not_reachable_through_a_listener(serve, proxy, client):
    serve()
    assert json.loads(client.get("/metrics").body)["start"] == "GET /metrics HTTP/1.1"


def test_pipelining_and_keep_alive(serve, proxy):
    serve()
    with Connection.to(proxy.admin_port) as connection:
        connection.send("GET /live HTTP/1.1\r\nHost: a\r\n\r\n" * 3)
        assert [connection.response().status for _ in range(3)] == [200] * 3


@pytest.mark.parametrize("garbage", [
    b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: x\r\n\r\n", b"\x00\x01\x02\r\n\r\n", b"GET /live HTTP/3.0\r\n\r\n"])
def test_garbage_is_refused(serve, proxy, garbage):
    serve()
    with Connection.to(proxy.admin_port) as connection:
        connection.send(garbage)
        data = connection.to_end()
        assert data == b"" or data.startswith((b"HTTP/1.1 400", b"HTTP/1.1 505"))
    assert proxy.admin("/live")[0] == 200


def test_admin_over_a_unix_socket(proxy, upstream, tmp_path):
    server = upstream()
    path = tmp_path / "admin.sock"
    proxy.start(config.simple(proxy.port, server.port), ready=False, admin=f"unix:{path}")

    def live():
        with socket.socket(socket.AF_UNIX) as sock:
            sock.connect(str(path))
            connection = http.client.HTTPConnection("localhost")
            connection.sock = sock
            connection.request("GET", "/ready")
            return connection.getresponse().status == 200
    proxy.wait(live, "ready on the unix socket")
    assert path.stat().st_mode & 0o077 == 0, "others may use the admin socket"


def test_connections_of_the_admin_do_not_count_as_clients(serve, proxy):
    serve()
    for _ in range(5):
        proxy.admin("/metrics")
    assert proxy.metric("martlet_downstream_connections_total") == 0
    assert proxy.metric("martlet_requests_total") == 0
