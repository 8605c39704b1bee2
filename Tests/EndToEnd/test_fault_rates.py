"""The share of requests that succeed under each fault, over HTTP/1.1, HTTP/2 and gRPC: stated, and held."""
import itertools
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import grpc
import pytest

from harness import config
from harness.grpc_echo import EchoServer, Reply, Request, channel, stub
from harness.http1 import Closed, fetch
from harness.http2 import H2Client, H2Server
from harness.upstream import Upstream, answer

QUICK = {"base": "0s", "max": "0s"}
MESSAGE = Reply(payload=b"x" * 50).SerializeToString()
FRAME = b"\0" + len(MESSAGE).to_bytes(4, "big") + MESSAGE
GRPC_HEAD = [(":status", "200"), ("content-type", "application/grpc")]


class Site:
    """Endpoints with faults, of one protocol, and a client that speaks it too."""

    def __init__(self, kind, proxy, closing):
        self.kind, self.proxy, self.closing = kind, proxy, closing
        self._stub = None

    def start(self, *ports, **policy):
        self.proxy.start([
            *config.simple(self.proxy.port, *ports, protocol=None if self.kind == "h1" else config.H2C),
            config.traffic_policy("app", **policy)])
        if self.kind == "grpc":
            options = {"grpc.enable_retries": 0}
            self._stub = stub(self.closing.enter_context(channel(self.proxy.port, **options)))

    def ask(self, *_):
        """True for the whole answer, False for an error that is seen as one."""
        if self.kind == "h1":
            try:
                return fetch(self.proxy.port).status == 200
            except Closed:
                return False
        if self.kind == "h2":
            with H2Client(self.proxy.port) as client:
                got = client.get()
                return got.ended and got.status == 200
        try:
            self._stub.Unary(Request(), timeout=8)
            return True
        except grpc.RpcError as error:
            assert error.code() != grpc.StatusCode.DEADLINE_EXCEEDED, "a call that hangs"
            return False

    def rate(self, count):
        return sum(self.ask() for _ in range(count)) / count

    def kept(self, server):
        self.closing.callback(server.close)
        return server

    def asked(self, server):
        """How many requests came to one of the endpoints below."""
        return len(server.servicer.calls if self.kind == "grpc" else server.requests)

    def good(self, port=None):
        if self.kind == "h1":
            return self.kept(Upstream(lambda *_: answer("fine"), port=port))
        return self.kept(H2Server(port=port) if self.kind == "h2" else EchoServer(port))

    def hanging(self):
        """Takes requests and says nothing at all."""
        if self.kind == "h1":
            return self.kept(Upstream(lambda request, connection: connection.is_closed(30) and False))
        if self.kind == "h2":
            return self.kept(H2Server(lambda *_: None))
        server = self.kept(EchoServer())

        def hang(context, method):
            server.servicer.calls.append(method)
            while context.is_active():
                time.sleep(0.02)
        server.servicer._begin = hang
        return server

    def cutting(self, fails, where):
        """Breaks off where fails() says so: after the "head", or in the "middle" of the answer."""
        def http1(request, connection):
            if not fails():
                return answer("x" * 50)
            connection.send("HTTP/1.1 200 OK\r\ncontent-length: 50\r\n\r\n" + ("half" if where == "middle" else ""))
            return False

        def http2(connection, number, request):
            head, body = ([(":status", "200")], b"x" * 50) if self.kind == "h2" else (GRPC_HEAD, FRAME)
            if not fails():
                return connection.respond(number, headers=head[1:], body=body,
                                          trailers=[("grpc-status", "0")] if self.kind == "grpc" else None)
            connection.state.send_headers(number, head)
            if where == "middle":
                connection.state.send_data(number, body[:20])
            connection.flush()
            return connection.reset(number, 2)
        return self.kept(Upstream(http1) if self.kind == "h1" else H2Server(http2))


@pytest.fixture(params=["h1", "h2", "grpc"])
def site(request, proxy, closing):
    return Site(request.param, proxy, closing)


@pytest.fixture
def refusing_ports(closing):
    """Makes ports that refuse connections: bound, not listening."""
    def make(count):
        held = [closing.enter_context(socket.socket()) for _ in range(count)]
        for one in held:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in held]
    return make


