"""HTTP/2 on both sides (RFC 9113)."""
import json
import re
import subprocess
import threading

import h2.errors
import h2.events
import pytest
from hyperframe.frame import GoAwayFrame, PingFrame, SettingsFrame

from harness import config
from harness.http2 import H2Client
from harness.upstream import answer


def curl(proxy, *arguments, path="/"):
    done = subprocess.run(["curl", "-sS", "-w", "\n%{http_code} %{http_version}", *map(str, arguments),
                           f"http://127.0.0.1:{proxy.port}{path}"], capture_output=True, text=True, timeout=30)
    assert done.returncode == 0, done.stderr
    body, _, last = done.stdout.rpartition("\n")
    return body, last


def test_curl_prior_knowledge_on_the_http1_port(serve, proxy):
    serve()
    body, last = curl(proxy, "--http2-prior-knowledge", path="/two")
    assert last == "200 2" and json.loads(body)["start"] == "GET /two HTTP/1.1"
    assert curl(proxy, "--http1.1")[1] == "200 1.1"


def test_upgrade_to_h2c_is_not_followed(serve, proxy):
    """RFC 9113 removed it; the request is served over HTTP/1.1."""
    serve()
    assert curl(proxy, "--http2")[1] == "200 1.1"


@pytest.mark.parametrize("protocol", ["h1", "h2"])
def test_h2load(proxy, upstream, h2_upstream, protocol):
    server = upstream(lambda *_: answer("x" * 1024)) if protocol == "h1" else \
        h2_upstream(lambda connection, number, request: connection.respond(number, body=b"x" * 1024))
    proxy.start(config.simple(proxy.port, server.port, protocol=config.H2C if protocol == "h2" else None))
    output = subprocess.run(["h2load", "-n2000", "-c4", "-m20", f"http://127.0.0.1:{proxy.port}/"],
                            capture_output=True, text=True, timeout=60).stdout
    assert "2000 succeeded, 0 failed, 0 errored" in output and "status codes: 2000 2xx" in output


def test_nghttp(serve, proxy):
    serve()
    output = subprocess.run(["nghttp", "-v", "--no-dep", f"http://127.0.0.1:{proxy.port}/"], capture_output=True,
                            text=True, timeout=10).stdout
    assert ":status: 200" in output and not re.search(r"recv GOAWAY.*\n.*error_code=(?!NO_ERROR)", output)


def test_node_upstream(proxy, client, node_upstream):
    proxy.start(config.simple(proxy.port, node_upstream, protocol=config.H2C))
    stream = client.http2().post("/node", b"hello")
    got = json.loads(stream.body)
    assert (got["method"], got["path"], got["body"]) == ("POST", "/node", "hello")
    assert ("x-trailer", "from-node") in stream.trailers
    assert json.loads(client.get("/one").body)["path"] == "/one"  # HTTP/1.1 in front


def test_settings_name_the_limits(serve, client):
    serve()
    raw = client.frames()
    settings = next(frame for frame in raw.read(until=lambda one: isinstance(one, SettingsFrame)))
    assert settings.settings[SettingsFrame.MAX_CONCURRENT_STREAMS] == 100
    assert settings.settings[SettingsFrame.INITIAL_WINDOW_SIZE] == 64 * 1024
    assert settings.settings[SettingsFrame.MAX_HEADER_LIST_SIZE] >= 60 * 1024
    assert settings.settings.get(SettingsFrame.ENABLE_PUSH, 0) == 0


@pytest.mark.parametrize("front, back", [("h2", "h2"), ("h2", "h1"), ("h1", "h2")])
def test_bodies_and_trailers_cross(proxy, client, upstream, h2_upstream, front, back):
    body = bytes(range(256)) * 2000
    if back == "h2":
        server = h2_upstream(lambda connection, number, request: connection.respond(
            number, body=request["body"][::-1], trailers=[("x-after", "yes")]))
    else:
        def script(request, connection):
            connection.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n" % len(request.body))
            connection.send(request.body[::-1] + b"\r\n0\r\nx-after: yes\r\n\r\n")
        server = upstream(script)
    proxy.start(config.simple(proxy.port, server.port, protocol=config.H2C if back == "h2" else None))
    if front == "h2":
        got = client.http2().post("/", body, trailers=[("x-checked", "1")])
    else:
        connection = client.http1()
        connection.send(b"POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n" % len(body)
                        + body + b"\r\n0\r\nx-checked: 1\r\n\r\n")
        got = connection.response()
    assert got.status == 200 and got.body == body[::-1]
    assert ("x-after", "yes") in got.trailers
    arrived = server.requests[0]
    assert ("x-checked", "1") in (arrived["trailers"] if back == "h2" else arrived.trailers)


