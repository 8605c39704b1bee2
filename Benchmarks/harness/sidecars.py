"""Simulated sidecars: many in one process, each with its own certificate, TLS connection, discovery and report stream.

What they say is what martlet-proxy says, but their HTTP/2 is the least that works, so that the simulation costs little
of the time that is measured: header blocks of the server are not decoded, and a response of discovery is parsed only for its
nonce. One loop, one thread; commands come over a pipe, which is waited for like the sockets.
"""
import concurrent.futures
import pathlib
import random
import resource
import selectors
import socket
import ssl
import struct
import sys
import tempfile
import time

import grpc
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from .site import ROOT

# Not by its path below proto: `envoy` is also the name of the Python package that brings Envoy.
sys.path[:0] = [str(ROOT / "proto"), str(ROOT / "proto/envoy/service/discovery/v3")]
discovery = grpc.protos("discovery.proto")
control = grpc.protos("martlet/v1/control.proto")

TYPES = [f"type.googleapis.com/martlet.v1.{name}" for name in (
    "TrustBundle", "MeshSettings", "MeshBackend", "EndpointSet", "AccessPolicy", "MeshService", "Workload", "MeshGateway",
    "AttachedRoute")]

DATA, HEADERS, SETTINGS, PING, GOAWAY, WINDOW_UPDATE = 0, 1, 4, 6, 7, 8
REPORT, DISCOVER = 1, 3  # streams
OPENING = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"


def frame(kind, flags, stream, payload=b""):
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload


def opening():
    return (OPENING + frame(SETTINGS, 0, 0, struct.pack(">HIHI", 2, 0, 4, 0x7FFFFFFF))
            + frame(WINDOW_UPDATE, 0, 0, struct.pack(">I", 0x7FFFFFFF - 65535)))


def call(stream, path):
    """The HEADERS frame of a call: literals that no table keeps."""
    block = b""
    for name, value in ((":method", "POST"), (":scheme", "https"), (":path", path), (":authority", "localhost"),
                        ("te", "trailers"), ("content-type", "application/grpc")):
        block += b"\0" + bytes([len(name)]) + name.encode() + bytes([len(value)]) + value.encode()
    return frame(HEADERS, 4, stream, block)


def message(stream, value, last=False):
    data = value.SerializeToString()
    return frame(DATA, 1 if last else 0, stream, b"\0" + struct.pack(">I", len(data)) + data)


def frames(buffer):
    """Takes whole frames off the front of a bytearray: (kind, flags, stream, payload)."""
    start = 0
    while len(buffer) - start >= 9:
        length = int.from_bytes(buffer[start:start + 3], "big")
        if len(buffer) - start < 9 + length:
            break
        yield (buffer[start + 3], buffer[start + 4], int.from_bytes(buffer[start + 5:start + 9], "big"),
               bytes(buffer[start + 9:start + 9 + length]))
        start += 9 + length
    del buffer[:start]


