"""HTTP/2: a client and a server on the `h2` library, and raw frames for what a library refuses to send."""
import dataclasses
import socket
import threading
import time

import h2.config
import h2.connection
import h2.errors
import h2.events
import h2.exceptions
import hpack
from hyperframe.frame import (DataFrame, Frame, GoAwayFrame, HeadersFrame, PingFrame, RstStreamFrame, SettingsFrame,
                              WindowUpdateFrame)

from .ports import free_port

# h2 takes a GOAWAY for the end of the connection; streams that are open go on after it (RFC 9113 §6.8).
_states, _inputs = h2.connection.ConnectionState, h2.connection.ConnectionInputs
h2.connection.H2ConnectionStateMachine._transitions[_states.CLIENT_OPEN, _inputs.RECV_GOAWAY] = (
    None, _states.CLIENT_OPEN)

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"


@dataclasses.dataclass
class Stream:
    """What came on one stream."""
    headers: list = dataclasses.field(default_factory=list)
    interim: list = dataclasses.field(default_factory=list)
    body: bytes = b""
    trailers: list = dataclasses.field(default_factory=list)
    ended: bool = False
    reset: int | None = None

    def get(self, name, default=None):
        return next((value for key, value in self.headers if key == name), default)

    @property
    def status(self):
        return int(self.get(":status", 0))


class H2Client:
    """One connection, driven by whoever calls: nothing is read in the background."""

    def __init__(self, port, tls=None, name="localhost", timeout=8, strict=True):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.name, self.scheme = name, "https" if tls else "http"
        if tls:
            self.socket = tls.wrap_socket(self.socket, server_hostname=name)
            assert self.socket.selected_alpn_protocol() == "h2"
        self.timeout = timeout
        self.state = h2.connection.H2Connection(h2.config.H2Configuration(
            client_side=True, header_encoding="utf-8", validate_outbound_headers=strict,
            normalize_outbound_headers=strict))
        self.streams = {}
        self.goaway = None
        self.closed = False
        self.pings = 0
        self.flow_control = True  # acknowledge DATA as it arrives
        self.state.initiate_connection()
        self.flush()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.socket.close()

    def flush(self):
        data = self.state.data_to_send()
        if data:
            self.socket.sendall(data)

    def open(self, path="/", method="GET", headers=(), end=True, authority=None, pseudo=None):
        """Sends a request head and returns the stream's number."""
        number = self.state.get_next_available_stream_id()
        fields = pseudo if pseudo is not None else [
            (":method", method), (":scheme", self.scheme), (":authority", authority or self.name), (":path", path)]
        self.state.send_headers(number, [*fields, *headers], end_stream=end)
        self.streams[number] = Stream()
        self.flush()
        return number

    def send(self, number, data, end=False):
        """Sends DATA within the peer's windows, reading meanwhile as needed."""
        view = memoryview(data)
        while view:
            room = min(self.state.local_flow_control_window(number), self.state.max_outbound_frame_size, len(view))
            if room == 0:
                assert self.pump(), "the connection closed while sending"
                continue
            self.state.send_data(number, bytes(view[:room]))
            view = view[room:]
            self.flush()
        if end:
            self.state.end_stream(number)
            self.flush()

    def pump(self, seconds=None):
        """Reads once; False when the connection is closed, raises TimeoutError when nothing comes."""
        self.socket.settimeout(seconds or self.timeout)
        try:
            data = self.socket.recv(65536)
        except ConnectionResetError:
            data = b""
        if not data:
            self.closed = True
            return False
        for event in self.state.receive_data(data):
            self.handle(event)
        self.flush()
        return True

    def handle(self, event):
        stream = self.streams.setdefault(getattr(event, "stream_id", None) or 0, Stream())
        match event:
            case h2.events.InformationalResponseReceived():
                stream.interim.append(dict(event.headers))
            case h2.events.ResponseReceived():
                stream.headers = list(event.headers)
            case h2.events.DataReceived():
                stream.body += event.data
                if self.flow_control:
                    self.state.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
            case h2.events.TrailersReceived():
                stream.trailers = list(event.headers)
            case h2.events.StreamEnded():
                stream.ended = True
            case h2.events.StreamReset():
                stream.reset = event.error_code
            case h2.events.ConnectionTerminated():
                self.goaway = event
            case h2.events.PingAckReceived():
                self.pings += 1

    def wait(self, condition, seconds=None):
        """Reads until condition() is true; the connection's end leaves it as it is. Returns condition()."""
        deadline = time.monotonic() + (seconds or self.timeout)
        while not condition() and not self.closed:
            left = deadline - time.monotonic()
            if left <= 0:
                raise TimeoutError("condition did not come true")
            self.pump(left)
        return condition()

    def finished(self, number):
        """Waits until the stream ended or was reset, and returns it."""
        stream = self.streams[number]
        self.wait(lambda: stream.ended or stream.reset is not None)
        return stream

    def get(self, path="/", **request):
        """One request without body, and its whole answer."""
        return self.finished(self.open(path, **request))

    def post(self, path, body, headers=(), trailers=None):
        number = self.open(path, "POST", headers, end=False)
        self.send(number, body, end=trailers is None)
        if trailers is not None:
            self.state.send_headers(number, trailers, end_stream=True)
            self.flush()
        return self.finished(number)


