"""The end: SIGTERM and POST /drain fail readiness, keep serving what is there, and end at zero or at the deadline."""
import signal
import subprocess
import threading

import pytest
from hyperframe.frame import GoAwayFrame

from harness import config
from harness.http1 import Closed, Connection
from harness.load import HTTP1, HTTP2, Load, Unannounced
from harness.upstream import answer


class Held:
    """A script that answers /slow only after release()."""

    def __init__(self):
        self.arrived, self._go = threading.Semaphore(0), threading.Event()

    def __call__(self, request, connection):
        if request.target == "/slow":
            self.arrived.release()
            self._go.wait(20)
        return answer(request.target)

    def wait(self):
        assert self.arrived.acquire(timeout=5), "the slow request did not arrive"

    def release(self):
        self._go.set()


@pytest.fixture
def held(serve, proxy):
    """The proxy with one slow exchange in flight; `held.connection` gets its answer."""
    script = Held()
    serve(script, config.settings(drainTimeout="15s"))
    script.connection = Connection.to(proxy.port)
    script.connection.send("GET /slow HTTP/1.1\r\nHost: a\r\n\r\n")
    script.wait()
    yield script
    script.release()
    script.connection.close()


def start_draining(proxy, how):
    if how == "SIGTERM":
        proxy.signal(signal.SIGTERM)
    else:
        assert proxy.admin("/drain", "POST")[0] in (200, 202, 204)
    proxy.wait(lambda: proxy.admin("/ready")[0] == 503, "not ready any more")


def ended(proxy, code=0, seconds=10):
    assert proxy.process.wait(seconds) == code, proxy.log()[-3000:]


@pytest.mark.parametrize("how", ["SIGTERM", "POST /drain"])
def test_readiness_fails_and_what_is_there_is_served(held, proxy, how):
    with Connection.to(proxy.port) as kept:
        assert kept.get("/before").status == 200
        kept.send("GET /slow HTTP/1.1\r\nHost: a\r\n\r\n")  # busy: an idle connection may be closed at once
        held.wait()
        start_draining(proxy, how)
        assert proxy.admin("/live")[0] == 200
        assert proxy.metric("martlet_draining") == 1 and proxy.metric("martlet_ready") == 0
        held.release()
        for connection in (kept, held.connection):
            response = connection.response()
            assert response.body == b"/slow" and "close" in (response.get("connection") or "").lower()
            assert connection.is_closed()
    if how == "SIGTERM":
        ended(proxy)


def test_idle_connections_end_and_so_does_the_process(serve, proxy):
    serve()
    with Connection.to(proxy.port) as idle:
        assert idle.get().status == 200
        proxy.signal(signal.SIGTERM)
        assert idle.is_closed(10)
    ended(proxy)


def test_client_that_has_just_connected_is_answered(serve, proxy):
    """It may have come because another loop sent it away, and its request may be on the wire."""
    serve(lambda *_: answer("served"), config.settings(drainTimeout="15s"))
    with Connection.to(proxy.port) as fresh, Connection.to(proxy.port) as silent:
        start_draining(proxy, "SIGTERM")
        response = fresh.get("/")
        assert (response.status, response.body) == (200, b"served")
        assert response.get("connection") == "close"
        ended(proxy)  # the silent one is not waited for
        assert silent.is_closed()


def test_http2_gets_goaway_and_its_streams_finish(serve, proxy, client):
    script = Held()
    serve(script, config.settings(drainTimeout="15s"))
    http2 = client.http2()
    number = http2.open("/slow")
    script.wait()
    proxy.signal(signal.SIGTERM)
    assert http2.wait(lambda: http2.goaway is not None)
    assert http2.goaway.error_code == 0
    script.release()
    assert http2.finished(number).body == b"/slow"
    http2.wait(lambda: http2.closed)
    ended(proxy)


def test_goaway_leaves_time_for_streams_on_their_way(serve, proxy, client):
    """RFC 9113 §6.8: first a GOAWAY that refuses nothing, later the one that names the last stream."""
    script = Held()
    serve(script, config.settings(drainTimeout="15s"))
    raw = client.frames()
    raw.send(raw.headers(1, path="/slow"))
    script.wait()
    proxy.signal(signal.SIGTERM)
    first = raw.read(5, until=lambda frame: isinstance(frame, GoAwayFrame))[-1]
    assert isinstance(first, GoAwayFrame) and first.error_code == 0 and first.last_stream_id >= 1
    raw.send(raw.headers(3, path="/late"))  # crosses the GOAWAY
    script.release()
    raw.ended(10)
    if first.last_stream_id > 3:
        assert any(getattr(frame, "stream_id", 0) == 3 for frame in raw.frames), "a promised stream got no answer"
    ended(proxy)


