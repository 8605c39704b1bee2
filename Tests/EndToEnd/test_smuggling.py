"""Requests with two readings: refused, the connection closed, and the upstream has seen nothing of them.

Sources: RFC 9112 §3, §5, §6, §7 and §11.2, RFC 9113 §8, RFC 9110 §4.2.2 and §7.2.
"""
import json

import h2.errors
import pytest
from hyperframe.frame import DataFrame

MARK = b"/smuggled"
HOST = b"Host: a\r\n"


def post(*lines, body=b"", version=b"HTTP/1.1"):
    return b"POST / " + version + b"\r\n" + HOST + b"".join(line + b"\r\n" for line in lines) + b"\r\n" + body


TAIL = b"GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n"
CHUNKED = b"Transfer-Encoding: chunked"

# name → (bytes, allowed statuses)
REFUSED = {
    # Both framings (§6.1)
    "CL and TE": (post(b"Content-Length: 6", CHUNKED, body=b"0\r\n\r\nG" + TAIL), {400}),
    "TE and CL": (post(CHUNKED, b"Content-Length: 4", body=b"0\r\n\r\n" + TAIL), {400}),
    "CL 0 and TE": (post(b"Content-Length: 0", CHUNKED, body=b"0\r\n\r\n" + TAIL), {400}),
    # Content-Length (§6.3)
    "two different CL": (post(b"Content-Length: 0", b"Content-Length: 36", body=TAIL), {400}),
    "two equal CL": (post(b"Content-Length: 1", b"Content-Length: 1", body=b"x" + TAIL), {400}),
    "CL list": (post(b"Content-Length: 1, 1", body=b"x" + TAIL), {400}),
    "CL with plus": (post(b"Content-Length: +1", body=b"x" + TAIL), {400}),
    "CL negative": (post(b"Content-Length: -1", body=TAIL), {400}),
    "CL hex": (post(b"Content-Length: 0x1", body=b"x" + TAIL), {400}),
    "CL with underscore": (post(b"Content-Length: 1_0", body=b"x" + TAIL), {400}),
    "CL with space inside": (post(b"Content-Length: 1 0", body=b"x" + TAIL), {400}),
    "CL empty": (post(b"Content-Length:", body=TAIL), {400}),
    "CL too large for 64 bits": (post(b"Content-Length: 18446744073709551617", body=b"x" + TAIL), {400, 413}),
    "CL full-width digit": (post("Content-Length: １".encode(), body=b"x" + TAIL), {400}),
    "CL fraction": (post(b"Content-Length: 1.0", body=b"x" + TAIL), {400}),
    "space before colon of CL": (post(b"Content-Length : 5", body=TAIL), {400}),
    "underscore in CL name with TE": (post(b"Content_Length: 5", b"Content-Length: 0", CHUNKED, body=TAIL), {400}),
    # Transfer-Encoding (§6.1)
    **{f"TE {value!r}": (post(b"Transfer-Encoding: " + value, body=b"0\r\n\r\n" + TAIL), {400, 501}) for value in (
        b"\x0bchunked", b"\x0cchunked", b"chunked, identity", b"identity, chunked", b"chunked, chunked", b"xchunked",
        b"chunkedx", b"gzip, chunked", b"gzip", b"identity", b"chunked;q=1", b"\"chunked\"", b"chunked\x00", b"", b",",
        b"chunked,", b",chunked", b"chunk\xc3\xa9d", b"x\r\n chunked")},
    "TE twice": (post(CHUNKED, CHUNKED, body=b"0\r\n\r\n" + TAIL), {400, 501}),
    "TE twice, second odd": (post(CHUNKED, b"Transfer-Encoding: cow", body=b"0\r\n\r\n" + TAIL), {400, 501}),
    "TE with space before colon": (post(b"Transfer-Encoding : chunked", body=b"0\r\n\r\n" + TAIL), {400}),
    "TE with tab before colon": (post(b"Transfer-Encoding\t: chunked", body=b"0\r\n\r\n" + TAIL), {400}),
    "TE folded": (post(b"Transfer-Encoding:\r\n chunked", body=b"0\r\n\r\n" + TAIL), {400}),
    "TE in HTTP/1.0": (post(CHUNKED, body=b"0\r\n\r\n" + TAIL, version=b"HTTP/1.0"), {400, 501}),
    # Field lines (§5)
    "leading space": (post(b" X: 1"), {400}),
    "obs-fold": (post(b"X: 1\r\n folded: 2"), {400}),
    "obs-fold with tab": (post(b"X: 1\r\n\tfolded"), {400}),
    "bare LF between fields": (b"GET / HTTP/1.1\r\n" + HOST + b"X: 1\nTransfer-Encoding: chunked\r\n\r\n", {400}),
    "bare LF everywhere": (b"GET / HTTP/1.1\nHost: a\n\n", {400}),
    "bare LF at the end of the head": (b"GET / HTTP/1.1\r\nHost: a\r\n\n", {400}),
    "bare CR in a value": (post(b"X: a\rContent-Length: 5"), {400}),
    "bare CR in a name": (post(b"X\rY: a"), {400}),
    "NUL in a value": (post(b"X: a\x00b"), {400}),
    "NUL in a name": (post(b"X\x00Y: b"), {400}),
    "control character in a value": (post(b"X: a\x01b"), {400}),
    "DEL in a value": (post(b"X: a\x7fb"), {400}),
    "no colon": (post(b"Nonsense"), {400}),
    "empty name": (post(b": value"), {400}),
    "space in a name": (post(b"X Y: 1"), {400}),
    "bracket in a name": (post(b"X[0]: 1"), {400}),
    "non-ASCII name": (post("Ünïcode: 1".encode()), {400}),
    # Request line (§3)
    "no version": (b"GET /\r\n" + HOST + b"\r\n", {400, 505}),
    "lower-case version": (b"GET / http/1.1\r\n" + HOST + b"\r\n", {400, 505}),
    "version 1.2": (b"GET / HTTP/1.2\r\n" + HOST + b"\r\n", {400, 505}),
    "version 2.0": (b"GET / HTTP/2.0\r\n" + HOST + b"\r\n", {400, 505}),
    "version 0.9": (b"GET / HTTP/0.9\r\n" + HOST + b"\r\n", {400, 505}),
    "version with leading zero": (b"GET / HTTP/01.1\r\n" + HOST + b"\r\n", {400, 505}),
    "version HTTP/1.10": (b"GET / HTTP/1.10\r\n" + HOST + b"\r\n", {400, 505}),
    "two spaces": (b"GET  / HTTP/1.1\r\n" + HOST + b"\r\n", {400}),
    "tab for space": (b"GET\t/ HTTP/1.1\r\n" + HOST + b"\r\n", {400}),
    "space at the end": (b"GET / HTTP/1.1 \r\n" + HOST + b"\r\n", {400, 505}),
    "space in the target": (b"GET /a b HTTP/1.1\r\n" + HOST + b"\r\n", {400, 505}),
    "control character in the target": (b"GET /a\x01 HTTP/1.1\r\n" + HOST + b"\r\n", {400}),
    "raw UTF-8 in the target": ("GET /ü HTTP/1.1\r\n".encode() + HOST + b"\r\n", {400}),
    "fragment in the target": (b"GET /a#b HTTP/1.1\r\n" + HOST + b"\r\n", {400}),
    "target without slash": (b"GET a HTTP/1.1\r\n" + HOST + b"\r\n", {400}),
    "asterisk for GET": (b"GET * HTTP/1.1\r\n" + HOST + b"\r\n", {400}),
    "bad method": (b"G(T / HTTP/1.1\r\n" + HOST + b"\r\n", {400}),
    "empty method": (b" / HTTP/1.1\r\n" + HOST + b"\r\n", {400}),
    "bare CR in the request line": (b"GET / HTTP/1.1\r\rHost: a\r\n\r\n", {400}),
    "HTTP/2 preface cut short": (b"PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n", {400, 505}),
    # Host (RFC 9110 §7.2, RFC 9112 §3.2)
    "no Host": (b"GET / HTTP/1.1\r\n\r\n", {400}),
    "two Hosts": (b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", {400}),
    "two equal Hosts": (b"GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", {400}),
    "Host list": (b"GET / HTTP/1.1\r\nHost: a, b\r\n\r\n", {400}),
    "Host with path": (b"GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", {400}),
    "Host with user": (b"GET / HTTP/1.1\r\nHost: u@a\r\n\r\n", {400}),
    "Host with bad port": (b"GET / HTTP/1.1\r\nHost: a:b\r\n\r\n", {400}),
    "Host with port out of range": (b"GET / HTTP/1.1\r\nHost: a:99999\r\n\r\n", {400}),
    "Host with space": (b"GET / HTTP/1.1\r\nHost: a b\r\n\r\n", {400}),
    "Host and absolute-form differ": (b"GET http://b/ HTTP/1.1\r\nHost: a\r\n\r\n", {400}),
    "absolute-form without authority": (b"GET http:///x HTTP/1.1\r\nHost: a\r\n\r\n", {400}),
    "absolute-form with user": (b"GET http://u@a/ HTTP/1.1\r\nHost: a\r\n\r\n", {400}),
    "absolute-form of another scheme": (b"GET ftp://a/ HTTP/1.1\r\nHost: a\r\n\r\n", {400, 421}),
    # Path (the edge role)
    **{f"path {value!r}": (b"GET " + value + b" HTTP/1.1\r\n" + HOST + b"\r\n", {400}) for value in (
        b"/a%2fb", b"/a%2Fb", b"/a%00b", b"/a\\b", b"/a%5cb", b"/a%zz", b"/a%2", b"/a%")},
}

# name → (head of a chunked request, the part of the body that is wrong)
BAD_CHUNKS = {
    "no size": b"\r\nabc\r\n0\r\n\r\n", "not hex": b"g\r\nabc\r\n0\r\n\r\n", "negative": b"-1\r\nabc\r\n0\r\n\r\n",
    "0x": b"0x3\r\nabc\r\n0\r\n\r\n", "plus": b"+3\r\nabc\r\n0\r\n\r\n", "space first": b" 3\r\nabc\r\n0\r\n\r\n",
    "space after": b"3 \r\nabc\r\n0\r\n\r\n", "underscore": b"1_0\r\n" + b"a" * 16 + b"\r\n0\r\n\r\n",
    "overflow": b"10000000000000003\r\nabc\r\n0\r\n\r\n", "LF after size": b"3\nabc\r\n0\r\n\r\n",
    "LF after data": b"3\r\nabc\n0\r\n\r\n", "LF at the end": b"3\r\nabc\r\n0\r\n\n", "CR only": b"3\rabc\r\n0\r\n\r\n",
    "data too long": b"3\r\nabcd\r\n0\r\n\r\n", "data without CRLF": b"3\r\nabc0\r\n\r\n",
    "bare CR in extension": b"3;a=\rb\r\nabc\r\n0\r\n\r\n", "bare LF in extension": b"3;a=\nb\r\nabc\r\n0\r\n\r\n",
    "NUL in extension": b"3;a=\x00\r\nabc\r\n0\r\n\r\n", "endless extension": b"3;" + b"a" * 100_000,
    "trailer without colon": b"0\r\nnonsense\r\n\r\n", "folded trailer": b"0\r\nX: 1\r\n 2\r\n\r\n",
    "bare LF in trailers": b"0\r\nX: 1\n\r\n\r\n", "framing in trailers": b"0\r\nContent-Length : 5\r\n\r\n",
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused(serve, client, name):
    server = serve()
    data, statuses = REFUSED[name]
    connection = client.http1()
    connection.send(data)
    response = connection.response()
    assert response.status in statuses
    assert response.get("x-martlet-reason")
    assert connection.is_closed(), "the connection must not be used again"
    assert connection.buffer == b"", "the rest must not be answered"
    assert server.received == b"", "the upstream must see nothing"


@pytest.mark.parametrize("name", BAD_CHUNKS)
def test_bad_chunks(serve, client, name):
    """The head may have gone upstream; an end of the body, or another request, must not."""
    server = serve()
    connection = client.http1()
    connection.send(post(CHUNKED) + BAD_CHUNKS[name] + TAIL)
    assert connection.is_closed(6)
    statuses = [int(line.split()[1]) for line in connection.received.split(b"\r\n") if line.startswith(b"HTTP/1.1 ")]
    assert statuses in ([], [400]), connection.received
    assert not server.requests and MARK not in server.received


@pytest.mark.parametrize("path", [b"/public/../admin", b"/public/%2e%2e/admin", b"/public/.%2E/admin", b"/./admin",
                                  b"/public/..", b"/%2e/admin", b"/../../etc"])
def test_dot_segments_never_reach_the_upstream(serve, client, path):
    """Refused, or resolved before routing; never forwarded as they came."""
    server = serve()
    connection = client.http1()
    connection.send(b"GET " + path + b" HTTP/1.1\r\n" + HOST + b"\r\n")
    response = connection.response()
    assert response.status in (200, 400)
    for request in server.requests:
        assert "/." not in request.target and "%2e" not in request.target.lower()


@pytest.mark.parametrize("data, target", [
    (b"\r\nGET /x HTTP/1.1\r\n" + HOST + b"\r\n", "/x"),  # §2.2: one empty line before a request is to be ignored
    (b"GET /x HTTP/1.1\r\nHost: a:80\r\n\r\n", "/x"), (b"GET /x HTTP/1.1\r\nHost: [::1]:80\r\n\r\n", "/x"),
    (b"GET /%C3%BC?q=%2f&r=a/../b HTTP/1.1\r\n" + HOST + b"\r\n", "/%C3%BC?q=%2f&r=a/../b"),
    (b"GET /x HTTP/1.1\r\n" + HOST + b"X:\tpadded \t\r\nEmpty:\r\n\r\n", "/x"),
    (b"GET /x HTTP/1.1\r\n" + HOST + b"X: \xfc\xff\r\n\r\n", "/x"),  # obs-text
    (b"PURGE /x HTTP/1.1\r\n" + HOST + b"\r\n", "/x"),
])
def test_what_is_unusual_and_fine(serve, client, data, target):
    server = serve()
    connection = client.http1()
    connection.send(data)
    assert connection.response().status == 200
    assert server.requests[0].target == target
    assert connection.get("/again").status == 200


def test_get_with_body_keeps_framing(serve, client):
    server = serve()
    connection = client.http1()
    connection.send(b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % len(TAIL) + TAIL)
    assert json.loads(connection.response().body)["body"].encode() == TAIL
    assert connection.get("/next").status == 200
    assert [request.target for request in server.requests] == ["/", "/next"]


def test_local_answer_with_unread_body_does_not_read_it_as_a_request(proxy, client, upstream):
    from harness import config
    server = upstream()
    proxy.start([config.gateway(config.http(proxy.port)), config.backend("app", server.port),
                 config.route(config.rule("app", matches=[config.path("/only")]))])
    connection = client.http1()
    connection.send(post(b"Content-Length: %d" % (len(TAIL) + 100_000), body=TAIL))
    assert connection.response().status == 404
    connection.is_closed()
    assert connection.received.count(b"HTTP/1.1 ") == 1 and not server.received


def test_chunk_extensions_are_not_forwarded(serve, client):
    server = serve()
    connection = client.http1()
    connection.send(post(CHUNKED) + b"3;ext=\"a b\"\r\nabc\r\n0\r\n\r\n")
    assert connection.response().status == 200
    assert server.requests[0].body == b"abc" and b"ext" not in server.received


# Requests over HTTP/2 that would mean something else over HTTP/1.1 (RFC 9113 §8.2, §8.3, §10.3).
BASE = [(":method", "POST"), (":scheme", "http"), (":authority", "localhost"), (":path", "/")]
BAD_H2 = {
    "CRLF in a value": [*BASE, ("x", "a\r\nTransfer-Encoding: chunked")],
    "LF in a value": [*BASE, ("x", "a\nb")], "NUL in a value": [*BASE, ("x", "a\0b")],
    "CRLF in a name": [*BASE, ("x\r\ny", "a")], "colon in a name": [*BASE, ("x:y", "a")],
    "space in a name": [*BASE, ("x y", "a")], "upper-case name": [*BASE, ("X-Up", "a")], "empty name": [*BASE, ("", "a")],
    "leading space in a value": [*BASE, ("x", " a")], "trailing space in a value": [*BASE, ("x", "a ")],
    "transfer-encoding": [*BASE, ("transfer-encoding", "chunked")], "connection": [*BASE, ("connection", "x")],
    "keep-alive": [*BASE, ("keep-alive", "1")], "proxy-connection": [*BASE, ("proxy-connection", "x")],
    "upgrade": [*BASE, ("upgrade", "x")], "te": [*BASE, ("te", "gzip")],
    "no :method": BASE[1:], "no :scheme": [BASE[0], *BASE[2:]], "no :path": BASE[:3],
    "empty :path": [*BASE[:3], (":path", "")], "relative :path": [*BASE[:3], (":path", "x")],
    "space in :path": [*BASE[:3], (":path", "/ HTTP/1.1")], "CRLF in :path": [*BASE[:3], (":path", "/\r\nX: y")],
    "fragment in :path": [*BASE[:3], (":path", "/a#b")], "encoded slash in :path": [*BASE[:3], (":path", "/a%2fb")],
    "CRLF in :method": [(":method", "GET / HTTP/1.1\r\nX: y"), *BASE[1:]], "space in :method": [(":method", "G T"), *BASE[1:]],
    "CRLF in :authority": [*BASE[:2], (":authority", "a\r\nx: y"), BASE[3]],
    "user in :authority": [*BASE[:2], (":authority", "u@a"), BASE[3]],
    "two :path": [*BASE, (":path", "/b")], "two :method": [BASE[0], *BASE],
    "two :authority": [*BASE, (":authority", "b")],
    "pseudo-header after a field": [*BASE[:3], ("x", "y"), BASE[3]], "unknown pseudo-header": [*BASE, (":x", "y")],
    ":status in a request": [*BASE, (":status", "200")], ":protocol without CONNECT": [*BASE, (":protocol", "websocket")],
    "host differs from :authority": [*BASE, ("host", "other")],
    "two content-length": [*BASE, ("content-length", "1"), ("content-length", "2")],
    "bad content-length": [*BASE, ("content-length", "1x")],
    "CONNECT": [(":method", "CONNECT"), (":authority", "a:443")],
}


@pytest.mark.parametrize("name", BAD_H2)
def test_http2_refused(serve, client, name):
    server = serve()
    raw = client.frames()
    raw.read(0.2)
    raw.send(raw.headers(1, BAD_H2[name]))
    response = raw.response(1, 3)
    if response is not None:
        status = int(dict(response)[":status"])
        assert 400 <= status < 500
    else:
        assert raw.reset_code(1) is not None or raw.goaway_code() is not None
    assert server.received == b""


@pytest.mark.parametrize("length, data", [("3", b"four"), ("5", b"four"), ("0", b"four")])
def test_http2_content_length_must_fit_the_data(serve, client, length, data):
    server = serve()
    raw = client.frames()
    raw.read(0.2)
    raw.send(raw.headers(1, [*BASE, ("content-length", length)], flags=("END_HEADERS",)),
             DataFrame(1, data=data, flags=["END_STREAM"]))
    raw.read(2, until=lambda frame: getattr(frame, "error_code", None) is not None)
    assert raw.reset_code(1) == h2.errors.ErrorCodes.PROTOCOL_ERROR or raw.goaway_code() or raw.closed or \
        any(frame.stream_id == 1 for frame in raw.frames)
    assert not server.requests, "the upstream must not see a complete request"


@pytest.mark.parametrize("field", [("transfer-encoding", "chunked"), ("x", "a\r\nb"), (":path", "/x"), ("Upper", "1")])
def test_http2_bad_trailers(serve, client, field):
    server = serve()
    raw = client.frames()
    raw.read(0.2)
    raw.send(raw.headers(1, BASE, flags=("END_HEADERS",)), DataFrame(1, data=b"x"), raw.headers(1, [field]))
    raw.read(2, until=lambda frame: getattr(frame, "error_code", None) is not None)
    assert raw.reset_code(1) is not None or raw.goaway_code() is not None
    assert not server.requests
