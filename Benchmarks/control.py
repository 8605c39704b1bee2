#!/usr/bin/env python3
"""The control plane under 2,000 sidecars: how quickly changes reach them, and what it costs.

Starts martlet-control with 1,000 services, each with a Workload that calls ten others and one that all call, and two
sidecars of each. The sidecars are simulated, but everything they say is real: mutual TLS with a certificate of their own,
delta discovery with acknowledgements, a report that they are ready. Then routes and endpoints change, one after the other.

A change converges when every sidecar that has it in scope has acknowledged it; the time runs from the request to the API,
or from the report of an instance, to the moment at which the last of them has it in its hands.
"""
import argparse
import asyncio
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
import urllib.request

import grpc
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from harness.processes import cpu_seconds, end, resident_kib, spawn
from harness.site import ROOT

# Not by its path below proto: `envoy` is also the name of the Python package that brings Envoy.
sys.path[:0] = [str(ROOT / "proto"), str(ROOT / "proto/envoy/service/discovery/v3")]
discovery, discovery_services = grpc.protos_and_services("discovery.proto")
control, control_services = grpc.protos_and_services("martlet/v1/control.proto")

TYPES = [f"type.googleapis.com/martlet.v1.{name}" for name in (
    "TrustBundle", "MeshSettings", "MeshBackend", "EndpointSet", "AccessPolicy", "MeshService", "Workload", "MeshGateway",
    "AttachedRoute")]
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
    parser.add_argument("--processes", type=int, default=4, help="that simulate the sidecars")
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
        result = self.call("POST", "/v1/objects", {
            "files": [{"name": "bench.yaml", "text": text}], "dryRun": False, "author": "bench", "message": message})
        if not result["isAccepted"]:
            raise RuntimeError(f"not accepted: {result['diagnostics'][:3]}")


# ---------------------------------------------------------------- simulated sidecars

def request_for(key):
    name = x509.Name([])
    signed = x509.CertificateSigningRequestBuilder().subject_name(name).sign(key, hashes.SHA256())
    return signed.public_bytes(serialization.Encoding.DER)


class Sidecar:
    """One instance: joins, subscribes to everything in its scope, acknowledges, and notes when what it waits for came."""

    def __init__(self, service, instance, token, root, seen):
        self.role = f"workload:bench/s{service}"
        self.service, self.instance, self.token, self.root, self.seen = service, f"s{service}-{instance}", token, root, seen
        self.port = 20000 + service % 20000

    async def join(self):
        key = ec.generate_private_key(ec.SECP256R1())
        options_ = [("grpc.ssl_target_name_override", "localhost"), ("grpc.use_local_subchannel_pool", 1)]
        anonymous = grpc.ssl_channel_credentials(self.root)
        async with grpc.aio.secure_channel(f"127.0.0.1:{PORT}", anonymous, options_) as channel:
            signed = await control_services.IdentityStub(channel).Join(control.JoinRequest(
                token=self.token, role=self.role, instance=self.instance, csr=request_for(key)), timeout=60)
        private = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        own = grpc.ssl_channel_credentials(signed.bundle.encode(), private, signed.chain.encode())
        self.channel = grpc.aio.secure_channel(f"127.0.0.1:{PORT}", own, options_)

    async def run(self):
        self.report = control_services.ReportingStub(self.channel).Report()
        hello = control.Hello(role=self.role, instance=self.instance, version="bench", address="127.0.0.1",
                              boot=random.getrandbits(63), time=int(time.time()))
        await self.report.write(control.ReportRequest(hello=hello))
        await self.say_ready(True)
        self.tasks = [asyncio.create_task(self.discover()), asyncio.create_task(self.drain())]

    async def drain(self):
        async for _ in self.report:
            pass

    async def say_ready(self, is_ready):
        state = control.State(readiness=3 if is_ready else 4, ports=[
            control.ServedPort(port=80, inbound_port=self.port, meshed=True)])
        await self.report.write(control.ReportRequest(state=state))

    async def discover(self):
        stream = discovery_services.AggregatedDiscoveryServiceStub(self.channel).DeltaAggregatedResources()
        node = discovery.Node(id=self.instance, cluster=self.role, user_agent_name="bench")
        for number, url in enumerate(TYPES):
            await stream.write(discovery.DeltaDiscoveryRequest(
                node=node if number == 0 else None, type_url=url, resource_names_subscribe=["*"]))
        async for response in stream:
            now = time.monotonic()
            for one in response.resources:
                self.seen(self.instance, response.type_url, one.name, one.resource.value, now)
            await stream.write(discovery.DeltaDiscoveryRequest(type_url=response.type_url, response_nonce=response.nonce))


