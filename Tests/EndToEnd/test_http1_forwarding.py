"""HTTP/1.1 through the proxy with real clients: curl, h2load and raw sockets."""
import contextlib
import http.server
import os
import pathlib
import re
import signal
import socket
import socketserver
import subprocess
import tempfile
import threading
import time

import pytest

from harness import config
from harness.ports import free_port
from harness.proxy import BINARIES, martlet, resident_kib

BINARY = BINARIES / "martlet-proxy"


class Upstream(http.server.BaseHTTPRequestHandler):
    """Answers with what it saw; keeps connections."""
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def read_body(self):
        if self.headers.get("transfer-encoding") == "chunked":
            size = 0
            while count := int(self.rfile.readline().strip(), 16):
                size += len(self.rfile.read(count))
                self.rfile.readline()
            while self.rfile.readline().strip():
                pass
            return size
        return len(self.rfile.read(int(self.headers.get("content-length", 0))))

    def do_GET(self):
        size = self.read_body()
        self.server.seen.append(self.path)
        if self.path == "/upgrade":
            self.wfile.write(b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n")
            self.wfile.flush()
            while data := self.connection.recv(65536):
                self.connection.sendall(data)
            self.close_connection = True
            return
        if self.path == "/die":
            self.close_connection = True
            return
        lines = [f"{self.command} {self.path}", f"body {size}", *(f"{n.lower()}: {v}" for n, v in self.headers.items())]
        body = b"x" * (8 << 20) if self.path == "/large" else "\n".join(lines).encode()
        self.send_response(200)
        if self.path == "/chunks":
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            for start in range(0, len(body), 7):
                piece = body[start:start + 7]
                self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))
            self.wfile.write(b"0\r\nX-Sum: 1\r\n\r\n")
            return
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)
        if self.path == "/last":
            self.close_connection = True

    do_POST = do_PUT = do_HEAD = do_GET


class Server(socketserver.ThreadingMixIn, http.server.HTTPServer):
    daemon_threads = True
    request_queue_size = 256

    def handle_error(self, *_):
        """A proxy that goes away mid-exchange is part of these tests."""


