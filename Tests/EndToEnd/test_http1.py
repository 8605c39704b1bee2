"""HTTP/1.1 on both sides (RFC 9110, RFC 9112)."""
import json
import subprocess
import threading
import time

import pytest

from harness import config
from harness.http1 import Closed
from harness.upstream import answer


def seen(response):
    """What the upstream saw, from `describe`."""
    assert response.status == 200, response
    made = json.loads(response.body)
    made["headers"] = {name.lower(): value for name, value in made["headers"]}
    return made


def test_request_reaches_upstream_as_sent(serve, client):
    serve()
    got = seen(client.get("/a/b?c=d&e", method="PUT", host="shop.example", body=b"payload", headers=[("X-Case", "Kept")]))
    assert got["start"] == "PUT /a/b?c=d&e HTTP/1.1"
    assert (got["headers"]["host"], got["headers"]["x-case"], got["body"]) == ("shop.example", "Kept", "payload")


def test_keep_alive_on_both_sides(serve, client):
    server = serve()
    connection = client.http1()
    for number in range(5):
        assert connection.get(f"/{number}").status == 200
    assert len(server.connections) == 1


def test_pipelined_requests_are_answered_in_order(serve, client):
    def script(request, connection):
        time.sleep(0.2 if request.target == "/0" else 0)
        return answer(request.target)
    serve(script)
    connection = client.http1()
    connection.send("".join(f"GET /{number} HTTP/1.1\r\nHost: a\r\n\r\n" for number in range(8)))
    assert [connection.response().body for _ in range(8)] == [b"/%d" % number for number in range(8)]


def test_head_split_into_single_bytes(serve, client):
    serve()
    connection = client.http1()
    for byte in b"GET /slow HTTP/1.1\r\nHost: a\r\n\r\n":
        connection.send(bytes([byte]))
    assert seen(connection.response())["start"] == "GET /slow HTTP/1.1"


def test_chunked_bodies_and_trailers_pass_both_ways(serve, client):
    server = serve(lambda *_: b"HTTP/1.1 200 OK\r\nTrailer: x-sum\r\nTransfer-Encoding: chunked\r\n\r\n"
                              b"5\r\nhello\r\n6\r\n world\r\n0\r\nx-sum: 42\r\n\r\n")
    connection = client.http1()
    connection.send(b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTrailer: x-check\r\n\r\n"
                    b"4;ext=1\r\nwiki\r\n5\r\npedia\r\n0\r\nx-check: yes\r\n\r\n")
    response = connection.response()
    assert response.body == b"hello world" and ("x-sum", "42") in response.trailers
    assert server.requests[0].body == b"wikipedia" and ("x-check", "yes") in server.requests[0].trailers
    assert connection.get().status == 200


def test_chunks_are_streamed_not_collected(serve, client):
    go_on = threading.Event()

    def script(request, connection):
        connection.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\none\r\n")
        go_on.wait(5)
        connection.send(b"3\r\ntwo\r\n0\r\n\r\n")
    serve(script)
    connection = client.http1()
    connection.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
    connection.head()
    connection.until(b"one")  # before the upstream has sent the rest
    go_on.set()
    connection.until(b"two")


@pytest.mark.parametrize("status, head", [("204 No Content", b""), ("304 Not Modified", b"ETag: \"x\"\r\n")])
def test_responses_without_body(serve, client, status, head):
    serve(lambda *_: b"HTTP/1.1 " + status.encode() + b"\r\n" + head + b"\r\n")
    connection = client.http1()
    for _ in range(2):  # the second shows that framing was kept
        response = connection.get()
        assert response.start.endswith(status) and response.get("transfer-encoding") is None


def test_head_has_length_but_no_body(serve, client):
    def script(request, connection):
        if request.method == "HEAD":
            return b"HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n"
        return answer("after")
    serve(script)
    connection = client.http1()
    assert connection.get(method="HEAD").get("content-length") == "5000"
    assert connection.get().body == b"after"


