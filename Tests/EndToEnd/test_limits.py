"""Limits of a listener: each is answered with its own reason, counted, and leaves other clients alone."""
import time

import pytest

from harness import config
from harness.http1 import Closed, Connection
from harness.http2 import SettingsFrame
from harness.upstream import answer


@pytest.fixture
def limited(serve, proxy):
    """The proxy with limits: limited(script, maxHeaders=3…)."""
    def start(script=None, serve_connection=None, **values):
        return serve(script, config.limits(**values), **({"serve": serve_connection} if serve_connection else {}))
    return start


@pytest.fixture
def refused(proxy, eventually):
    """Checks an answer for its reason, and that it is counted and logged under that reason."""
    def check(response, status, reason):
        assert (response.status, response.get("x-martlet-reason")) == (status, reason)
        counted(proxy, reason, eventually)
        eventually(lambda: any((line["reason"], line["status"]) == (reason, status) for line in proxy.access_log()),
                   f"{reason} in the log")
    return check


def counted(proxy, reason, eventually, times=1):
    eventually(lambda: proxy.metric("martlet_local_answers_total", reason=reason) >= times, f"{reason} in the metrics")


def fields(count):
    return [(f"x-{number}", "v") for number in range(count)]


@pytest.mark.parametrize("protocol", ["h1", "h2"])
class TestHeads:
    """What a request head may not exceed, over both protocols."""

    def ask(self, client, protocol, path="/", headers=()):
        return client.get(path, headers=headers) if protocol == "h1" else client.http2().get(path, headers=headers)

    def test_header_count(self, limited, client, refused, protocol):
        server = limited(maxHeaders=10)
        assert self.ask(client, protocol, headers=fields(5)).status == 200
        refused(self.ask(client, protocol, headers=fields(11)), 431, "too_many_headers")
        assert len(server.requests) == 1

    def test_header_bytes(self, limited, client, refused, protocol):
        server = limited(maxHeaderBytes=2000)
        assert self.ask(client, protocol, headers=[("x-large", "v" * 1000)]).status == 200
        refused(self.ask(client, protocol, headers=[("x-large", "v" * 3000)]), 431, "headers_too_large")
        assert len(server.requests) == 1

    def test_target_bytes(self, limited, client, refused, protocol):
        server = limited(maxTargetBytes=100)
        assert self.ask(client, protocol, "/" + "a" * 90).status == 200
        refused(self.ask(client, protocol, "/" + "a" * 110), 414, "uri_too_long")
        assert len(server.requests) == 1

    def test_default_limits_let_honest_requests_pass(self, limited, client, protocol):
        limited()
        assert self.ask(client, protocol, "/" + "p" * 8000, [("cookie", "c" * 8000), *fields(80)]).status == 200


def test_body_by_its_announced_length(limited, client, refused):
    server = limited(maxBodyBytes=1000)
    assert client.get(method="POST", body=b"x" * 1000).status == 200
    refused(client.get(method="POST", body=b"x" * 1001), 413, "body_too_large")
    assert len(server.requests) == 1


def test_body_by_its_chunks(limited, client, refused):
    limited(maxBodyBytes=1000)
    connection = client.http1()
    connection.send("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n" + "200\r\n" + "x" * 512 + "\r\n")
    connection.send("200\r\n" + "x" * 512 + "\r\n")
    refused(connection.response(), 413, "body_too_large")
    assert connection.is_closed()


def test_body_over_http2(limited, client, refused):
    limited(maxBodyBytes=1000)
    http2 = client.http2()
    number = http2.open("/", "POST", end=False)
    http2.send(number, b"x" * 1500)
    stream = http2.streams[number]
    http2.wait(lambda: stream.headers and (stream.ended or stream.reset is not None))
    refused(stream, 413, "body_too_large")
    assert http2.get("/after").status == 200  # the stream is refused, not the connection


def test_slow_head(limited, client, refused):
    limited(headerTimeout="400ms")
    connection = client.http1()
    connection.send("GET / HTTP/1.1\r\nHo")
    refused(connection.response(), 408, "header_timeout")
    assert connection.is_closed()


def test_slow_head_that_trickles(limited, client):
    """A byte now and then does not buy more time (Slowloris)."""
    limited(headerTimeout="600ms")
    connection, started = client.http1(), time.monotonic()
    connection.send("GET / HTTP/1.1\r\nHost: a\r\nX: ")
    try:
        while time.monotonic() - started < 5 and connection.is_silent(0.1):
            connection.send("x")
    except OSError:
        pass
    assert time.monotonic() - started < 3