class H2Server:
    """An HTTP/2 upstream with prior knowledge or TLS: script(server_connection, number, request) answers.

    request is {"headers": […], "body": bytes, "trailers": […]}, complete. A script sends with `connection.respond`;
    `on_head` instead is called when the head is there.
    """

    def __init__(self, script=None, on_head=None, tls=None, settings=None, port=None):
        self.script, self.on_head = script or (lambda connection, number, request: connection.respond(number)), on_head
        self.tls, self.settings = tls, settings or {}
        self.port = port or free_port()
        self.requests, self.connections, self.resets = [], [], []
        self._listener = socket.create_server(("127.0.0.1", self.port), backlog=128)
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._run, args=(sock,), daemon=True).start()

    def _run(self, sock):
        try:
            if self.tls:
                sock = self.tls.wrap_socket(sock, server_side=True)
            connection = H2ServerConnection(self, sock)
            self.connections.append(connection)
            connection.run()
        except (OSError, h2.exceptions.ProtocolError):
            pass
        finally:
            sock.close()

    def close(self):
        try:
            self._listener.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self._listener.close()
        for connection in list(self.connections):
            try:
                connection.socket.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass


class H2ServerConnection:
    def __init__(self, server, sock):
        self.server, self.socket = server, sock
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.state = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False, header_encoding="utf-8"))
        self.lock = threading.RLock()
        self.pending = {}
        self.unsent = {}  # stream → [bytes left, trailers or None]

    def run(self):
        with self.lock:
            if self.server.settings:
                self.state.local_settings.update(self.server.settings)
            self.state.initiate_connection()
            self.flush()
        while data := self.socket.recv(65536):
            with self.lock:
                for event in self.state.receive_data(data):
                    self.handle(event)
                self.flush()

    def flush(self):
        with self.lock:
            data = self.state.data_to_send()
            if data:
                self.socket.sendall(data)

    def handle(self, event):
        match event:
            case h2.events.RequestReceived():
                request = {"headers": list(event.headers), "body": b"", "trailers": []}
                self.pending[event.stream_id] = request
                if self.server.on_head:
                    self.server.requests.append(request)
                    self.server.on_head(self, event.stream_id, request)
            case h2.events.DataReceived():
                self.pending[event.stream_id]["body"] += event.data
                self.state.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
            case h2.events.TrailersReceived():
                self.pending[event.stream_id]["trailers"] = list(event.headers)
            case h2.events.StreamReset():
                self.server.resets.append((event.stream_id, event.error_code))
                self.unsent.pop(event.stream_id, None)
            case h2.events.StreamEnded() if not self.server.on_head:
                request = self.pending.pop(event.stream_id)
                self.server.requests.append(request)
                self.server.script(self, event.stream_id, request)
            case h2.events.WindowUpdated():
                for number in list(self.unsent):
                    self.push(number)

    def respond(self, number, status=200, headers=(), body=b"ok", trailers=None):
        """A whole answer; the body follows the peer's windows."""
        with self.lock:
            bare = not body and trailers is None
            self.state.send_headers(number, [(":status", str(status)), *headers], end_stream=bare)
            if not bare:
                self.unsent[number] = [memoryview(body), trailers]
                self.push(number)
            self.flush()

    def push(self, number):
        left, trailers = self.unsent[number]
        while left:
            room = min(self.state.local_flow_control_window(number), self.state.max_outbound_frame_size, len(left))
            if room <= 0:
                self.unsent[number][0] = left
                return
            self.state.send_data(number, bytes(left[:room]))
            left = left[room:]
        del self.unsent[number]
        if trailers is not None:
            self.state.send_headers(number, trailers, end_stream=True)
        else:
            self.state.end_stream(number)

    def reset(self, number, code):
        with self.lock:
            self.state.reset_stream(number, code)
            self.flush()

    def goaway(self, last, code=0):
        """GOAWAY as a frame: the library would not let streams go on after it."""
        with self.lock:
            self.flush()
            self.socket.sendall(GoAwayFrame(0, last_stream_id=last, error_code=code).serialize())