def of_ten(failures):
    """True for the first so many of each ten."""
    count = itertools.count()
    return lambda: next(count) % 10 < failures


def test_one_of_two_hangs(site):
    """100 %: the try that hangs is given up, the other endpoint answers."""
    hanging = site.hanging()
    site.start(hanging.port, site.good().port, retry={
        "attempts": 1, "on": ["timeout"], "perTryTimeout": "100ms", "nonIdempotent": True, "backoff": QUICK})
    assert site.rate(20) == 1
    assert site.asked(hanging), "it had its share"


def test_three_of_four_refuse(site, refusing_ports, proxy, eventually):
    """100 %, by retries that are counted as what they are."""
    site.start(*refusing_ports(3), site.good().port, retry={
        "attempts": 3, "on": ["connect-failure"], "backoff": QUICK}, loadBalancer={"type": "ROUND_ROBIN"})
    assert site.rate(20) == 1
    eventually(lambda: proxy.metric("martlet_upstream_retries_total", cause="connect_failure") > 0)
    assert proxy.metric("martlet_upstream_retries_total") == proxy.metric(
        "martlet_upstream_retries_total", cause="connect_failure")


def test_all_refuse(site, refusing_ports, proxy, eventually):
    """0 %, and each request is an error at once after the attempts that it may have."""
    site.start(*refusing_ports(1), retry={"attempts": 2, "on": ["connect-failure"], "backoff": QUICK})
    assert site.rate(5) == 0
    eventually(lambda: proxy.metric("martlet_upstream_retries_total", cause="connect_failure") == 10)


def test_killed_and_restarted(site):
    """100 %: the only endpoint is killed under load and comes back 300 ms later."""
    first = site.good()
    site.start(first.port, retry={
        "attempts": 20, "on": ["connect-failure", "reset", "unavailable", "cancelled"], "nonIdempotent": True,
        "backoff": {"base": "100ms", "max": "100ms"}})
    ended = threading.Event()

    def keep_asking():
        answers = []
        while not ended.is_set():
            answers.append(site.ask())
        return answers
    with ThreadPoolExecutor(3) as pool:
        asking = [pool.submit(keep_asking) for _ in range(3)]
        time.sleep(0.2)
        first.close()
        time.sleep(0.3)
        second = site.good(first.port)
        time.sleep(0.3)
        ended.set()
        answers = [one for future in asking for one in future.result(15)]
    assert answers.count(False) == 0 and len(answers) > 20
    assert site.asked(second)


def test_resets_in_the_middle(site, proxy):
    """70 %: three of ten answers break off, which is too late for another attempt; none of them looks whole."""
    fails = of_ten(3)
    server = site.cutting(fails, "middle")
    site.start(server.port, retry={
        "attempts": 3, "on": ["reset", "timeout", "unavailable", "5xx"], "nonIdempotent": True, "backoff": QUICK})
    assert site.rate(50) == 0.7
    assert len(server.requests) == 50
    assert proxy.metric("martlet_upstream_retries_total") == 0


def test_resets_after_the_head(site):
    """gRPC: 100 %, as the head of an answer is held until its first message. Else 70 %: the head has gone out."""
    server = site.cutting(of_ten(3), "head")
    site.start(server.port, retry={
        "attempts": 3, "on": ["reset", "unavailable"], "nonIdempotent": True, "backoff": QUICK})
    assert site.rate(50) == (1 if site.kind == "grpc" else 0.7)


def test_resets_before_the_head_are_saved(site):
    """100 %, with nothing but `reset` listed."""
    fails = of_ten(3)

    def http2(connection, number, request):
        if fails():
            return connection.reset(number, 2)
        head = GRPC_HEAD[1:] if site.kind == "grpc" else ()
        return connection.respond(number, headers=head, body=FRAME if site.kind == "grpc" else b"ok",
                                  trailers=[("grpc-status", "0")] if site.kind == "grpc" else None)
    server = site.kept(Upstream(lambda *_: not fails() and answer("ok")) if site.kind == "h1" else H2Server(http2))
    site.start(server.port, retry={"attempts": 3, "on": ["reset"], "nonIdempotent": True, "backoff": QUICK})
    assert site.rate(50) == 1
