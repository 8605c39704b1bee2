#!/usr/bin/env python3
"""A proxy under everything at once, for as long as asked: soak.py --minutes 20 [--report FILE]

Good clients over HTTP/1.1, HTTP/2, TLS, gRPC and WebSocket, of which every failed request counts; bad clients that
reset, hang up, read and send slowly, flood and send garbage; an upstream that restarts every 15 s; a reload every 10 s.
Memory and descriptors are sampled every 10 s. The exit code is 1 when memory grows over the last half, descriptors
leak, a request of a good client fails, the proxy crashes or does not end well.
"""
import argparse
import collections
import contextlib
import os
import pathlib
import statistics
import sys
import tempfile
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).parent))

from websockets.sync.server import serve as serve_websocket  # noqa: E402

from harness import config, soak_clients  # noqa: E402
from harness.grpc_echo import EchoServer  # noqa: E402
from harness.http2 import H2Server  # noqa: E402
from harness.pki import PKI  # noqa: E402
from harness.ports import free_port  # noqa: E402
from harness.proxy import CRASH, Proxy  # noqa: E402
from harness.upstream import Upstream, answer  # noqa: E402

SAMPLE = 10  # Seconds between samples, and between reloads.
RESTART = 15
LARGE = b"l" * 300_000
MEMORY_GROWTH = 0.05  # Of the resident size, over the last half; at least 2 MiB.
DESCRIPTORS = 10  # More than after the warm-up, once all clients have gone.


class Site:
    """The upstreams, and the documents for them; `documents(turn)` differs from turn to turn."""

    def __init__(self, proxy, pki, stack):
        self.proxy, self.pki = proxy, pki
        self.tls_port = free_port()
        self.h1 = Upstream(lambda request, _: answer(LARGE if request.target.endswith("large") else b"s" * 1024))
        self.h2 = H2Server(lambda connection, number, _: connection.respond(number, body=b"t" * 1024))
        self.echo, self.socket_port, self.flaky_port = EchoServer(), free_port(), free_port()
        sockets = stack.enter_context(serve_websocket(
            lambda connection: [connection.send(message) for message in connection], "127.0.0.1", self.socket_port))
        threading.Thread(target=sockets.serve_forever, daemon=True).start()
        for one in (self.h1, self.h2, self.echo):
            stack.callback(one.close)

    def documents(self, turn):
        path, rule = config.path, config.rule
        return [
            config.gateway(config.http(self.proxy.port), config.https(self.tls_port, "cert")),
            config.secret("cert", self.pki, "localhost"),
            config.backend("h1", self.h1.port), config.backend("h2", self.h2.port, protocol=config.H2C),
            config.backend("echo", self.echo.port, protocol=config.H2C), config.backend("ws", self.socket_port),
            config.backend("flaky", self.flaky_port),
            config.route(
                rule("h1", matches=[path("/h1")], timeouts={"request": f"{60 + turn % 2}s"}),
                rule("h2", matches=[path("/h2")]), rule("ws", matches=[path("/ws")]),
                rule("flaky", matches=[path("/flaky")]), rule("echo", matches=[path("/martlet.test.Echo")]), name="all"),
            config.settings(accessLog={"type": "off"}, drainTimeout="10s")]

    def restart_upstream(self, stopping):
        """An upstream that is there for a while and gone for a moment."""
        while not stopping.is_set():
            server = Upstream(lambda *_: answer(b"here"), port=self.flaky_port)
            stopping.wait(RESTART)
            server.close()
            stopping.wait(0.5)


class Crowd:
    """Threads of clients; what they did, and what failed, by name."""

    def __init__(self, clients, counts_failures):
        self.done, self.failed, self.examples = collections.Counter(), collections.Counter(), []
        self.counts_failures, self.stopping, self.lock = counts_failures, threading.Event(), threading.Lock()
        self.threads = [threading.Thread(target=self.run, args=(name, make), daemon=True)
                        for name, (count, make) in clients.items() for _ in range(count)]

    def start(self):
        for thread in self.threads:
            thread.start()

    def run(self, name, make):
        client = make()
        while not self.stopping.is_set():
            try:
                client()
                error = None
            except Exception as caught:  # noqa: BLE001: whatever it was, it is a failed request
                error = caught
            with self.lock:
                self.done[name] += 1
                if error is not None and self.counts_failures:
                    self.failed[name] += 1
                    if len(self.examples) < 20:
                        self.examples.append(f"{time.strftime('%H:%M:%S')} {name}: {error!r}"[:400])
            # Load, not a race for the processor: growth and leaks show at any rate.
            self.stopping.wait(0.02 if self.counts_failures else 0.3)
        with contextlib.suppress(Exception):
            client.close()

    def stop(self):
        self.stopping.set()
        for thread in self.threads:
            thread.join(30)
        return [thread for thread in self.threads if thread.is_alive()]


def descriptors(proxy):
    return len(os.listdir(f"/proc/{proxy.process.pid}/fd"))