def test_second_head_has_a_timer_of_its_own(limited, client, refused):
    limited(headerTimeout="400ms")
    connection = client.http1()
    assert connection.get().status == 200
    connection.send("GET / HT")
    refused(connection.response(), 408, "header_timeout")


def test_slow_body(limited, client, refused):
    limited(bodyMinimumRate=1000, bodyGrace="500ms")
    connection = client.http1()
    connection.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n")
    started = time.monotonic()
    while time.monotonic() - started < 6 and connection.is_silent(0.2):
        connection.send("x")
    refused(connection.response(), 408, "body_too_slow")
    assert connection.is_closed()


def test_slow_body_over_http2(limited, client, refused):
    limited(bodyMinimumRate=1000, bodyGrace="500ms")
    http2 = client.http2()
    number = http2.open("/", "POST", end=False)
    http2.send(number, b"x")
    stream = http2.streams[number]
    http2.wait(lambda: stream.headers)
    refused(stream, 408, "body_too_slow")
    assert http2.get("/after").status == 200


def test_rate_does_not_count_while_the_upstream_holds_up_the_sender(limited, client):
    """The sender is not slow if it may not send."""
    def handle(connection):
        head = connection.head()
        time.sleep(2.5)
        left = int(head.get("content-length")) - len(connection.buffer)
        while left:
            left -= len(connection.socket.recv(min(left, 1 << 20)))
        connection.send(answer("slow, but here"))
    limited(serve_connection=handle, bodyMinimumRate=20_000_000, bodyGrace="1s")
    assert client.get(method="POST", body=b"x" * 30_000_000).body == b"slow, but here"


def test_idle_connection_ends_without_a_word(limited, proxy, client, eventually):
    limited(idleTimeout="500ms")
    connection = client.http1()
    assert connection.get().status == 200
    connection.received = b""
    assert connection.is_closed(5) and connection.received == b""
    counted(proxy, "connection_idle", eventually)


def test_idle_http2_connection_gets_goaway(limited, proxy, client, eventually):
    limited(idleTimeout="500ms")
    http2 = client.http2()
    assert http2.get().status == 200
    http2.wait(lambda: http2.closed)
    assert http2.goaway is not None and http2.goaway.error_code == 0
    counted(proxy, "connection_idle", eventually)


def test_busy_connection_is_not_idle(limited, client):
    limited(lambda *_: (time.sleep(1), answer("late"))[1], idleTimeout="300ms")
    assert client.get().body == b"late"


def test_exchange_without_a_byte_ends(limited, client, refused):
    limited(lambda *_: (time.sleep(5), answer("too late"))[1], streamIdleTimeout="500ms")
    response = client.get()
    refused(response, response.status, "idle_timeout")
    assert response.status in (408, 504)


def test_exchange_without_a_byte_ends_in_the_middle_of_a_response(limited, client):
    def script(request, connection):
        connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf")
        time.sleep(5)
    limited(script, streamIdleTimeout="500ms")
    with pytest.raises(Closed):
        client.get()


def test_connections_beyond_the_limit_are_closed_at_once(limited, proxy, client, eventually):
    limited(maxConnections=3)
    held = [client.http1() for _ in range(3)]
    assert all(connection.get().status == 200 for connection in held)
    further = client.http1()
    assert further.is_closed()
    counted(proxy, "connection_limit", eventually)
    assert all(connection.get().status == 200 for connection in held)
    held[0].close()

    def served():
        with Connection.to(proxy.port) as again:
            try:
                return again.get().status == 200
            except (Closed, OSError):
                return False
    eventually(served, "a place for another")


def test_requests_of_one_connection(limited, client):
    limited(maxRequestsPerConnection=3)
    connection = client.http1()
    answers = [connection.get() for _ in range(3)]
    assert [response.status for response in answers] == [200] * 3
    assert ["close" in (response.get("connection") or "") for response in answers] == [False, False, True]
    assert connection.is_closed()
    http2 = client.http2()
    assert [http2.get().status for _ in range(3)] == [200] * 3
    assert http2.wait(lambda: http2.goaway is not None) and http2.goaway.error_code == 0


def test_streams_at_a_time_as_announced(limited, client):
    limited(http2={"maxConcurrentStreams": 5})
    raw = client.frames()
    frames = raw.read(until=lambda one: isinstance(one, SettingsFrame))
    assert frames[-1].settings[SettingsFrame.MAX_CONCURRENT_STREAMS] == 5


def test_windows_as_configured(limited, client):
    limited(http2={"streamWindow": 131072, "connectionWindow": 2097152})
    http2 = client.http2()
    assert http2.get().status == 200
    assert http2.state.remote_settings.initial_window_size == 131072
    assert http2.state.outbound_flow_control_window >= 2000000
