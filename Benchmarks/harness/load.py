"""The load: what is sent through the proxy, and what each kind of work measures."""
import concurrent.futures
import dataclasses
import json
import os
import pathlib
import re
import resource
import signal
import socket
import ssl
import statistics
import subprocess
import sys
import time

from .processes import cpu_seconds, resident_kib
from .site import FRONT, H1, ROUTES

IDLE_CONNECTIONS = 2000
HOST = "localhost"


@dataclasses.dataclass(frozen=True)
class Sample:
    """One measurement: `value` in the work's unit."""
    value: float
    failed: int = 0
    latency_ms: float | None = None
    rss_mib: float = 0


def h2load(*arguments):
    """(good, failed, mean latency in ms) of one h2load run on CPU 1."""
    output = subprocess.run(["taskset", "-c", "1", "h2load", *arguments], capture_output=True, text=True).stdout
    totals = re.search(r"(\d+) done, (\d+) succeeded, (\d+) failed, (\d+) errored", output)
    codes = re.search(r"status codes: (\d+) 2xx, (\d+) 3xx, (\d+) 4xx, (\d+) 5xx", output)
    mean = re.search(r"time for request:\s+\S+\s+\S+\s+(\S+)", output)
    if not totals or not codes:
        return 0, 1, None
    done, errored = int(totals[1]), int(totals[4])
    by_class = [int(code) for code in codes.groups()]
    # h2load does not understand a status line without a reason phrase: then all classes are 0.
    good = by_class[0] if any(by_class) else done - errored
    return good, done - good, milliseconds(mean[1]) if mean else None


def milliseconds(text):
    """The value of h2load's "1.23ms", "456us" or "1.2s"."""
    number, unit = re.fullmatch(r"([\d.]+)([a-z]+)", text).groups()
    return float(number) * {"us": 0.001, "ms": 1, "s": 1000}[unit]


def handshakes(resume, count, authority):
    """count TLS 1.3 connections one after the other, each with one HTTP/1.1 request.

    Runs in a process of its own on CPU 1. Each must be answered 200 and be resumed exactly if `resume` is set, else it
    has failed. (openssl s_time checks neither, and speaks HTTP/1.0, which Envoy answers with 426.)
    """
    command = ["taskset", "-c", "1", sys.executable, "-m", "harness.handshakes", str(FRONT), str(count),
               "resumed" if resume else "full", authority, f"/{ROUTES[-1]}/1k"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=pathlib.Path(__file__).parents[1])
    if done.returncode != 0:
        raise RuntimeError(f"handshakes: {done.stderr.strip()[-300:]}")
    result = json.loads(done.stdout)
    return result["good"], result["failed"], result["mean_ms"]


def urls(file, scheme="http"):
    """One per route: h2load takes them in turn."""
    return [f"{scheme}://127.0.0.1:{FRONT}/{route}/{file}" for route in ROUTES]


def many_hosts(requests):
    """Eight clients, each on a host of its own (h2load knows one host), 32 connections together."""
    def one(number):
        return h2load("--h1", "-c4", f"-n{requests // 8}", "-H", f":authority: h{number * 125}.bench.example",
                      *urls("1k")[:10])
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        results = list(pool.map(one, range(8)))
    return sum(good for good, _, _ in results), sum(bad for _, bad, _ in results), max(
        (latency for _, _, latency in results if latency is not None), default=None)


def requests(work, count, site):
    """Sends about count requests of work; (good, failed, mean latency)."""
    total = max(int(count * work.scale), 200)
    match work.name:
        case "h1" | "h1-h2" | "pair" | "loops-h1" | "policies-h1":
            return h2load("--h1", "-c32", f"-n{total}", *urls("1k"))
        case "h2" | "h2-h1" | "loops-h2" | "policies-h2":
            return h2load("-c8", "-m10", f"-n{total}", *urls("1k"))
        case "tls":
            return h2load("-c8", "-m10", f"-n{total}", *urls("1k", "https"))
        case "big":
            return h2load("--h1", "-c4", f"-n{total}", *urls("1m"))
        case "big2":
            return h2load("-c4", "-m4", f"-n{total}", *urls("1m"))
        case "full" | "resumed":
            return handshakes(work.name == "resumed", total, str(site.dir / "ca.pem"))
        case "routes":
            return many_hosts(total)
    raise ValueError(work.name)


def cost(work, process, count, site):
    """CPU per request, after a warm-up."""
    requests(work, min(count, 3000), site)
    before = cpu_seconds(process)
    good, failed, latency = requests(work, count, site)
    used = cpu_seconds(process) - before
    if not good:
        raise RuntimeError("no request succeeded")
    return Sample(used * 1e6 / good, failed, latency, resident_kib(process) / 1024)