def trusting(root):
    """A TLS client that believes a root. The control plane shows a SPIFFE id, no host name."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.load_verify_locations(cadata=root)
    context.set_alpn_protocols(["h2"])
    return context


class Sidecar:
    """One instance: joins, subscribes to everything in its scope, acknowledges, and says that it is ready."""

    def __init__(self, service, instance, token, root, port, seen):
        self.role, self.token, self.root, self.port, self.seen = f"workload:bench/s{service}", token, root, port, seen
        self.instance = f"s{service}-{instance}"
        self.serves = 20000 + service % 20000
        self.buffer, self.messages = bytearray(), bytearray()

    def join(self):
        """Gets a certificate, and connects with it. Blocks; called from several threads."""
        key = ec.generate_private_key(ec.SECP256R1())
        request = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([])).sign(key, hashes.SHA256())
        asked = control.JoinRequest(token=self.token, role=self.role, instance=self.instance,
                                    csr=request.public_bytes(serialization.Encoding.DER))
        with self.connect(trusting(self.root)) as plain:
            plain.sendall(opening() + call(1, "/martlet.v1.Identity/Join") + message(1, asked, last=True))
            signed = control.SignResponse.FromString(self.answer(plain))
        private = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        own = trusting(signed.bundle)
        with tempfile.NamedTemporaryFile() as file:  # load_cert_chain takes nothing else
            file.write(private + signed.chain.encode())
            file.flush()
            own.load_cert_chain(file.name)
        self.socket = self.connect(own)
        self.begin()

    def connect(self, context):
        raw = socket.create_connection(("127.0.0.1", self.port), 60)
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return context.wrap_socket(raw)

    def answer(self, plain):
        """The one message that a unary call is answered with."""
        buffer, data = bytearray(), b""
        while True:
            piece = plain.recv(65536)
            if not piece:
                raise ConnectionError(f"{self.instance}: join: the connection was closed")
            buffer += piece
            for kind, flags, stream, payload in frames(buffer):
                if kind == SETTINGS and not flags & 1:
                    plain.sendall(frame(SETTINGS, 1, 0))
                elif kind == DATA and stream == 1:
                    data += payload
                elif kind == HEADERS and flags & 1 and not data:
                    raise ConnectionError(f"{self.instance}: join refused: {payload!r}")
                if len(data) > 5 and len(data) >= 5 + int.from_bytes(data[1:5], "big"):
                    return data[5:]

    def begin(self):
        hello = control.Hello(role=self.role, instance=self.instance, version="bench", address="127.0.0.1",
                              boot=random.getrandbits(63), time=int(time.time()))
        said = [opening(), call(REPORT, "/martlet.v1.Reporting/Report"),
                message(REPORT, control.ReportRequest(hello=hello, state=self.state(), traffic=control.Traffic())),
                call(DISCOVER, "/envoy.service.discovery.v3.AggregatedDiscoveryService/DeltaAggregatedResources")]
        node = discovery.Node(id=self.instance, cluster=self.role, user_agent_name="bench")
        for number, url in enumerate(TYPES):
            said.append(message(DISCOVER, discovery.DeltaDiscoveryRequest(
                node=node if number == 0 else None, type_url=url, resource_names_subscribe=["*"])))
        self.socket.sendall(b"".join(said))
        self.socket.setblocking(False)

    def state(self):
        return control.State(readiness=control.State.READINESS_READY, ports=[
            control.ServedPort(port=80, inbound_port=self.serves, meshed=True)])

    def move(self, port):
        """The instance serves at another port from now on."""
        self.serves = port
        self.socket.send(message(REPORT, control.ReportRequest(state=self.state())))

    def report(self):
        self.socket.send(message(REPORT, control.ReportRequest(traffic=control.Traffic())))

    def receive(self):
        """Takes what has come, and answers it."""
        while True:
            try:
                piece = self.socket.recv(1 << 18)
            except (ssl.SSLWantReadError, BlockingIOError):
                return
            if not piece:
                raise ConnectionError(f"{self.instance}: the control plane has closed the connection")
            self.buffer += piece
            said = [answer for one in frames(self.buffer) for answer in self.take(*one)]
            if said:
                self.socket.send(b"".join(said))

    def take(self, kind, flags, stream, payload):
        if kind == DATA and stream == DISCOVER:
            self.messages += payload
            yield from self.acknowledge()
        elif kind == SETTINGS and not flags & 1:
            yield frame(SETTINGS, 1, 0)
        elif kind == PING and not flags & 1:
            yield frame(PING, 1, 0, payload)
        elif kind == GOAWAY or kind == HEADERS and flags & 1:
            raise ConnectionError(f"{self.instance}: stream {stream} has ended: {payload!r}")

    def acknowledge(self):
        while len(self.messages) >= 5:
            end = 5 + int.from_bytes(self.messages[1:5], "big")
            if len(self.messages) < end:
                return
            data = bytes(self.messages[5:end])
            del self.messages[:end]
            now = time.monotonic()
            response = discovery.DeltaDiscoveryResponse.FromString(data)
            self.seen(response.type_url, data, now)
            yield message(DISCOVER, discovery.DeltaDiscoveryRequest(
                type_url=response.type_url, response_nonce=response.nonce))


class Crowd:
    """The sidecars of one process, with their loop."""

    def __init__(self, chosen, number, tokens, root, port, pipe):
        self.pipe, self.interval = pipe, chosen.report_interval
        self.kind, self.marker, self.times, self.responses = None, b"", [], 0
        self.selector = selectors.DefaultSelector()
        self.sidecars = [
            Sidecar(service, instance, tokens[service], root, port, self.seen)
            for service in range(chosen.services) for instance in range(chosen.instances)
            if (service * chosen.instances + instance) % chosen.processes == number]
        self.by_name = {sidecar.instance: sidecar for sidecar in self.sidecars}

    def seen(self, url, data, now):
        self.responses += 1
        if url == self.kind and self.marker in data:
            self.times.append(now)

    def start(self):
        """Lets all join; meanwhile those that have joined answer already."""
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            waiting = {pool.submit(sidecar.join): sidecar for sidecar in self.sidecars}
            while waiting:
                for done in [future for future in waiting if future.done()]:
                    done.result()
                    sidecar = waiting.pop(done)
                    self.selector.register(sidecar.socket, selectors.EVENT_READ, sidecar)
                    sidecar.receive()
                for key, _ in self.selector.select(0.05):
                    key.data.receive()
        self.selector.register(self.pipe, selectors.EVENT_READ, None)
        self.pipe.send(len(self.sidecars))

    def run(self):
        turn, due = 0, time.monotonic()
        while True:
            # Each sidecar reports once per interval, spread over it.
            wait = None
            if self.interval:
                now = time.monotonic()
                while due <= now:
                    self.sidecars[turn].report()
                    turn = (turn + 1) % len(self.sidecars)
                    due += self.interval / len(self.sidecars)
                wait = max(0.005, due - now)
            for key, _ in self.selector.select(wait):
                if key.data is not None:
                    key.data.receive()
                elif not self.obey(self.pipe.recv()):
                    return

    def obey(self, command):
        match command:
            case ("watch", kind, marker):
                self.kind, self.marker, self.times = kind, marker, []
                self.pipe.send("watching")
            case ("times",):
                self.pipe.send(self.times)
            case ("cost",):
                self.pipe.send((time.process_time(), self.responses))
            case ("port", instance, port):
                if instance in self.by_name:
                    self.by_name[instance].move(port)
                self.pipe.send("said")
            case ("end",):
                return False
        return True


def simulate(chosen, number, tokens, root, port, pipe):
    """One process with its share of the sidecars."""
    resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
    crowd = Crowd(chosen, number, tokens, root, port, pipe)
    try:
        crowd.start()
        crowd.run()
    except Exception as error:  # whoever waits for an answer shall have one
        pipe.send(error if isinstance(error, RuntimeError) else RuntimeError(f"{type(error).__name__}: {error}"))