def simulate(number, chosen, tokens, root, ready, commands, results):
    """One process with its share of the sidecars; reports (kind, key, last time, count) of what it is asked to watch."""
    resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
    asyncio.run(simulated(number, chosen, tokens, root, ready, commands, results))


async def simulated(number, chosen, tokens, root, ready, commands, results):
    watched = {}  # marker: [count, last time]

    def seen(instance, url, name, value, now):
        for (kind, marker), record in watched.items():
            if url == kind and marker in value:
                record[0] += 1
                record[1] = now
                record[2].append(now)

    sidecars = [Sidecar(service, instance, tokens[service], root, seen)
                for service in range(chosen.services) for instance in range(chosen.instances)
                if (service * chosen.instances + instance) % chosen.processes == number]
    by_name = {sidecar.instance: sidecar for sidecar in sidecars}
    limit = asyncio.Semaphore(16)

    async def begin(sidecar):
        async with limit:
            await sidecar.join()
            await sidecar.run()
    await asyncio.gather(*map(begin, sidecars))
    ready.put(len(sidecars))
    loop = asyncio.get_running_loop()
    while True:
        command = await loop.run_in_executor(None, commands.get)
        match command:
            case ("watch", kind, marker):
                watched.clear()
                watched[kind, marker] = [0, 0.0, []]
                results.put("watching")
            case ("count",):
                count, last, times = next(iter(watched.values()))
                results.put((count, last, times))
            case ("port", instance, port):
                if instance in by_name:
                    by_name[instance].port = port
                    await by_name[instance].say_ready(True)
                results.put("said")
            case ("end",):
                return


class Crowd:
    """The processes with the sidecars."""

    def __init__(self, chosen, tokens, root):
        context = multiprocessing.get_context("spawn")
        self.ready = context.Queue()
        self.pairs = [(context.Queue(), context.Queue()) for _ in range(chosen.processes)]
        self.processes = [context.Process(target=simulate, daemon=True, args=(
            number, chosen, tokens, root, self.ready, *self.pairs[number])) for number in range(chosen.processes)]
        for process in self.processes:
            process.start()
        self.count = sum(self.ready.get(timeout=600) for _ in self.processes)

    def tell(self, *command):
        for commands, _ in self.pairs:
            commands.put(command)
        return [results.get(timeout=60) for _, results in self.pairs]

    def wait(self, expected, begun, seconds=20):
        """Milliseconds from begun to the last of `expected` receipts."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            answers = self.tell("count")
            if sum(count for count, _, _ in answers) >= expected:
                times = sorted(moment for _, _, moments in answers for moment in moments)
                return (times[expected - 1] - begun) * 1000
            time.sleep(0.02)
        raise RuntimeError(f"only {sum(count for count, _, _ in answers)} of {expected} sidecars have it after {seconds} s")

    def end(self):
        for commands, _ in self.pairs:
            commands.put(("end",))
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
                         f"127.0.0.1:{API}"], "0,1", str(log))
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
            root = plane.call("GET", "/v1/identity/bundle")["pem"].encode()
            begun = time.monotonic()
            crowd = Crowd(chosen, tokens, root)
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