def percentiles(port, count, log):
    """(median, 99th percentile) in µs of count requests, one at a time on one connection to port."""
    urls_ = [f"http://127.0.0.1:{port}/{route}/1k" for route in ROUTES]
    log.unlink(missing_ok=True)
    subprocess.run(["taskset", "-c", "1", "h2load", "--h1", "-c1", f"-n{count}", f"--log-file={log}", *urls_],
                   capture_output=True, check=True)
    rows = [line.split() for line in log.read_text().splitlines()]
    # 0: a status line without a reason phrase, which h2load does not understand.
    times = sorted(int(microseconds) for _, status, microseconds in rows if status in ("200", "0"))
    if len(times) < count:
        raise RuntimeError(f"{count - len(times)} of {count} requests failed")
    return times[len(times) // 2], times[len(times) * 99 // 100]


def added_latency(work, process, count, site):
    """What the proxies add to a percentile of the latency, in µs: with them, less without them, in turns."""
    log, which, turns = site.dir / "h2load.log", {"pair-p50": 0, "pair-p99": 1}[work.name], 5
    count = max(count // 20, 500)
    percentiles(FRONT, count, log)
    differences = []
    for _ in range(turns):
        direct = percentiles(H1, count, log)
        differences.append(percentiles(FRONT, count, log)[which] - direct[which])
    return Sample(statistics.median(differences), rss_mib=resident_kib(process) / 1024)


def exchange_h1(connection, host=HOST):
    """One request on a keep-alive connection; raises unless it is answered 200."""
    connection.sendall(f"GET /{ROUTES[0]}/1k HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
    received = b""
    while b"\r\n\r\n" not in received or len(received.partition(b"\r\n\r\n")[2]) < 1024:
        piece = connection.recv(65536)
        if not piece:
            raise ConnectionError("closed early")
        received += piece
    if not received.startswith(b"HTTP/1.1 200"):
        raise ConnectionError(received.splitlines()[0].decode(errors="replace"))


def exchange_h2(connection):
    """The preface, one request on stream 1, and the whole answer, with frames made by hand."""
    path, authority = f"/{ROUTES[0]}/1k".encode(), HOST.encode()
    # HPACK: GET and http from the static table, path and authority as literals with indexed names.
    block = b"\x82\x86\x04" + bytes([len(path)]) + path + b"\x01" + bytes([len(authority)]) + authority
    frame = lambda kind, flags, stream, payload: (
        len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + payload)
    connection.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(4, 0, 0, b"") + frame(1, 5, 1, block))
    received, acknowledged = b"", False
    while True:
        piece = connection.recv(65536)
        if not piece:
            raise ConnectionError("closed early")
        received += piece
        while len(received) >= 9 and len(received) >= 9 + int.from_bytes(received[:3], "big"):
            length, kind, flags = int.from_bytes(received[:3], "big"), received[3], received[4]
            received = received[9 + length:]
            if kind == 4 and not flags & 1 and not acknowledged:
                connection.sendall(frame(4, 1, 0, b""))
                acknowledged = True
            if kind == 7 or kind == 3:
                raise ConnectionError("GOAWAY or RST_STREAM")
            if kind == 0 and flags & 1:
                return


def is_closed(connection):
    """True if the peer has closed; what it sent meanwhile (tickets, PING) does not matter."""
    raw = connection.fileno()
    with socket.socket(fileno=os.dup(raw)) as plain:
        plain.setblocking(False)
        try:
            while data := plain.recv(65536):
                if b"\x00\x00\x08\x07\x00\x00\x00\x00\x00" in data:  # GOAWAY of 8 bytes
                    return True
            return True
        except BlockingIOError:
            return False
        except ConnectionError:
            return True


def idle(work, process, site):
    """Growth of resident memory per idle connection that has had one request, after six seconds of rest."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, IDLE_CONNECTIONS * 2 + 500), hard))
    trust = ssl.create_default_context(cafile=str(site.dir / "ca.pem"))
    trust.set_alpn_protocols(["http/1.1"])

    def opened(count):
        connections = []
        for _ in range(count):
            connection = socket.create_connection(("127.0.0.1", FRONT), 5)
            if work.front == "tls":
                connection = trust.wrap_socket(connection, server_hostname=HOST)
            (exchange_h2 if work.front == "h2c" else exchange_h1)(connection)
            connections.append(connection)
        return connections

    connections = opened(100)
    try:
        before = resident_kib(process)
        connections += opened(IDLE_CONNECTIONS)
        time.sleep(6)
        growth = (resident_kib(process) - before) / IDLE_CONNECTIONS
        # A connection that the proxy has closed costs it nothing, and proves nothing.
        return Sample(growth, sum(map(is_closed, connections)), rss_mib=resident_kib(process) / 1024)
    finally:
        for connection in connections:
            connection.close()


def first_request(process, started):
    """Milliseconds from `started` (time.monotonic) to the first answer, and the memory then."""
    while time.monotonic() - started < 20:
        try:
            with socket.create_connection(("127.0.0.1", FRONT), 1) as connection:
                exchange_h1(connection)
                return Sample((time.monotonic() - started) * 1000, rss_mib=resident_kib(process) / 1024)
        except OSError:
            if process.poll() is not None:
                break
            time.sleep(0.0005)
    raise RuntimeError("no request was served")


def adoption(process, reloads=10):
    """The longest wait of one client while the same snapshot is adopted again and again, in ms."""
    worst = failed = 0
    with socket.create_connection(("127.0.0.1", FRONT), 5) as connection:
        def probe(seconds):
            nonlocal worst, failed
            until = time.monotonic() + seconds
            while time.monotonic() < until:
                begun = time.perf_counter()
                try:
                    exchange_h1(connection, "h500.bench.example")
                except ConnectionError:
                    failed += 1
                    return
                worst = max(worst, time.perf_counter() - begun)
                time.sleep(0.0005)
        probe(0.5)
        worst = 0
        for _ in range(reloads):
            process.send_signal(signal.SIGHUP)
            probe(1)
    return Sample(worst * 1000, failed, rss_mib=resident_kib(process) / 1024)
