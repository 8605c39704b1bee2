"""The access log: one line per exchange, whose fields no client can forge (docs/access-log.md)."""
import json
import re
import time

import pytest

from harness import config
from harness.http1 import Closed
from harness.upstream import answer

FIELDS = ["time", "listener", "route", "backend", "endpoint", "client", "peer", "method", "host", "path", "protocol",
          "tls", "sni", "status", "reason", "policy", "grpc_status", "duration_ms", "upstream_connect_ms", "upstream_ms",
          "bytes_received", "bytes_sent", "attempts", "cut_off", "request_id", "trace_id", "user_agent", "referer"]


@pytest.fixture
def logged(proxy, upstream):
    """Serves one route of a fixed name."""
    def start(script=None, *documents, **rule):
        server = upstream(script or (lambda *_: answer("body")))
        proxy.start([config.gateway(config.http(proxy.port)), config.backend("app", server.port),
                     config.route(config.rule("app", **rule), name="all"), *documents])
        return server
    return start


def line(proxy):
    lines = proxy.access_log(1)
    assert len(lines) == 1, lines
    return lines[0]


def test_fields_of_a_request(logged, proxy, client):
    server = logged(lambda *_: answer("d" * 10))
    client.get("/a?b=c", method="POST", host="Shop.example", body=b"12345", headers=[
        ("User-Agent", "test/1"), ("Referer", "https://x.example/"), ("X-Request-ID", "abc")])
    got = line(proxy)
    assert list(got) == FIELDS
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", got["time"])
    expected = {"listener": "default/edge/l0", "route": "default/all", "backend": "default/Backend/app",
                "endpoint": f"127.0.0.1:{server.port}", "method": "POST", "path": "/a?b=c", "protocol": "HTTP/1.1",
                "tls": None, "sni": None, "status": 200, "reason": None, "grpc_status": None, "bytes_received": 5,
                "bytes_sent": 10, "attempts": 1, "cut_off": False, "user_agent": "test/1",
                "referer": "https://x.example/"}
    assert {name: got[name] for name in expected} == expected
    assert got["client"].startswith("127.0.0.1") and got["host"].lower() == "shop.example"
    assert 0 <= got["upstream_ms"] <= got["duration_ms"] < 5000 and got["upstream_connect_ms"] >= 0


def test_fields_of_an_answer_of_the_proxy(logged, proxy, client):
    logged(matches=[config.path("/only")])
    client.get("/other")
    got = line(proxy)
    assert (got["status"], got["reason"], got["route"], got["backend"], got["attempts"]) == (
        404, "route_not_found", None, None, 0)


def test_reused_connection_has_no_connect_time(logged, proxy, client):
    logged()
    connection = client.http1()
    for _ in range(2):
        connection.get()
    first, second = proxy.access_log(2)
    assert first["upstream_connect_ms"] is not None and second["upstream_connect_ms"] is None


def test_duration_is_that_of_the_whole_exchange(logged, proxy, client):
    logged(lambda *_: (time.sleep(0.3), answer("x"))[1])
    client.get()
    got = line(proxy)
    assert 290 <= got["duration_ms"] < 3000 and 290 <= got["upstream_ms"] <= got["duration_ms"]


def test_client_that_goes_away(logged, proxy, client):
    logged(lambda *_: (time.sleep(1), answer("x"))[1])
    connection = client.http1()
    connection.send("GET /gone HTTP/1.1\r\nHost: a\r\n\r\n")
    time.sleep(0.2)
    connection.close()
    got = line(proxy)
    assert got["reason"] == "downstream_closed" and got["cut_off"] is True


def test_response_that_breaks_off(logged, proxy, client):
    def script(request, connection):
        connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")
        return False
    logged(script)
    with pytest.raises(Closed):
        client.get()
    got = line(proxy)
    assert (got["status"], got["reason"], got["cut_off"]) == (200, "upstream_closed", True)


def test_http2_and_tls(proxy, upstream, client, pki):
    server = upstream()
    proxy.start([config.gateway(config.https(proxy.port, "cert")), config.secret("cert", pki, "localhost"),
                 config.backend("app", server.port), config.route(config.rule("app"), name="all")])
    client.http2(tls=pki.client("h2")).get()
    got = line(proxy)
    assert (got["protocol"], got["tls"], got["sni"]) == ("HTTP/2", "1.3", "localhost")


@pytest.mark.parametrize("value", ['a"b\\c', "a\tb", "a\u202eb", "a\x80\xffb"])
def test_values_cannot_end_a_line_or_a_string(logged, proxy, client, value):
    logged()
    connection = client.http1()
    connection.send(b"GET / HTTP/1.1\r\nHost: a\r\nUser-Agent: " + value.encode("latin-1", "replace") + b"\r\n\r\n")
    assert connection.response().status == 200
    assert line(proxy)["status"] == 200
    text = next(one for one in proxy.log().splitlines() if one.startswith("{"))
    assert json.loads(text) and all(character.isprintable() for character in text)


def test_secrets_are_not_logged(logged, proxy, client):
    logged()
    client.get("/a?token=s3cr3t&x=1&api_key=s3cr3t", headers=[
        ("Authorization", "Bearer s3cr3t"), ("Cookie", "session=s3cr3t"), ("Referer", "https://x/?password=s3cr3t")])
    got = line(proxy)
    assert "s3cr3t" not in proxy.log()
    assert got["path"] == "/a?token=***&x=1&api_key=***"


def test_text_format(logged, proxy, client, eventually):
    logged(None, config.settings(accessLog={
        "type": "text", "format": 'LOG {client} "{method} {path} {protocol}" {status} {reason} {request:X-A}'}))
    client.get("/x?y", headers=[("X-A", "one two")])
    eventually(lambda: "LOG " in proxy.log())
    text = next(one for one in proxy.log().splitlines() if one.startswith("LOG "))
    assert re.fullmatch(r'LOG 127\.0\.0\.1(:\d+)? "GET /x\?y HTTP/1\.1" 200 - one\\x20two', text)


def test_off(logged, proxy, client, eventually):
    logged(None, config.settings(accessLog={"type": "off"}))
    client.get("/never-logged")
    eventually(lambda: proxy.metric("martlet_requests_total") == 1)
    assert "never-logged" not in proxy.log()


def test_every_exchange_has_exactly_one_line(logged, proxy, client):
    logged()
    http2 = client.http2()
    numbers = [http2.open(f"/{index}") for index in range(50)]
    assert all(http2.finished(number).status == 200 for number in numbers)
    assert sorted(int(one["path"][1:]) for one in proxy.access_log(50)) == list(range(50))


def test_request_id_is_made_and_forwarded(logged, proxy, client):
    seen = []
    logged(lambda request, _: (seen.append(request.get("x-request-id")), answer("x"))[1])
    client.get()
    assert seen[0] and line(proxy)["request_id"] == seen[0]