def growth(samples):
    """KiB that memory grows by over the last half of the samples, by least squares."""
    half = samples[len(samples) // 2:]
    if len(half) < 3:
        return 0.0
    slope, _ = statistics.linear_regression([one["at"] for one in half], [one["rss"] for one in half])
    return slope * (half[-1]["at"] - half[0]["at"])


def soak(proxy, site, minutes, crowds):
    """Runs everything; returns the samples."""
    samples, started = [], time.monotonic()
    stopping = threading.Event()
    restarter = threading.Thread(target=site.restart_upstream, args=(stopping,), daemon=True)
    restarter.start()
    for crowd in crowds:
        crowd.start()
    turn = 0
    while time.monotonic() - started < minutes * 60:
        time.sleep(SAMPLE)
        if proxy.process.poll() is not None:
            break
        turn += 1
        good, bad = crowds
        sample = {"at": time.monotonic() - started, "rss": proxy.resident_kib(), "fds": descriptors(proxy),
                  "done": sum(good.done.values()), "failed": sum(good.failed.values()), "bad": sum(bad.done.values()),
                  "reloads": proxy.metric("martlet_configuration_reloads_total", result="accepted")}
        samples.append(sample)
        print("{at:6.0f} s  {rss:7d} KiB  {fds:4d} fds  {done:8d} requests  {failed:3d} failed  {bad:6d} bad clients  "
              "{reloads:3.0f} reloads".format(**sample), flush=True)
        proxy.edit(site.documents(turn))
    stopping.set()
    restarter.join(RESTART)
    return samples


def verdict(proxy, samples, crowds, before, hanging):
    """Everything that is wrong, as sentences."""
    wrong = []
    good = crowds[0]
    if proxy.process.poll() is not None:
        return [f"the proxy ended with {proxy.process.returncode}: {proxy.log()[-1000:]}"]
    if good.failed:
        wrong.append(f"failed requests: {dict(good.failed)}; {'; '.join(good.examples[:5])}")
    if hanging:
        wrong.append(f"{len(hanging)} clients hang")
    grown, size = growth(samples), statistics.median(one["rss"] for one in samples)
    if grown > max(MEMORY_GROWTH * size, 2048):
        wrong.append(f"memory grows: {grown:.0f} KiB over the last half")
    deadline = time.monotonic() + 20
    while descriptors(proxy) > before + DESCRIPTORS and time.monotonic() < deadline:
        time.sleep(0.5)
    if descriptors(proxy) > before + DESCRIPTORS:
        wrong.append(f"descriptors leak: {descriptors(proxy)} after all clients have gone, {before} before")
    if proxy.metric("martlet_requests_in_flight"):
        wrong.append(f"{proxy.metric('martlet_requests_in_flight'):.0f} requests are in flight without a client")
    if proxy.metric("martlet_local_answers_total", reason="internal_error"):
        wrong.append("internal errors")
    if samples and not samples[-1]["reloads"] >= len(samples) - 2:
        wrong.append(f"{samples[-1]['reloads']:.0f} reloads of {len(samples)}")
    if CRASH.search(proxy.log()):
        wrong.append(f"the log speaks of a crash: {CRASH.search(proxy.log())[0]}")
    return wrong


def table(samples, crowds, proxy_numbers, wrong):
    """The closing table, as Markdown."""
    good, bad = crowds
    minutes = samples[-1]["at"] / 60 if samples else 0
    rows = [
        ("time", f"{minutes:.1f} minutes"), ("requests of good clients", f"{sum(good.done.values())}"),
        ("of them failed", f"{sum(good.failed.values())}"), ("acts of bad clients", f"{sum(bad.done.values())}"),
        ("reloads", f"{samples[-1]['reloads']:.0f}" if samples else "0"),
        ("memory: first sample, largest, last", " / ".join(f"{value} KiB" for value in (
            samples[0]["rss"], max(one["rss"] for one in samples), samples[-1]["rss"])) if samples else ""),
        ("memory: growth over the last half", f"{growth(samples):.0f} KiB"),
        ("descriptors: largest, last, before", proxy_numbers),
    ]
    lines = ["| | |", "|---|---|", *(f"| {name} | {value} |" for name, value in rows), "",
             "| clients | acts | failed |", "|---|---|---|",
             *(f"| {name} | {count} | {good.failed[name]} |" for name, count in sorted(good.done.items())),
             *(f"| {name} (bad) | {count} | |" for name, count in sorted(bad.done.items())), "",
             "Result: " + ("flat memory, no leak, no unexplained error." if not wrong else "; ".join(wrong))]
    return "\n".join(lines) + "\n"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=20)
    parser.add_argument("--report", type=pathlib.Path, help="write the closing table there, as Markdown")
    options = parser.parse_args()
    with contextlib.ExitStack() as stack:
        directory = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="martlet-soak-")))
        pki, proxy = PKI(directory / "pki"), Proxy(directory)
        site = Site(proxy, pki, stack)
        proxy.start(site.documents(0))
        before = descriptors(proxy)
        crowds = (Crowd(soak_clients.good(proxy.port, site.tls_port, pki.client), True),
                  Crowd(soak_clients.bad(proxy.port), False))
        try:
            samples = soak(proxy, site, options.minutes, crowds)
            hanging = [thread for crowd in crowds for thread in crowd.stop()]
            wrong = verdict(proxy, samples, crowds, before, hanging)
            last = descriptors(proxy) if proxy.process.poll() is None else "?"
        finally:
            ending = None
            try:
                proxy.stop()
            except AssertionError as error:
                ending = str(error)[:1000]
        if ending:
            wrong.append(ending)
        numbers = f"{max((one['fds'] for one in samples), default='?')} / {last} / {before}"
        text = table(samples, crowds, numbers, wrong)
        print("\n" + text, flush=True)
        if options.report:
            options.report.write_text(text)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
