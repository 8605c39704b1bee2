"""HTTP/2 floods: the connection ends with ENHANCE_YOUR_CALM and a reason, and costs others nothing."""
import pytest
from h2.errors import ErrorCodes
from hyperframe.frame import (ContinuationFrame, DataFrame, HeadersFrame, PingFrame, PriorityFrame, RstStreamFrame,
                              SettingsFrame, WindowUpdateFrame)

from harness import config
from harness.upstream import answer

LIMITS = {"resets": {"burst": 20, "perSecond": 5}, "glitches": {"burst": 30, "perSecond": 5},
          "controlFrames": {"burst": 30, "perSecond": 5}, "maxContinuations": 4, "maxQueuedFrames": 64,
          "maxConcurrentStreams": 50}
CALM = ErrorCodes.ENHANCE_YOUR_CALM


@pytest.fixture
def guarded(serve_h2, serve, proxy):
    """The proxy with small limits; guarded("h1") for an HTTP/1.1 upstream."""
    def start(upstream="h2", script=None, **more):
        make = serve if upstream == "h1" else serve_h2
        return make(script, config.limits(http2={**LIMITS, **more}))
    return start


@pytest.fixture
def ends(proxy, eventually, client):
    """Checks that a connection ended with a code, that the reason is counted, and that the proxy serves others."""
    def check(raw, reason, codes=(CALM,)):
        code, closed = raw.ended()
        assert closed, "the connection is still open"
        assert code is None or code in codes, f"GOAWAY {code}"
        # A reset may overtake the GOAWAY when bytes of the flood are unread; the metrics cannot be overtaken.
        eventually(lambda: proxy.metric("martlet_local_answers_total", reason=reason) == 1, f"{reason} in the metrics")
        assert client.http2().get("/after").status == 200
    return check


def request(raw, number, end=True):
    return raw.headers(number, flags=("END_HEADERS", "END_STREAM") if end else ("END_HEADERS",))


def test_rapid_reset(guarded, client, ends):
    """CVE-2023-44487."""
    server = guarded()
    raw = client.frames()
    for index in range(100):
        number = 1 + 2 * index
        if not raw.send(request(raw, number), RstStreamFrame(number, error_code=ErrorCodes.CANCEL)):
            break
    ends(raw, "http2_reset_flood")
    assert len(server.requests) <= 21, "resets beyond the limit reached the upstream"


def test_rapid_reset_in_one_write(guarded, client, ends):
    guarded("h1")
    raw = client.frames()
    raw.send(*(frame for index in range(100) for frame in (
        request(raw, 1 + 2 * index), RstStreamFrame(1 + 2 * index, error_code=ErrorCodes.CANCEL))))
    ends(raw, "http2_reset_flood")


PROVOCATIONS = {
    "WINDOW_UPDATE of 0": lambda number: WindowUpdateFrame(number, window_increment=0),
    "WINDOW_UPDATE beyond 2^31": lambda number: WindowUpdateFrame(number, window_increment=2**31 - 1),
    "DATA after END_STREAM": lambda number: DataFrame(number, data=b"x"),
    "HEADERS after END_STREAM": None,
    "PRIORITY on itself": lambda number: PriorityFrame(number, depends_on=number),
}


@pytest.mark.parametrize("name", PROVOCATIONS)
def test_resets_that_the_client_provokes(guarded, client, proxy, name):
    """CVE-2025-8671 (MadeYouReset): what makes us reset a stream counts as if the client had done it."""
    def script(connection, number, request):  # answers nobody but the last
        if dict(request["headers"])[":path"] == "/after":
            connection.respond(number)
    server = guarded(script=script)
    raw = client.frames()
    for index in range(200):
        number = 1 + 2 * index
        provocation = PROVOCATIONS[name](number) if PROVOCATIONS[name] else request(raw, number)
        data = provocation.serialize() if not isinstance(provocation, WindowUpdateFrame) or \
            provocation.window_increment else b"\x00\x00\x04\x08\x00" + number.to_bytes(4, "big") + bytes(4)
        if not raw.send(request(raw, number), data):
            break
    assert raw.ended()[1], "the connection is still open"
    assert len(server.requests) <= 60, "more requests than the limits let through"
    reasons = {dict(labels)["reason"] for (name, labels), value in proxy.metrics().items()
               if name == "martlet_local_answers_total" and value}
    assert reasons & {"http2_reset_flood", "http2_protocol_error", "http2_glitch_flood"}, reasons


@pytest.mark.parametrize("frame", [PingFrame(0, opaque_data=b"12345678"), SettingsFrame(0, settings={})],
                         ids=["PING", "SETTINGS"])
def test_flood_of_frames_that_must_be_answered(guarded, client, ends, frame):
    """CVE-2019-9512, CVE-2019-9515."""
    guarded()
    raw = client.frames()
    for _ in range(20):
        if not raw.send(*[frame] * 10):
            break
    ends(raw, "http2_control_flood")


def test_settings_with_many_values(guarded, client):
    """One SETTINGS frame with 2000 values is one frame; whatever happens, others are served."""
    guarded()
    raw = client.frames()
    payload = b"\x00\x08\x00\x00\x00\x00" * 2000
    raw.send(len(payload).to_bytes(3, "big") + b"\x04\x00" + bytes(4) + payload)
    raw.read(0.5)
    assert client.http2().get().status == 200