@contextlib.contextmanager
def proxy_to(endpoint, *arguments):
    """martlet-proxy on a compiled snapshot that sends everything to endpoint: (process, port)."""
    port = free_port()
    with tempfile.TemporaryDirectory() as name:
        directory = pathlib.Path(name)
        config.write(directory, [*config.simple(port, int(endpoint.rpartition(":")[2])),
                                 config.settings(accessLog={"type": "off"})])
        done = martlet("compile", directory, "-o", directory / "snapshot")
        assert done.returncode == 0, done.stdout + done.stderr
        process = subprocess.Popen([BINARY, "--snapshot", directory / "snapshot", *arguments],
                                   stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        line = process.stderr.readline()
    try:
        assert "serving at" in line, line
        yield process, port
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()


@pytest.fixture
def upstream():
    server = Server(("127.0.0.1", 0), Upstream)
    server.seen = []
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()


@pytest.fixture
def port(upstream):
    with proxy_to(f"127.0.0.1:{upstream.server_port}") as (process, port):
        yield port
        assert process.poll() is None, "the proxy ended: " + process.stderr.read()


def curl(port, path, *arguments, data=None):
    command = ["curl", "-sS", "--max-time", "20", *arguments, f"http://127.0.0.1:{port}{path}"]
    return subprocess.run(command, capture_output=True, check=True, input=data).stdout


def raw(port, data, wait=5):
    """Everything that comes back until the proxy closes."""
    with socket.create_connection(("127.0.0.1", port), timeout=wait) as connection:
        connection.sendall(data)
        received = b""
        while piece := connection.recv(65536):
            received += piece
        return received


def test_forwarded_fields_say_what_the_edge_saw(port):
    seen = curl(port, "/a?b=c", "-H", "X-Forwarded-For: 6.6.6.6", "-H", "Connection: x-hop", "-H", "X-Hop: 1").decode()
    assert seen.startswith("GET /a?b=c\nbody 0\n")
    assert "x-forwarded-for: 127.0.0.1\n" in seen
    assert f"x-forwarded-host: 127.0.0.1:{port}\n" in seen
    assert re.search(r"x-request-id: [0-9a-f]{32}", seen)
    assert "x-hop" not in seen


def test_bodies_go_up_in_both_framings(port):
    payload = os.urandom(3_000_000)
    assert b"body 3000000\n" in curl(port, "/", "--data-binary", "@-", data=payload)
    assert b"body 3000000\n" in curl(port, "/", "-T", "-", "-H", "Expect:", data=payload)


def test_bodies_come_down_in_both_framings(port):
    assert len(curl(port, "/large")) == 8 << 20
    assert curl(port, "/chunks").startswith(b"GET /chunks\n")


def test_http10_client_gets_no_chunks(port):
    answer = raw(port, b"GET /chunks HTTP/1.0\r\nHost: a\r\n\r\n")
    head, body = answer.split(b"\r\n\r\n", 1)
    assert b"chunked" not in head.lower()
    assert body.startswith(b"GET /chunks\n")


def test_head_has_no_body(port):
    assert b"200 OK" in curl(port, "/", "--head")


def test_pipelined_requests_are_answered_in_order(port):
    many = b"".join(b"GET /%d HTTP/1.1\r\nHost: a\r\n\r\n" % n for n in range(20))
    answer = raw(port, many + b"GET /end HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
    assert re.findall(rb"GET /(\w+)", answer) == [b"%d" % n for n in range(20)] + [b"end"]


def test_upgrade_becomes_a_tunnel_after_101(port):
    with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
        connection.sendall(b"GET /upgrade HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n")
        assert connection.recv(4096).startswith(b"HTTP/1.1 101 ")
        connection.sendall(b"ping")
        assert connection.recv(4096) == b"ping"


def test_a_reused_connection_that_died_costs_no_request(port, upstream):
    for _ in range(20):
        assert curl(port, "/last").startswith(b"GET /last\n")


def test_endpoint_that_closes_without_an_answer_is_a_502_with_its_reason(port):
    answer = curl(port, "/die", "-i")
    assert b" 502 " in answer and b"x-martlet-reason: upstream_closed" in answer


def test_refused_connection_is_a_503_with_its_reason():
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        with proxy_to(f"127.0.0.1:{unused.getsockname()[1]}") as (_, port):
            answer = curl(port, "/", "-i")
            assert b" 503 " in answer and b"x-martlet-reason: upstream_connect_failed" in answer


SMUGGLING = [
    (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\nabc", 400),
    (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, identity\r\n\r\n", 501),
    (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n", 501),
    (b"GET / HTTP/1.1\r\nHost: a\r\nX: a\r\n b\r\n\r\n", 400),
    (b"GET / HTTP/1.1\r\nHost: a\nX: b\r\n\r\n", 400),
    (b"GET / HTTP/1.1\r\nHost : a\r\n\r\n", 400),
    (b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400),
    (b"GET http://b/ HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    (b"GET /a%2fb HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", 400),
    (b"CONNECT a:80 HTTP/1.1\r\nHost: a:80\r\nConnection: close\r\n\r\n", 405),
    (b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"a" * 70_000 + b"\r\n\r\n", 431),
    (b"GET /" + b"a" * 20_000 + b" HTTP/1.1\r\nHost: a\r\n\r\n", 414),
]


@pytest.mark.parametrize("request_bytes, status", SMUGGLING, ids=range(len(SMUGGLING)))
def test_ambiguous_requests_are_refused_and_never_forwarded(port, upstream, request_bytes, status):
    answer = raw(port, request_bytes)
    assert answer.startswith(b"HTTP/1.1 %d " % status)
    assert re.search(rb"x-martlet-reason: \w+", answer)
    assert upstream.seen == []


def test_slow_reader_stops_the_sender(upstream):
    with proxy_to(f"127.0.0.1:{upstream.server_port}") as (process, port):
        clients = []
        for _ in range(20):
            client = socket.create_connection(("127.0.0.1", port))
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            client.sendall(b"GET /large HTTP/1.1\r\nHost: a\r\n\r\n")
            clients.append(client)
        time.sleep(1)
        # 160 MiB are on offer; each exchange may hold the watermark and a chunk, about half a MiB.
        assert resident_kib(process) < 40 * 1024
        for client in clients:
            client.close()


def test_load_over_two_loops_fails_no_request(upstream):
    with proxy_to(f"127.0.0.1:{upstream.server_port}", "--loops", "2") as (_, port):
        command = ["h2load", "--h1", "-c16", "-n2000", f"http://127.0.0.1:{port}/"]
        report = subprocess.run(command, capture_output=True, text=True, timeout=120).stdout
        assert "2000 succeeded, 0 failed, 0 errored" in report


def test_sigterm_drains_and_exits_with_zero(upstream):
    with proxy_to(f"127.0.0.1:{upstream.server_port}") as (process, port):
        idle = socket.create_connection(("127.0.0.1", port), timeout=5)
        idle.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        assert idle.recv(65536).startswith(b"HTTP/1.1 200 ")
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=10) == 0
        while idle.recv(65536):  # The rest of an answer may come before the end; the end must come.
            pass
