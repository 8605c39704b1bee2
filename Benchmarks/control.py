#!/usr/bin/env python3
"""The control plane under 2,000 sidecars: how quickly changes reach them, and what it costs.

Starts martlet-control with 1,000 services, each with a Workload that calls ten others and one that all call, and two
sidecars of each. The sidecars are simulated, but everything they say is real: mutual TLS with a certificate of their own,
delta discovery with acknowledgements, a report that they are ready. Then routes and endpoints change, one after the other.

A change converges when every sidecar that has it in scope has acknowledged it; the time runs from the request to the API,
or from the report of an instance, to the moment at which the last of them has it in its hands.
"""
import argparse
import json
import multiprocessing
import os
import pathlib
import random
import resource
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request

from harness.processes import cpu_seconds, end, require_free, resident_kib, spawn
from harness.sidecars import TYPES, simulate
from harness.site import ROOT

ROUTE, ENDPOINTS = TYPES[8], TYPES[3]
PORT, API = 15910, 15920
CALLS = 10
BARS = (("one route of a service, p99", "route", 1000, "ms"), ("one route that all have, p99", "hot", 1000, "ms"),
        ("one endpoint, p99", "endpoint", 250, "ms"), ("memory", "rss", 300, "MiB"), ("CPU while idle", "idle", 1, "%"))


def options():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--services", type=int, default=1000)
    parser.add_argument("--instances", type=int, default=2, help="sidecars per service")
    parser.add_argument("--changes", type=int, default=30, help="changes of each kind")
    parser.add_argument("--processes", type=int, default=2, help="that simulate the sidecars")
    parser.add_argument("--report-interval", type=float, default=5, metavar="S", help="0: sidecars report no traffic")
    parser.add_argument("--json", type=pathlib.Path, metavar="FILE")
    return parser.parse_args()


# ---------------------------------------------------------------- the configuration

def callees(number, count):
    """The services that service `number` calls: the same in every run."""
    return sorted(random.Random(number).sample([other for other in range(1, count) if other != number], min(CALLS, count - 2)))


def route(number, value):
    return f"""apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {{name: s{number}, namespace: bench}}
spec:
  parentRefs: [{{group: "", kind: Service, name: s{number}}}]
  rules:
  - filters: [{{type: RequestHeaderModifier, requestHeaderModifier: {{set: [{{name: x-change, value: "{value}"}}]}}}}]
    backendRefs: [{{name: s{number}, port: 80}}]
"""


def configuration(count):
    parts = ["apiVersion: martlet.dev/v1alpha1\nkind: Mesh\nmetadata: {name: default}\nspec: {trustDomain: bench.mesh}\n"]
    for number in range(count):
        backends = ", ".join(f"{{service: s{other}}}" for other in [0, *callees(number, count)] if other != number)
        parts.append(f"apiVersion: v1\nkind: Service\nmetadata: {{name: s{number}, namespace: bench}}\n"
                     "spec: {ports: [{name: http, port: 80}]}\n")
        parts.append(f"apiVersion: martlet.dev/v1alpha1\nkind: Workload\nmetadata: {{name: s{number}, namespace: bench}}\n"
                     f"spec: {{backends: [{backends}]}}\n")
        parts.append(route(number, 0))
    return "---\n".join(parts)


# ---------------------------------------------------------------- the API

class Plane:
    def __init__(self, data):
        self.token = (data / "admin-token").read_text().strip()

    def call(self, method, path, body=None):
        request = urllib.request.Request(
            f"http://127.0.0.1:{API}{path}", method=method, data=None if body is None else json.dumps(body).encode(),
            headers={"authorization": f"Bearer {self.token}", "content-type": "application/json"})
        with urllib.request.urlopen(request, timeout=120) as response:
            return json.loads(response.read() or b"null")

    def apply(self, text, message="bench"):
        result = self.call("POST", "/v1/apply", {
            "files": [{"name": "bench.yaml", "text": text}], "dryRun": False, "author": "bench", "message": message})
        if not result["isAccepted"]:
            raise RuntimeError(f"not accepted: {result['diagnostics'][:3]}")


# ---------------------------------------------------------------- simulated sidecars