@pytest.mark.parametrize("frame", [
    DataFrame(1, data=b""), PriorityFrame(1, depends_on=0, stream_weight=5), WindowUpdateFrame(1, window_increment=1),
    b"\x00\x00\x04\xbb\x00\x00\x00\x00\x01abcd"], ids=["empty DATA", "PRIORITY", "WINDOW_UPDATE", "unknown"])
def test_flood_of_useless_frames(guarded, client, ends, frame):
    """CVE-2019-9518, CVE-2019-9513."""
    guarded()
    raw = client.frames()
    raw.send(request(raw, 1, end=False))
    for _ in range(60):
        if not raw.send(*[frame] * 10):
            break
    ends(raw, "http2_glitch_flood")


def test_glitches_within_the_limit_are_forgiven_and_counted(guarded, client, proxy, eventually):
    guarded()
    raw = client.frames()
    raw.send(request(raw, 1, end=False), *[DataFrame(1, data=b"")] * 10, DataFrame(1, data=b"x", flags=["END_STREAM"]))
    assert (":status", "200") in raw.response(1)
    eventually(lambda: proxy.metric("martlet_http2_glitches_total", side="downstream") == 10)


@pytest.mark.parametrize("payload", [b"", b"\x00\x01a\x01b" * 50], ids=["empty", "full"])
def test_continuation_flood(guarded, client, ends, payload):
    """CVE-2024-27316: a header block that never ends."""
    server = guarded()
    raw = client.frames()
    raw.send(HeadersFrame(1, data=raw.headers(1).data, flags=["END_STREAM"]))
    for _ in range(100):
        if not raw.send(*[ContinuationFrame(1, data=payload)] * 4):
            break
    ends(raw, "http2_glitch_flood")
    assert [one for one in server.requests if dict(one["headers"])[":path"] != "/after"] == []


def test_continuations_within_the_limit_are_served(guarded, client):
    guarded()
    raw = client.frames()
    block = raw.headers(1).data
    raw.send(HeadersFrame(1, data=block[:1], flags=["END_STREAM"]), ContinuationFrame(1, data=block[1:2]),
             ContinuationFrame(1, data=block[2:], flags=["END_HEADERS"]))
    assert (":status", "200") in raw.response(1)


def test_header_bomb(guarded, client, proxy):
    """CVE-2016-6581: one byte on the wire, 4 KB decoded, a thousand times."""
    server = guarded()
    raw = client.frames()
    before = proxy.resident_kib()
    entry = b"\x40\x01a" + b"\x7f\xa1\x1e" + b"v" * 4000  # a literal that enters the table: index 62 from then on
    raw.send(HeadersFrame(1, data=raw.headers(1).data + entry + b"\xbe" * 5000, flags=["END_HEADERS", "END_STREAM"]))
    raw.read(1)
    assert client.http2().get("/after").status == 200
    assert all(dict(one["headers"])[":path"] == "/after" for one in server.requests)
    assert proxy.resident_kib() - before < 8192


def test_answers_that_are_not_read(guarded, client, ends):
    """CVE-2019-9517 and its like: provoke output and do not read it. Control frames are not limited here."""
    guarded(controlFrames={"burst": 100_000, "perSecond": 100_000}, maxQueuedFrames=64)
    raw = client.frames()
    raw.socket.settimeout(1)
    ping = PingFrame(0, opaque_data=b"12345678").serialize() * 2000
    try:
        for _ in range(500):  # 17 MB of acknowledgements that nobody reads
            raw.socket.sendall(ping)
    except OSError:  # stopped (flow control of TCP) or closed: both bound what is queued
        pass
    raw.read(5)
    assert client.http2().get("/after").status == 200


def test_zero_windows_hold_nothing_up(guarded, client, proxy):
    """CVE-2019-9511, CVE-2019-9517: many answers asked for through a window of 0."""
    body = b"z" * 1_000_000
    guarded("h1", lambda *_: answer(body))
    raw = client.frames(settings={SettingsFrame.INITIAL_WINDOW_SIZE: 0})
    before = proxy.resident_kib()
    raw.send(*[request(raw, 1 + 2 * index) for index in range(40)])
    raw.read(1)
    assert proxy.resident_kib() - before < 40 * 1024
    assert client.http2().get("/after").status == 200


def test_streams_beyond_the_limit_are_refused(guarded, client):
    guarded(script=lambda *_: None, maxConcurrentStreams=5)
    raw = client.frames()
    raw.send(*[request(raw, 1 + 2 * index) for index in range(8)])
    raw.read(1, until=lambda frame: isinstance(frame, RstStreamFrame) and frame.stream_id == 15)
    refused = {frame.stream_id for frame in raw.frames
               if isinstance(frame, RstStreamFrame) and frame.error_code == ErrorCodes.REFUSED_STREAM}
    assert refused == {11, 13, 15} and not raw.closed


@pytest.mark.parametrize("after", [b"", b"GET / HTTP/1.1\r\n\r\n"], ids=["silence", "HTTP/1.1"])
def test_preface_without_settings(guarded, client, serve, after):
    """RFC 9113 §3.4: SETTINGS come first; anything else ends the connection."""
    guarded()
    raw = client.frames(preface=False)
    from harness.http2 import PREFACE
    raw.send(PREFACE + (after or PingFrame(0, opaque_data=b"12345678").serialize()))
    assert raw.ended()[1]
