#!/usr/bin/env python3
"""The control plane under 2,000 sidecars: how quickly changes reach them, and what it costs.

Starts martlet-control with 1,000 services, each with a Workload that calls ten others and one that all call, and two
sidecars of each. The sidecars are simulated, but everything they say is real: mutual TLS with a certificate of their own,
delta discovery with acknowledgements, a report that they are ready. Then routes and endpoints change, one after the other.

A change converges when every sidecar that has it in scope has received it; the time runs from the request to the API,
or from the report of an instance, to the moment at which the last of them has it in its hands.
"""
import argparse
import contextlib
import json
import multiprocessing
import os
import pathlib
import random
import resource
import statistics
import sys
import tempfile
import time

from harness.plane import MESH, PORT, Plane
from harness.processes import cpu_seconds, resident_kib
from harness.sidecars import TYPES, simulate

ROUTE, ENDPOINTS = TYPES[8], TYPES[3]
CALLS = 10
PAUSE = 0.5  # seconds between changes: what the one before has left to acknowledge is not part of the next
BARS = (("one route changes, about 22 sidecars have it", "route", 1000, "ms"),
        ("one route changes, all have it", "hot", 1000, "ms"), ("one endpoint changes", "endpoint", 250, "ms"),
        ("memory of the control plane", "rss", 300, "MiB"), ("its CPU while idle", "idle", 1, "%"))


def options():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--services", type=int, default=1000)
    parser.add_argument("--instances", type=int, default=2, help="sidecars per service")
    parser.add_argument("--changes", type=int, default=30, help="changes of each kind")
    parser.add_argument("--processes", type=int, default=2, help="that simulate the sidecars")
    parser.add_argument("--report-interval", type=float, default=0, metavar="S",
                        help="between reports of traffic; 0: nothing passes, so that sidecars report nothing")
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
    parts = [MESH]
    for number in range(count):
        backends = ", ".join(f"{{service: s{other}}}" for other in [0, *callees(number, count)] if other != number)
        parts.append(f"apiVersion: v1\nkind: Service\nmetadata: {{name: s{number}, namespace: bench}}\n"
                     "spec: {ports: [{name: http, port: 80}]}\n")
        parts.append(f"apiVersion: martlet.dev/v1alpha1\nkind: Workload\nmetadata: {{name: s{number}, namespace: bench}}\n"
                     f"spec: {{backends: [{backends}]}}\n")
        parts.append(route(number, 0))
    return "---\n".join(parts)


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
            with contextlib.suppress(BrokenPipeError):  # why is what it has sent last
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

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for pipe in self.pipes:
            with contextlib.suppress(BrokenPipeError):
                pipe.send(("end",))
        for process in self.processes:
            process.join(5)
            process.kill()


# ---------------------------------------------------------------- the measurement

def say(text):
    if sys.stderr.isatty():
        print(f"\r\033[K{text}", end="", file=sys.stderr, flush=True)
    elif text:
        print(text, file=sys.stderr, flush=True)


def callers(service, chosen):
    """How many sidecars have `service` in their scope: those of services that call it."""
    return chosen.instances * sum(service in callees(number, chosen.services) for number in range(chosen.services) if number != service)


def percentile(values, share):
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


def measure(chosen, plane, process, crowd):
    figures, found = {}, {"route": [], "hot": [], "endpoint": []}
    simulated, responses = crowd.cost()
    own = cpu_seconds(process)
    rng = random.Random(1)
    for number in range(chosen.changes):
        say(f"route changes {number + 1}/{chosen.changes}")
        for kind, service in (("route", rng.randrange(1, chosen.services)), ("hot", 0)):
            marker = f"{kind}-{number}-{os.getpid()}"
            expected = callers(service, chosen) if service else chosen.instances * (chosen.services - 1)
            crowd.tell("watch", ROUTE, marker.encode())
            time.sleep(PAUSE)
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
        time.sleep(PAUSE)
        begun = time.monotonic()
        crowd.tell("port", f"s{service}-0", port)
        found["endpoint"].append(crowd.wait(callers(service, chosen), begun))
    simulated, responses = (after - before for after, before in zip(crowd.cost(), (simulated, responses)))
    own = cpu_seconds(process) - own
    figures["simulation-share"] = simulated / (simulated + own)
    figures["simulation-us"] = simulated * 1e6 / max(responses, 1)
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


def run(chosen, directory):
    with Plane(directory) as plane:
        say("apply")
        begun = time.monotonic()
        plane.apply(configuration(chosen.services), "the whole bench")
        applied = time.monotonic() - begun
        tokens = [plane.join_token(f"workload:bench/s{number}", chosen.instances) for number in range(chosen.services)]
        root = plane.call("GET", "/v1/identity/bundle")["pem"]
        before = resident_kib(plane.process) / 1024
        say(f"join ({before:.0f} MiB)")
        begun = time.monotonic()
        with Sidecars(chosen, tokens, root) as sidecars:
            joined = time.monotonic() - begun
            say(f"settle ({resident_kib(plane.process) / 1024:.0f} MiB)")
            time.sleep(10)
            say(f"settled ({resident_kib(plane.process) / 1024:.0f} MiB)")
            return measure(chosen, plane, plane.process, sidecars) | {
                "applied": applied, "joined": joined, "rss-before": before, "sidecars": sidecars.count}


def table(chosen, figures):
    """Markdown."""
    lines = [f"{chosen.services:,} services that call {CALLS + 1} others each, {figures['sidecars']:,} simulated sidecars on the "
             f"same {os.cpu_count()} cores: all objects applied in {figures['applied']:.1f} s, all sidecars joined (a certificate for "
             f"each) in {figures['joined']:.1f} s. {chosen.changes} changes of each kind, {PAUSE} s apart. The simulation itself takes "
             f"{figures['simulation-share']:.0%} of the CPU time while changes run, {figures['simulation-us']:.0f} µs per response.", "",
             "| what | p50 | p99 | bar | |", "|---|---|---|---|---|"]
    for name, key, bar, unit in BARS:
        middle = f"{figures[f'{key}-median']:.0f} {unit}" if f"{key}-median" in figures else ""
        lines.append(f"| {name} | {middle} | {figures[key]:.1f} {unit} | ≤ {bar} {unit} | "
                     f"{'met' if figures[key] <= bar else 'missed'} |")
    return "\n".join(lines)


def main():
    chosen = options()
    resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
    with tempfile.TemporaryDirectory(prefix="martlet-control-bench-") as directory:
        figures = run(chosen, pathlib.Path(directory))
    say("")
    print(table(chosen, figures))
    if chosen.json:
        chosen.json.write_text(json.dumps(figures, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