@pytest.mark.parametrize("worker", [HTTP1, HTTP2])
def test_drain_under_load_fails_no_request(serve, proxy, worker):
    """Refused connections are the sign to go elsewhere; a request that was taken is answered in full."""
    serve(lambda *_: answer("x" * 2000))
    tolerate = (ConnectionRefusedError, ConnectionResetError, Unannounced)
    with Load(lambda: worker(proxy.port), threads=4, tolerate=tolerate) as load:
        proxy.wait(lambda: load.done > 200, "warm")
        proxy.signal(signal.SIGTERM)
        code = proxy.process.wait(10)
    assert code == 0
    assert load.failures == []
    # A client that finds its kept connection closed just as it asks may ask again (RFC 9112 §9.6); once each.
    assert sum(isinstance(error, Unannounced) for error in load.tolerated) <= 4


def test_drain_under_h2load(serve, proxy):
    serve(lambda *_: answer("x" * 500))
    running = subprocess.Popen(["h2load", "-D", "3", "-c4", "-m10", f"http://127.0.0.1:{proxy.port}/"],
                               stdout=subprocess.PIPE, text=True)
    proxy.wait(lambda: proxy.metric("martlet_requests_total") > 200, "warm")
    proxy.signal(signal.SIGTERM)
    ended(proxy, seconds=15)
    output, _ = running.communicate(timeout=20)
    assert " 0 4xx, 0 5xx" in output and " 0 timeout" in output, output


def test_deadline_cuts_off_and_says_so(serve, proxy):
    script = Held()
    serve(script, config.settings(drainTimeout="1s"))
    with Connection.to(proxy.port) as stuck:
        stuck.send("GET /slow HTTP/1.1\r\nHost: a\r\n\r\n")
        script.wait()
        proxy.signal(signal.SIGTERM)
        with pytest.raises(Closed):
            stuck.response()
    ended(proxy, code=1, seconds=5)
    assert "draining for at most 1 s" in proxy.log() and "cut off after 1 s" in proxy.log()
    script.release()
    proxy.process = None  # it ended with 1 as it should; the fixture expects 0


def test_second_signal_ends_at_once(held, proxy):
    start_draining(proxy, "SIGTERM")
    proxy.signal(signal.SIGTERM)
    assert proxy.process.wait(5) != 0
    proxy.process = None


def test_websocket_is_told_by_the_deadline(serve, proxy):
    """A tunnel has no end of its own: it lasts until the deadline, which is not an error of the proxy's own making."""
    def handle(connection):
        connection.head()
        connection.send(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n")
        while connection.fill():
            connection.send(connection.buffer)
            connection.buffer = b""
    serve(None, config.settings(drainTimeout="2s"), serve=handle)
    with Connection.to(proxy.port) as tunnel:
        tunnel.send("GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n")
        assert tunnel.response().status == 101
        proxy.signal(signal.SIGTERM)
        proxy.wait(lambda: proxy.admin("/ready")[0] == 503, "draining")
        tunnel.send("still here")
        assert tunnel.exactly(10) == b"still here"
        assert tunnel.is_closed(6)
    assert proxy.process.wait(6) in (0, 1)
    proxy.process = None


def test_drain_by_admin_does_not_end_the_process(serve, proxy):
    serve()
    assert proxy.admin("/drain", "POST")[0] in (200, 202, 204)
    proxy.wait(lambda: proxy.admin("/ready")[0] == 503, "draining")
    assert proxy.process.poll() is None and proxy.admin("/live")[0] == 200


def test_head_that_does_not_come_while_draining_is_refused(serve, proxy, client):
    serve()
    slow = client.http1()
    slow.send("GET / HTTP/1.1\r\nHost: a\r\n")
    assert proxy.admin("/drain", "POST")[0] in (200, 202, 204)
    response = slow.response()
    assert (response.status, response.get("x-martlet-reason")) == (503, "draining")
    assert slow.is_closed()


def test_connections_that_draining_ends_are_counted(serve, proxy, client, eventually):
    serve()
    idle, silent, http2 = client.http1(), client.http1(), client.http2()
    assert idle.get().status == 200 and http2.get().status == 200
    assert proxy.admin("/drain", "POST")[0] in (200, 202, 204)
    assert idle.is_closed(5) and silent.is_closed(5) and http2.wait(lambda: http2.closed)
    eventually(lambda: proxy.metric("martlet_local_answers_total", reason="draining") == 3)
    assert proxy.metric("martlet_local_answers_total", reason="connection_idle") == 0