def test_early_hints_are_forwarded(serve, client):
    serve(lambda *_: b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n" + answer("done"))
    connection = client.http1()
    connection.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
    hints = connection.response(interim=True)
    assert (hints.status, hints.get("link")) == (103, "</a.css>")
    assert connection.response().body == b"done"


def test_http10_client_gets_no_interim_response(serve, client):
    serve(lambda *_: b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n" + answer("done"))
    connection = client.http1()
    connection.send("GET / HTTP/1.0\r\nHost: a\r\n\r\n")
    assert connection.response(interim=True).status == 200


def test_expect_100_continue(serve, client):
    def handle(connection):
        head = connection.head()
        if head.get("expect"):
            connection.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        body = connection.exactly(int(head.get("content-length")))
        connection.send(answer(body[::-1]))
    serve(serve=handle)
    connection = client.http1()
    connection.send("POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n")
    assert connection.response(interim=True).status == 100
    connection.send("body")
    assert connection.response().body == b"ydob"


def test_expect_100_continue_answered_at_once(serve, client):
    """RFC 9110 §10.1.1: a final answer instead of 100; what the client sends next is no request."""
    def handle(connection):
        connection.head()
        connection.send(answer("no", "401 Unauthorized", connection="close"))
    server = serve(serve=handle)
    connection = client.http1()
    connection.send("POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 18\r\n\r\n")
    assert connection.response().status == 401
    connection.send("GET /x HTTP/1.1\r\n\r\n")
    assert connection.is_closed() or b"GET /x" not in server.received


def test_other_expectations_are_refused(serve, client):
    server = serve()
    response = client.get(headers=[("Expect", "a-miracle")])
    assert (response.status, response.get("x-martlet-reason")) == (417, "expectation_failed")
    assert not server.requests


def test_http10_client_gets_a_body_that_ends_with_the_connection(serve, client):
    serve(lambda *_: b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n")
    connection = client.http1()
    connection.send("GET / HTTP/1.0\r\nHost: a\r\n\r\n")
    response = connection.head()
    assert response.get("transfer-encoding") is None
    assert connection.to_end() == b"hello"


def test_http10_client_without_host(serve, client):
    serve()
    connection = client.http1()
    connection.send("GET / HTTP/1.0\r\n\r\n")
    assert connection.response().status == 200


def test_http10_keep_alive(serve, client):
    serve()
    connection = client.http1()
    connection.send("GET / HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\n\r\n")
    response = connection.response()
    assert response.status == 200
    if (response.get("connection") or "").lower() == "keep-alive":  # allowed, not required
        assert connection.get().status == 200
    else:
        assert connection.is_closed()


def test_http10_upstream_whose_body_ends_with_the_connection(serve, client):
    def handle(connection):
        connection.head()
        connection.send(b"HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\n\r\nuntil the end")
    serve(serve=handle)
    connection = client.http1()
    for _ in range(2):
        assert connection.get().body == b"until the end"


def test_absolute_form(serve, client):
    serve()
    connection = client.http1()
    connection.send("GET http://shop.example/a?b HTTP/1.1\r\nHost: shop.example\r\n\r\n")
    got = seen(connection.response())
    assert (got["start"], got["headers"]["host"]) == ("GET /a?b HTTP/1.1", "shop.example")


def test_options_asterisk(serve, client):
    serve()
    connection = client.http1()
    connection.send("OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n")
    assert seen(connection.response())["start"] == "OPTIONS * HTTP/1.1"


def test_connect_is_refused(serve, client):
    server = serve()
    connection = client.http1()
    connection.send("CONNECT example.com:443 HTTP/1.1\r\nHost: example.com:443\r\n\r\n")
    response = connection.response()
    assert (response.status, response.get("x-martlet-reason")) == (405, "connect_refused")
    assert not server.received


def test_connection_close_is_honoured(serve, client):
    serve()
    connection = client.http1()
    response = connection.get(headers=[("Connection", "close")])
    assert response.status == 200 and "close" in (response.get("connection") or "").lower()
    assert connection.is_closed()


def test_hop_by_hop_fields_stay_on_their_hop(serve, client):
    serve(lambda request, connection: answer(
        json.dumps([name.lower() for name, _ in request.headers]),
        headers=[("Connection", "X-Back"), ("X-Back", "1"), ("Keep-Alive", "timeout=5"), ("X-Kept", "1")]))
    response = client.get(headers=[
        ("Connection", "X-Private, keep-alive"), ("X-Private", "1"), ("Keep-Alive", "1"), ("Proxy-Connection", "x"),
        ("TE", "gzip"), ("Upgrade", "nothing"), ("X-End-To-End", "1")])
    forwarded = json.loads(response.body)
    assert "x-end-to-end" in forwarded
    assert not {"x-private", "keep-alive", "proxy-connection", "te", "upgrade"} & set(forwarded)
    assert response.get("x-kept") == "1"
    assert response.get("x-back") is None and response.get("keep-alive") is None


@pytest.mark.parametrize("name", ["X-Forwarded-For", "Authorization", "Host", "Cookie"])
def test_connection_cannot_nominate_what_protects(serve, client, name):
    """A client must not be able to strip the fields that upstreams decide on."""
    serve()
    response = client.get(headers=[("Connection", name), ("Authorization", "Basic x"), ("Cookie", "a=b")])
    if response.status != 400:  # refusing is as good
        assert name.lower() in seen(response)["headers"]


def test_edge_overwrites_forwarded_fields(serve, client):
    serve()
    got = seen(client.get(headers=[
        ("X-Forwarded-For", "6.6.6.6"), ("X-Forwarded-Proto", "https"), ("X-Forwarded-Host", "evil.example"),
        ("Forwarded", "for=6.6.6.6"), ("X-Real-IP", "6.6.6.6")]))["headers"]
    assert got["x-forwarded-for"] == "127.0.0.1" and got["x-forwarded-proto"] == "http"
    assert "6.6.6.6" not in json.dumps(got) and "evil.example" not in json.dumps(got)


def test_edge_drops_names_with_underscores(serve, client):
    serve()
    assert "x_admin" not in seen(client.get(headers=[("X_Admin", "1"), ("X-Fine", "1")]))["headers"]


def test_large_bodies_by_curl(serve, proxy, tmp_path):
    size = 16 << 20
    (tmp_path / "up").write_bytes(b"u" * size)
    serve(lambda request, connection: answer(b"d" * len(request.body)))
    done = subprocess.run(["curl", "-sS", "--http1.1", "-o", tmp_path / "down", "-T", tmp_path / "up", "-w",
                           "%{http_code}", f"http://127.0.0.1:{proxy.port}/"], capture_output=True, text=True, timeout=30)
    assert (done.stdout, done.stderr) == ("200", "")
    assert (tmp_path / "down").read_bytes() == b"d" * size


def test_truncated_response_is_seen_as_truncated(serve, client):
    def handle(connection):
        connection.head()
        connection.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n")
    serve(serve=handle)
    with pytest.raises(Closed):
        client.get()


def test_short_response_is_seen_as_truncated(serve, client):
    def handle(connection):
        connection.head()
        connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello")
    serve(serve=handle)
    with pytest.raises(Closed):
        client.get()


def test_answer_before_the_request_has_ended(serve, client):
    def handle(connection):
        connection.head()
        connection.send(answer("too much", "413 Content Too Large", connection="close"))
    serve(serve=handle)
    connection = client.http1()
    connection.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000000\r\n\r\n" + "x" * 1000)
    assert connection.response().status == 413
    assert connection.is_closed()  # the rest of the body must not be read as a request


def test_upstream_refuses_connections(proxy, client, refusing_port):
    proxy.start(config.simple(proxy.port, refusing_port))
    response = client.get()
    assert (response.status, response.get("x-martlet-reason")) == (503, "upstream_connect_failed")
    assert response.get("content-type") == "application/problem+json"
    assert json.loads(response.body)["reason"] == "upstream_connect_failed"


def test_upstream_closes_without_an_answer(serve, client):
    serve(lambda *_: False)
    response = client.get()
    assert (response.status, response.get("x-martlet-reason")) == (502, "upstream_closed")


@pytest.mark.parametrize("garbage", [
    b"nonsense\r\n\r\n", b"HTTP/1.1 2OO OK\r\n\r\n", b"HTTP/1.1 200 OK\r\nBad Name: x\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
    b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nA: b\r\n folded\r\nContent-Length: 0\r\n\r\n",
])
def test_malformed_response_is_not_passed_on(serve, client, garbage):
    serve(lambda *_: garbage)
    response = client.get()
    assert (response.status, response.get("x-martlet-reason")) == (502, "upstream_malformed_response")


def test_reused_connection_that_died_is_replaced_without_the_client_noticing(serve, client):
    """The idle race: the upstream closes an idle connection just as it is reused."""
    def handle(connection):
        for _ in range(2 if not opened else 100):
            request = connection.request()
            opened.append(request)
            if len(opened) == 2:
                return  # the second request on the first connection: gone without a byte
            connection.send(answer("fine"))
    opened = []
    serve(serve=handle)
    connection = client.http1()
    assert connection.get().body == b"fine"
    assert connection.get("/second").body == b"fine"
    assert [request.target for request in opened] == ["/", "/second", "/second"]


def test_request_that_was_not_idempotent_is_not_repeated_after_bytes_came_back(serve, client):
    count = []

    def handle(connection):
        while connection.request():
            count.append(1)
            if len(count) == 1:
                connection.send(answer("fine"))
            else:
                connection.send(b"HTTP/1.1 200")
                return
    serve(serve=handle)
    connection = client.http1()
    assert connection.get().status == 200
    assert connection.get(method="POST", body=b"order").status == 502
    assert len(count) == 2


def test_idle_upstream_connection_closed_by_peer_is_noticed(serve, client):
    server = serve()
    connection = client.http1()
    assert connection.get().status == 200
    server.connections[0].socket.shutdown(2)
    time.sleep(0.2)
    assert connection.get().status == 200
    assert len(server.connections) == 2


def test_upstream_bytes_after_a_response_poison_nobody(serve, client):
    """A second response on an idle connection must never answer the next request."""
    serve(lambda request, connection: answer(request.target) + (answer("poison") if request.target == "/1" else b""))
    connection = client.http1()
    assert connection.get("/1").body == b"/1"
    time.sleep(0.1)
    assert connection.get("/2").body == b"/2"
