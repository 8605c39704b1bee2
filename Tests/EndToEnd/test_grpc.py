"""gRPC by grpcio on both ends: nothing is changed on the way, and the proxy's own errors are gRPC errors."""
import threading
import time

import grpc
import pytest

from harness import config
from harness.grpc_echo import Request, channel, stub


@pytest.fixture
def calls(proxy, echo, closing):
    """A stub through the proxy."""
    proxy.start(config.simple(proxy.port, echo.port, protocol=config.H2C))
    return stub(closing.enter_context(channel(proxy.port)))


@pytest.fixture
def stub_to(proxy):
    """A stub on what the test configures; closed before the proxy ends."""
    made = []

    def make(documents):
        proxy.start(documents)
        made.append(channel(proxy.port))
        return stub(made[0])
    yield make
    for one in made:
        one.close()


def test_unary_with_metadata(calls, echo):
    reply, call = calls.Unary.with_call(Request(payload=b"hi"), timeout=5, metadata=(
        ("x-custom", "value"), ("x-bytes-bin", b"\x00\xfe")))
    assert reply.payload == b"hi"
    assert echo.servicer.metadata["x-custom"] == "value" and echo.servicer.metadata["x-bytes-bin"] == b"\x00\xfe"
    assert dict(call.initial_metadata())["x-binary-bin"] == b"\x00\x01\xff"
    assert dict(call.trailing_metadata())["x-trailing"] == "two"


def test_client_stream(calls):
    reply = calls.ClientStream((Request(payload=b"%d," % number) for number in range(100)), timeout=5)
    assert reply.number == 100 and reply.payload.startswith(b"0,1,2,")


def test_server_stream(calls):
    assert [reply.number for reply in calls.ServerStream(Request(count=500), timeout=10)] == list(range(500))


def test_bidirectional_stream_in_lockstep(calls):
    """Each request is sent only after the reply to the one before: nothing may be held back."""
    answered = threading.Semaphore(1)

    def requests():
        for number in range(50):
            answered.acquire()
            yield Request(payload=b"%d" % number)
    for number, reply in enumerate(calls.Bidirectional(requests(), timeout=10)):
        assert reply.payload == b"%d" % number
        answered.release()


@pytest.mark.parametrize("size", [0, 1, 70_000, 8 << 20])
def test_message_sizes(calls, size):
    payload = bytes(size)
    assert calls.Unary(Request(payload=payload), timeout=30).payload == payload


@pytest.mark.parametrize("code", [1, 3, 5, 7, 8, 13, 14, 16])
def test_status_of_the_service_passes_with_its_message(calls, code):
    with pytest.raises(grpc.RpcError) as error:
        calls.Unary(Request(status=code, details="größe 100%"), timeout=5)
    assert error.value.code().value[0] == code and error.value.details() == "größe 100%"
    assert dict(error.value.trailing_metadata())["x-trailing"] == "two"


def test_deadline_reaches_the_service_and_fires(calls, echo):
    started = time.monotonic()
    with pytest.raises(grpc.RpcError) as error:
        calls.Unary(Request(delay=10), timeout=0.5)
    assert error.value.code() == grpc.StatusCode.DEADLINE_EXCEEDED
    assert time.monotonic() - started < 3
    assert echo.servicer.remaining is not None and echo.servicer.remaining <= 0.6
    assert echo.servicer.cancelled.wait(5)


def test_cancellation_reaches_the_service(calls, echo, eventually):
    call = calls.Unary.future(Request(delay=10), timeout=20)
    eventually(lambda: echo.servicer.calls)
    call.cancel()
    assert echo.servicer.cancelled.wait(5)


def test_long_stream_is_not_cut(calls):
    """No hidden total timeout; 3 s stands for the 15 s of others only in that nothing arms a timer at all."""
    replies = calls.ServerStream(Request(count=6, delay=0.5), timeout=20)
    assert len(list(replies)) == 6


def test_concurrent_calls(calls):
    futures = [calls.Unary.future(Request(payload=b"%d" % number), timeout=10) for number in range(200)]
    assert [future.result().payload for future in futures] == [b"%d" % number for number in range(200)]


def test_refused_connection_is_unavailable(stub_to, proxy, refusing_port):
    calls = stub_to(config.simple(proxy.port, refusing_port, protocol=config.H2C))
    with pytest.raises(grpc.RpcError) as error:
        calls.Unary(Request(), timeout=5)
    assert error.value.code() == grpc.StatusCode.UNAVAILABLE
    assert "endpoint" in error.value.details().lower()


def test_reference_that_is_not_valid_is_unavailable(stub_to, proxy):
    calls = stub_to([config.gateway(config.http(proxy.port)), config.route(config.rule("absent"), kind="GRPCRoute")])
    with pytest.raises(grpc.RpcError) as error:
        calls.Unary(Request(), timeout=5)
    assert error.value.code() == grpc.StatusCode.UNAVAILABLE


def test_no_route_is_unimplemented(stub_to, proxy, echo):
    calls = stub_to([
        config.gateway(config.http(proxy.port)), config.backend("app", echo.port, protocol=config.H2C),
        config.route(config.rule("app", matches=[{"method": {"service": "other.Service"}}]), kind="GRPCRoute")])
    with pytest.raises(grpc.RpcError) as error:
        calls.Unary(Request(), timeout=5)
    assert error.value.code() == grpc.StatusCode.UNIMPLEMENTED


def test_backend_timeout_is_deadline_exceeded(stub_to, proxy, echo):
    calls = stub_to([
        config.gateway(config.http(proxy.port)), config.backend("app", echo.port, protocol=config.H2C),
        config.route(config.rule("app", timeouts={"backendRequest": "300ms"}))])
    with pytest.raises(grpc.RpcError) as error:
        calls.Unary(Request(delay=10), timeout=5)
    assert error.value.code() == grpc.StatusCode.DEADLINE_EXCEEDED


def test_grpc_route_by_method_and_header(stub_to, proxy, echo, closing):
    from harness.grpc_echo import EchoServer
    other = EchoServer()
    closing.callback(other.close)
    calls = stub_to([
        config.gateway(config.http(proxy.port)), config.backend("one", echo.port, protocol=config.H2C),
        config.backend("two", other.port, protocol=config.H2C),
        config.route(
            config.rule("two", matches=[
                {"method": {"service": "martlet.test.Echo", "method": "ClientStream"}},
                {"method": {"service": "martlet.test.Echo"}, "headers": [{"name": "x-to", "value": "two"}]}]),
            config.rule("one", matches=[{"method": {"service": "martlet.test.Echo"}}]), kind="GRPCRoute")])
    calls.Unary(Request(), timeout=5)
    calls.ClientStream(iter([Request()]), timeout=5)
    calls.Unary(Request(), timeout=5, metadata=(("x-to", "two"),))
    assert echo.servicer.calls == ["Unary"] and other.servicer.calls == ["ClientStream", "Unary"]


def test_grpc_over_tls(proxy, echo, pki):
    proxy.start([config.gateway(config.https(proxy.port, "cert")), config.secret("cert", pki, "localhost"),
                 config.backend("app", echo.port, protocol=config.H2C), config.route(config.rule("app"))])
    credentials = grpc.ssl_channel_credentials((pki.directory / "ca.pem").read_bytes())
    with channel(proxy.port, credentials) as made:
        assert stub(made).Unary(Request(payload=b"s"), timeout=5).payload == b"s"
