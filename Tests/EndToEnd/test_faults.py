"""Fault injection: delays and aborts, by header and percentage, in the words that the client reads."""
import time

import grpc
import pytest

from harness import config
from harness.grpc_echo import Request, channel, stub
from harness.upstream import answer


@pytest.fixture
def faulty(serve):
    def start(*faults):
        return serve(lambda *_: answer("ok"), config.traffic_policy("app", faults=list(faults)))
    return start


@pytest.mark.parametrize("protocol", ["h1", "h2"])
def test_abort(faulty, client, protocol):
    server = faulty({"abort": {"status": 418}})
    got = (client.get if protocol == "h1" else client.http2().get)()
    assert (got.status, got.get("x-martlet-reason")) == (418, "fault_injected")
    assert not server.requests


def test_delay_then_the_real_answer(faulty, client):
    server = faulty({"delay": "300ms"})
    begun = time.monotonic()
    got = client.get(method="POST", body=b"x" * 100_000)
    assert (got.status, got.body) == (200, b"ok")
    assert 0.3 <= time.monotonic() - begun < 3
    assert server.requests[0].body == b"x" * 100_000


def test_only_with_its_headers(faulty, client):
    faulty({"headers": [{"name": "x-fault", "value": "yes"}], "abort": {"status": 500}})
    assert client.get().status == 200
    assert client.get(headers=[("x-fault", "yes")]).status == 500


def test_percentage(faulty, client):
    faulty({"percent": 30, "abort": {"status": 503}})
    failed = [client.get().status for _ in range(400)].count(503)
    assert 84 <= failed <= 156  # four standard deviations


def test_client_that_leaves_ends_the_delay(faulty, client, proxy, eventually):
    server = faulty({"delay": "30s"})
    connection = client.http1()
    connection.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
    eventually(lambda: proxy.metric("martlet_requests_in_flight") >= 1)
    connection.close()
    eventually(lambda: proxy.metric("martlet_requests_in_flight") == 0)
    assert not server.requests


def test_a_delay_counts_for_the_request_timeout(proxy, upstream, client):
    server = upstream(lambda *_: answer("ok"))
    proxy.start([*config.simple(proxy.port, server.port),
                 config.traffic_policy("app", faults=[{"delay": "5s"}], timeouts={"request": "200ms"})])
    got = client.get()
    assert (got.status, got.get("x-martlet-reason")) == (504, "request_timeout")


@pytest.mark.parametrize("abort, code", [
    ({"grpcStatus": 14}, grpc.StatusCode.UNAVAILABLE), ({"status": 403}, grpc.StatusCode.PERMISSION_DENIED)])
def test_grpc(proxy, echo, closing, abort, code):
    proxy.start([*config.simple(proxy.port, echo.port, protocol=config.H2C),
                 config.traffic_policy("app", faults=[{"abort": abort}])])
    calls = stub(closing.enter_context(channel(proxy.port)))
    with pytest.raises(grpc.RpcError) as error:
        calls.Unary(Request(), timeout=5)
    assert error.value.code() == code
    assert not echo.servicer.calls


@pytest.mark.parametrize("protocol", ["h1", "h2"])
@pytest.mark.parametrize("status", [204, 205, 304])
def test_abort_with_a_status_without_content(faulty, client, protocol, status):
    """There is no body, and the connection goes on in step."""
    faulty({"headers": [{"name": "x-fault", "value": "yes"}], "abort": {"status": status}})
    connection = client.http1() if protocol == "h1" else client.http2()
    for _ in range(2):
        got = connection.get(headers=[("x-fault", "yes")])
        assert (got.status, got.body, got.get("x-martlet-reason")) == (status, b"", "fault_injected")
        # To HTTP/1.1 a 205 is framed as others are: without a length its body would end with the connection.
        length = "0" if (protocol, status) == ("h1", 205) else None
        assert (got.get("content-type"), got.get("content-length")) == (None, length)
        got = connection.get()
        assert (got.status, got.body) == (200, b"ok")