class RawH2:
    """Frames as the test writes them; frames of the peer as they come."""

    def __init__(self, port, settings=None, tls=None, preface=True, timeout=5):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if tls:
            self.socket = tls.wrap_socket(self.socket, server_hostname="localhost")
        self.encoder, self.decoder = hpack.Encoder(), hpack.Decoder()
        self.buffer = b""
        self.frames = []
        self.closed = False
        if preface:
            self.socket.sendall(PREFACE + SettingsFrame(0, settings=settings or {}).serialize())

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def send(self, *frames):
        """Frames or bytes in one write; True unless the peer has gone."""
        data = b"".join(one if isinstance(one, bytes) else one.serialize() for one in frames)
        try:
            self.socket.sendall(data)
            return True
        except OSError:
            return False

    def headers(self, number, fields=None, flags=("END_HEADERS", "END_STREAM"), path="/"):
        """A HEADERS frame."""
        fields = fields if fields is not None else [
            (":method", "GET"), (":scheme", "http"), (":authority", "localhost"), (":path", path)]
        return HeadersFrame(number, data=self.encoder.encode(fields), flags=list(flags))

    def read(self, seconds=1.0, until=None):
        """Frames that come within seconds, or up to the first for which until(frame) is true, or to the close."""
        found = []
        deadline = time.monotonic() + seconds
        while not self.closed:
            while len(self.buffer) >= 9:
                frame, length = Frame.parse_frame_header(memoryview(self.buffer[:9]))
                if len(self.buffer) < 9 + length:
                    break
                frame.parse_body(memoryview(self.buffer[9:9 + length]))
                self.buffer = self.buffer[9 + length:]
                found.append(frame)
                self.frames.append(frame)
                if until and until(frame):
                    return found
            left = deadline - time.monotonic()
            if left <= 0:
                break
            self.socket.settimeout(left)
            try:
                data = self.socket.recv(65536)
            except TimeoutError:
                break
            except OSError:
                data = b""
            if not data:
                self.closed = True
            self.buffer += data
        return found

    def ended(self, seconds=5):
        """(code of the GOAWAY or None, closed): reads until the peer closes, up to seconds."""
        self.read(seconds)
        return self.goaway_code(), self.closed

    def goaway_code(self):
        return next((frame.error_code for frame in self.frames if isinstance(frame, GoAwayFrame) and frame.error_code),
                    None)

    def reset_code(self, number):
        return next((frame.error_code for frame in self.frames
                     if isinstance(frame, RstStreamFrame) and frame.stream_id == number), None)

    def response(self, number, seconds=5):
        """Decoded header list of the first HEADERS on a stream."""
        for frame in self.read(seconds, until=lambda one: isinstance(one, HeadersFrame) and one.stream_id == number):
            if isinstance(frame, HeadersFrame):
                fields = self.decoder.decode(frame.data)
                if frame.stream_id == number:
                    return fields
        return None


__all__ = ["DataFrame", "Frame", "GoAwayFrame", "H2Client", "H2Server", "HeadersFrame", "PREFACE", "PingFrame",
           "RawH2", "RstStreamFrame", "SettingsFrame", "Stream", "WindowUpdateFrame"]