def test_head_over_http2(serve, client):
    serve(lambda *_: b"HTTP/1.1 200 OK\r\nContent-Length: 777\r\n\r\n")
    stream = client.http2().get(method="HEAD")
    assert (stream.status, stream.get("content-length"), stream.body) == (200, "777", b"")


def test_early_hints_over_http2(serve, client):
    serve(lambda *_: b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" + answer("x"))
    stream = client.http2().get()
    assert stream.interim == [{":status": "103", "link": "</a>"}] and stream.status == 200


def test_bidirectional_streaming(serve_h2, client):
    """Response DATA flows while the request is still open."""
    def on_head(connection, number, request):
        connection.state.send_headers(number, [(":status", "200")])
        connection.state.send_data(number, b"before")
    serve_h2(on_head=on_head)
    http2 = client.http2()
    number = http2.open(method="POST", end=False)
    http2.wait(lambda: http2.streams[number].body == b"before")
    http2.send(number, b"late", end=True)


def test_hundred_streams_at_once(serve_h2, client):
    waiting, lock = [], threading.Lock()

    def script(connection, number, request):
        with lock:
            waiting.append((connection, number))
            if len(waiting) < 100:
                return
        for one, stream in waiting:  # only when all hundred have arrived
            one.respond(stream)
    serve_h2(script)
    http2 = client.http2()
    http2.wait(lambda: http2.state.remote_settings.max_concurrent_streams == 100)
    numbers = [http2.open(f"/{index}") for index in range(100)]
    assert all(http2.finished(number).status == 200 for number in numbers)


def test_stream_beyond_the_limit_is_refused_and_others_live(serve_h2, client):
    held = []
    serve_h2(lambda connection, number, request: held.append((connection, number)))
    raw = client.frames()
    raw.read(0.3)
    raw.send(*[raw.headers(1 + 2 * index) for index in range(101)])
    raw.read(1)
    assert raw.reset_code(201) in (h2.errors.ErrorCodes.REFUSED_STREAM, h2.errors.ErrorCodes.PROTOCOL_ERROR)
    assert not raw.closed
    held[0][0].respond(held[0][1])
    assert raw.response(1) or raw.frames


def test_cookie_crumbs_are_joined_for_http1(serve, client):
    serve()
    stream = client.http2().get(headers=[("cookie", "a=1"), ("cookie", "b=2")])
    cookies = [value for name, value in json.loads(stream.body)["headers"] if name.lower() == "cookie"]
    assert cookies == ["a=1; b=2"]


def test_te_trailers_passes(serve_h2, client):
    server = serve_h2()
    assert client.http2().get(headers=[("te", "trailers")]).status == 200
    assert ("te", "trailers") in server.requests[0]["headers"]


def test_ping_is_answered(serve, client):
    serve()
    raw = client.frames()
    raw.send(PingFrame(0, opaque_data=b"12345678"))
    frames = raw.read(2, until=lambda one: isinstance(one, PingFrame))
    assert frames[-1].opaque_data == b"12345678" and "ACK" in frames[-1].flags


def test_reset_by_the_client_reaches_the_upstream(serve_h2, client, eventually):
    server = serve_h2(lambda *_: None)
    http2 = client.http2()
    number = http2.open()
    eventually(lambda: server.requests, "the request")
    http2.state.reset_stream(number, h2.errors.ErrorCodes.CANCEL)
    http2.flush()
    eventually(lambda: server.resets, "the reset upstream")
    again = http2.open("/after")
    eventually(lambda: len(server.requests) == 2, "the connection lives on")
    assert again in http2.streams


def test_reset_by_the_client_closes_an_http1_upstream(serve, client, eventually):
    gone = threading.Event()

    def script(request, connection):
        if request.target == "/after":
            return answer("alive")
        if connection.is_closed(5):
            gone.set()
        return False
    serve(script)
    http2 = client.http2()
    number = http2.open()
    http2.wait(lambda: http2.state.remote_settings.max_concurrent_streams == 100)
    eventually(lambda: True)
    http2.state.reset_stream(number, h2.errors.ErrorCodes.CANCEL)
    http2.flush()
    assert gone.wait(5)
    assert http2.get("/after").body == b"alive"


def test_reset_by_the_upstream(serve_h2, client):
    serve_h2(lambda connection, number, request: connection.reset(number, h2.errors.ErrorCodes.INTERNAL_ERROR))
    stream = client.http2().get()
    assert (stream.status, stream.get("x-martlet-reason")) == (502, "upstream_reset")


def test_reset_by_the_upstream_after_the_head(serve_h2, client):
    def on_head(connection, number, request):
        connection.state.send_headers(number, [(":status", "200")])
        connection.state.send_data(number, b"part")
        connection.flush()
        connection.reset(number, h2.errors.ErrorCodes.INTERNAL_ERROR)
    serve_h2(on_head=on_head)
    stream = client.http2().get()
    assert stream.status == 200 and stream.reset is not None and not stream.ended


def test_refused_stream_is_tried_again(serve_h2, client):
    tried = []

    def script(connection, number, request):
        tried.append(number)
        if len(tried) == 1:
            connection.reset(number, h2.errors.ErrorCodes.REFUSED_STREAM)
        else:
            connection.respond(number, body=b"second")
    serve_h2(script)
    assert client.http2().get(method="POST").body == b"second"


def test_goaway_of_the_upstream_moves_unprocessed_streams(serve_h2, client):
    """A stream above last_stream_id was not processed and goes to another connection."""
    def script(connection, number, request):
        if connection is server.connections[0] and dict(request["headers"])[":path"] == "/move":
            connection.goaway(number - 2)
        else:
            connection.respond(number, body=dict(request["headers"])[":path"].encode())
    server = serve_h2(script)
    http2 = client.http2()
    assert http2.get("/first").body == b"/first"
    assert http2.get("/move").body == b"/move"
    assert len(server.connections) == 2


def test_goaway_of_the_upstream_lets_processed_streams_finish(serve_h2, client, eventually):
    held = []

    def script(connection, number, request):
        if dict(request["headers"])[":path"] == "/slow":
            held.append((connection, number))
            connection.goaway(number)
        else:
            connection.respond(number, body=b"new connection")
    server = serve_h2(script)
    http2 = client.http2()
    slow = http2.open("/slow")
    eventually(lambda: held)
    assert http2.get("/other").body == b"new connection"
    held[0][0].respond(held[0][1], body=b"slow one")
    assert http2.finished(slow).body == b"slow one"
    assert len(server.connections) == 2


def test_goaway_of_the_client_lets_its_streams_finish(serve_h2, client, eventually):
    held = []
    serve_h2(lambda connection, number, request: held.append((connection, number)))
    raw = client.frames()
    raw.send(raw.headers(1))
    eventually(lambda: held)
    raw.send(GoAwayFrame(0, last_stream_id=0))
    held[0][0].respond(held[0][1])
    assert (":status", "200") in raw.response(1)


def test_upstream_connection_is_shared_by_streams(serve_h2, client):
    server = serve_h2()
    http2 = client.http2()
    numbers = [http2.open() for _ in range(30)]
    assert all(http2.finished(number).status == 200 for number in numbers)
    assert len(server.connections) == 1


def test_authority_becomes_host_and_forwarded_fields_are_set(serve, client):
    serve()
    got = dict((name.lower(), value) for name, value in
               json.loads(client.http2().get(authority="shop.example").body)["headers"])
    assert got["host"] == "shop.example" and got["x-forwarded-for"] == "127.0.0.1"


def test_large_response_to_a_client_with_tiny_windows(serve, client):
    serve(lambda *_: answer(b"z" * 300_000))
    with H2Client(client.proxy.port) as http2:
        http2.wait(lambda: http2.state.remote_settings.max_concurrent_streams == 100)
        assert len(http2.get().body) == 300_000


def test_local_answer_over_http2(proxy, client, refusing_port):
    proxy.start(config.simple(proxy.port, refusing_port))
    stream = client.http2().get()
    assert (stream.status, stream.get("x-martlet-reason")) == (503, "upstream_connect_failed")


@pytest.mark.parametrize("method, status", [
    ("GET", 200), ("POST", 201), ("GET", 205), ("GET", 302), ("GET", 404), ("GET", 204), ("GET", 304), ("HEAD", 200)])
def test_a_response_that_ends_with_its_head_has_an_end_over_http1(serve_h2, client, method, status):
    """HTTP/2 needs no content-length to say so; HTTP/1.1 does, or the client waits for the connection to close."""
    def script(connection, number, request):
        if dict(request["headers"])[":path"] == "/empty":
            return connection.respond(number, status, body=b"")
        connection.respond(number)
    serve_h2(script)
    connection = client.http1()
    for _ in range(2):
        got = connection.get("/empty", method=method)
        assert (got.status, got.body, got.get("transfer-encoding")) == (status, b"", None)
        assert got.all("content-length") == ([] if method == "HEAD" or status in (204, 304) else ["0"])
        assert connection.get().body == b"ok"
