"""The clients and servers of these tests against each other, without a proxy: a fault found later is not theirs."""
import json

import grpc
import pytest

from harness.grpc_echo import Request, channel, stub
from harness.http1 import Connection, fetch
from harness.http2 import H2Client, RawH2
from harness.upstream import answer


def test_raw_http1_client_and_upstream(upstream):
    server = upstream()
    with Connection.to(server.port) as connection:
        first = connection.get("/a", headers=[("X-One", "1")])
        second = connection.get("/b", method="POST", body=b"body")
    assert json.loads(first.body)["headers"] == [["Host", "localhost"], ["X-One", "1"]]
    assert json.loads(second.body)["body"] == "body"
    assert len(server.connections) == 1 and len(server.requests) == 2


def test_raw_http1_chunked_and_trailers(upstream):
    server = upstream(lambda request, connection: b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
                                                  b"3\r\nabc\r\n0\r\nX-End: yes\r\n\r\n")
    with Connection.to(server.port) as connection:
        connection.send(b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\nX-T: 1\r\n\r\n")
        response = connection.response()
    assert (response.body, response.trailers) == (b"abc", [("X-End", "yes")])
    assert (server.requests[0].body, server.requests[0].trailers) == (b"hi", [("X-T", "1")])


def test_raw_http1_over_tls(upstream, pki):
    server = upstream(lambda *_: answer("secret"), tls=pki.server("localhost"))
    assert fetch(server.port, tls=pki.client()).body == b"secret"


def test_h2_client_and_server(h2_upstream):
    big = bytes(300_000)
    server = h2_upstream(lambda connection, number, request: connection.respond(
        number, headers=[("x-len", str(len(request["body"])))], body=big, trailers=[("x-end", "yes")]))
    with H2Client(server.port) as client:
        stream = client.post("/", b"z" * 200_000)
    assert (stream.status, stream.get("x-len"), len(stream.body)) == (200, "200000", len(big))
    assert stream.trailers == [("x-end", "yes")]


def test_raw_frames(h2_upstream):
    server = h2_upstream()
    with RawH2(server.port) as raw:
        raw.send(raw.headers(1))
        assert (":status", "200") in raw.response(1)


@pytest.mark.parametrize("size", [10, 8 << 20])
def test_grpc(echo, size):
    with channel(echo.port) as made:
        assert len(stub(made).Unary(Request(payload=bytes(size)), timeout=20).payload) == size
        assert [reply.number for reply in stub(made).ServerStream(Request(count=3), timeout=5)] == [0, 1, 2]
        with pytest.raises(grpc.RpcError) as error:
            stub(made).Unary(Request(status=9, details="no"), timeout=5)
        assert (error.value.code(), error.value.details()) == (grpc.StatusCode.FAILED_PRECONDITION, "no")


def test_node(node_upstream):
    with H2Client(node_upstream) as client:
        stream = client.post("/n", b"hello")
    assert json.loads(stream.body)["body"] == "hello" and stream.trailers == [("x-trailer", "from-node")]