class Sidecars:
    """The processes with the sidecars."""

    def __init__(self, chosen, tokens, root):
        context = multiprocessing.get_context("spawn")
        self.pipes, self.processes = [], []
        for number in range(chosen.processes):
            ours, theirs = context.Pipe()
            self.pipes.append(ours)
            self.processes.append(context.Process(
                target=simulate, daemon=True, args=(chosen, number, tokens, root, PORT, theirs)))
            self.processes[-1].start()
        self.count = sum(self.answers(600))

    def answers(self, seconds=60):
        for pipe in self.pipes:
            if not pipe.poll(seconds):
                raise RuntimeError("the simulated sidecars do not answer")
            answer = pipe.recv()
            if isinstance(answer, Exception):
                raise answer
            yield answer

    def tell(self, *command):
        for pipe in self.pipes:
            pipe.send(command)
        return list(self.answers())

    def wait(self, expected, begun, seconds=30):
        """Milliseconds from begun to the last of `expected` receipts."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            times = sorted(moment for moments in self.tell("times") for moment in moments)
            if len(times) >= expected:
                return (times[expected - 1] - begun) * 1000
            time.sleep(0.05)
        raise RuntimeError(f"only {len(times)} of {expected} sidecars have it after {seconds} s")

    def cost(self):
        """(CPU seconds, responses) so far."""
        costs = self.tell("cost")
        return sum(cpu for cpu, _ in costs), sum(responses for _, responses in costs)

    def end(self):
        for pipe in self.pipes:
            pipe.send(("end",))
        for process in self.processes:
            process.join(5)
            process.kill()


# ---------------------------------------------------------------- the measurement

def say(text):
    if sys.stderr.isatty():
        print(f"\r\033[K{text}", end="", file=sys.stderr, flush=True)


def callers(service, chosen):
    """How many sidecars have `service` in their scope: those of services that call it."""
    return chosen.instances * sum(service in callees(number, chosen.services) for number in range(chosen.services) if number != service)


def percentile(values, share):
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


def measure(chosen, plane, process, crowd):
    figures, found = {}, {"route": [], "hot": [], "endpoint": []}
    rng = random.Random(1)
    for number in range(chosen.changes):
        say(f"route changes {number + 1}/{chosen.changes}")
        for kind, service in (("route", rng.randrange(1, chosen.services)), ("hot", 0)):
            marker = f"{kind}-{number}-{os.getpid()}"
            expected = callers(service, chosen) if service else chosen.instances * (chosen.services - 1)
            crowd.tell("watch", ROUTE, marker.encode())
            begun = time.monotonic()
            plane.apply(route(service, marker))
            found[kind].append(crowd.wait(expected, begun))
    for number in range(chosen.changes):
        say(f"endpoint changes {number + 1}/{chosen.changes}")
        service = rng.randrange(1, chosen.services)
        port = 41000 + number
        # The port as a protobuf varint of HostPort.port (field 2): what the encoded endpoint has in it.
        varint = bytes([0x10, port & 0x7F | 0x80, port >> 7 & 0x7F | 0x80, port >> 14])
        crowd.tell("watch", ENDPOINTS, varint)
        begun = time.monotonic()
        crowd.tell("port", f"s{service}-0", port)
        found["endpoint"].append(crowd.wait(callers(service, chosen), begun))
    for kind, values in found.items():
        figures[kind] = percentile(values, 0.99)
        figures[f"{kind}-median"] = statistics.median(values)
    say("idle")
    time.sleep(5)
    used = cpu_seconds(process)
    time.sleep(20)
    figures["idle"] = (cpu_seconds(process) - used) / 20 * 100
    figures["rss"] = resident_kib(process) / 1024
    return figures


def main():
    chosen = options()
    resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
    binary = pathlib.Path(os.environ.get("MARTLET_BIN", ROOT / ".build/release")) / "martlet-control"
    with tempfile.TemporaryDirectory(prefix="martlet-control-bench-") as directory:
        directory = pathlib.Path(directory)
        data, log = directory / "data", directory / "log"
        process = spawn([str(binary), "serve", "--data", str(data), "--listen", f"127.0.0.1:{PORT}", "--api",
                         f"127.0.0.1:{API}", "--trust-domain", "bench.mesh"], "0,1", str(log))
        crowd = None
        try:
            for _ in range(200):
                try:
                    urllib.request.urlopen(f"http://127.0.0.1:{API}/ready", timeout=2)
                    break
                except OSError:
                    time.sleep(0.1)
            plane = Plane(data)
            begun = time.monotonic()
            plane.apply(configuration(chosen.services), "the whole bench")
            applied = time.monotonic() - begun
            tokens = [plane.call("POST", "/v1/tokens", {
                "role": f"workload:bench/s{number}", "lifetimeSeconds": 3600, "uses": chosen.instances, "author": "bench"})["secret"]
                for number in range(chosen.services)]
            root = plane.call("GET", "/v1/identity/bundle")["pem"]
            begun = time.monotonic()
            crowd = Sidecars(chosen, tokens, root)
            joined = time.monotonic() - begun
            time.sleep(10)
            figures = measure(chosen, plane, process, crowd) | {"applied": applied, "joined": joined, "sidecars": crowd.count}
        except Exception:
            print(log.read_text(errors="replace")[-3000:], file=sys.stderr)
            raise
        finally:
            if crowd:
                crowd.end()
            end(process)
    say("")
    print(f"{chosen.services} services, {figures['sidecars']} sidecars; all objects applied in {figures['applied']:.2f} s, "
          f"all sidecars joined in {figures['joined']:.1f} s")
    for name, key, bar, unit in BARS:
        median = f"  median {figures[f'{key}-median']:.0f}" if f"{key}-median" in figures else ""
        print(f"{name:34} {figures[key]:8.1f} {unit:4} bar {bar:5} {'met' if figures[key] <= bar else 'MISSED'}{median}")
    if chosen.json:
        chosen.json.write_text(json.dumps(figures, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
