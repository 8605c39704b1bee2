#!/usr/bin/env python3
"""The memory of one sidecar that is connected to its control plane.

Starts martlet-control, and for each number of backends a real martlet-proxy that has joined as a Workload which declares
so many; every backend has two endpoints, all of them one small HTTP server. Prints the resident memory of the proxy when
it is ready, after requests to five backends, and from the two largest numbers what one more backend takes.
"""
import argparse
import pathlib
import sys
import tempfile
import time
import urllib.request

from harness import load
from harness.plane import MESH, PORT, Plane, binary
from harness.processes import end, require_free, resident_kib, spawn, wait_for_port

OUTBOUND, ADMIN, APPLICATION = 15930, 15931, 15932
BAR_RSS, BAR_BACKEND = 15, 20

NGINX = """worker_processes 1; daemon off; error_log /dev/null crit; pid {dir}/nginx.pid;
events {{ worker_connections 1024; }}
http {{ access_log off; keepalive_requests 100000000; client_body_temp_path {dir}/a; proxy_temp_path {dir}/b;
 fastcgi_temp_path {dir}/c; uwsgi_temp_path {dir}/d; scgi_temp_path {dir}/e;
 server {{ listen 127.0.0.1:{port}; listen 127.0.0.2:{port}; location / {{ return 200 "{body}"; }} }} }}
"""


def options():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--backends", default="5,10,510", help="numbers of declared backends (default: %(default)s)")
    parser.add_argument("-n", type=int, default=10_000, help="requests")
    return parser.parse_args()


def service(number):
    return f"""---
apiVersion: v1
kind: Service
metadata: {{name: s{number}, namespace: bench}}
spec: {{ports: [{{name: http, port: 80}}]}}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {{name: s{number}, namespace: bench, labels: {{kubernetes.io/service-name: s{number}}}}}
addressType: IPv4
ports: [{{name: http, port: {APPLICATION}}}]
endpoints: [{{addresses: [127.0.0.1]}}, {{addresses: [127.0.0.2]}}]
"""


def workload(count):
    backends = ", ".join(f"{{service: s{number}}}" for number in range(count))
    return f"""---
apiVersion: v1
kind: Service
metadata: {{name: app{count}, namespace: bench}}
spec: {{ports: [{{name: http, port: 80}}]}}
---
apiVersion: martlet.dev/v1alpha1
kind: Workload
metadata: {{name: app{count}, namespace: bench}}
spec: {{backends: [{backends}], outbound: {{address: 127.0.0.1, port: {OUTBOUND}}}}}
"""


def wait_until_ready(process, log):
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline and process.poll() is None:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{ADMIN}/ready", timeout=2):
                return
        except OSError:
            time.sleep(0.05)
    raise RuntimeError(f"martlet-proxy is not ready: {log.read_text(errors='replace')[-1500:]}")


def measure(plane, directory, count, requests):
    """(KiB when ready, KiB after the requests)."""
    log = directory / f"proxy-{count}.log"
    process = spawn(
        [binary("martlet-proxy"), "run", "--control", f"127.0.0.1:{PORT}", "--workload", f"bench/app{count}",
         "--state", str(directory / f"state-{count}"), "--outbound", f"127.0.0.1:{OUTBOUND}", "--admin",
         f"127.0.0.1:{ADMIN}", "--loops", "1", "--port", f"80={APPLICATION}"], "0", str(log),
        {"MARTLET_TOKEN": plane.join_token(f"workload:bench/app{count}")})
    try:
        wait_until_ready(process, log)
        time.sleep(3)
        ready = resident_kib(process)
        done = 0
        for number in range(min(5, count)):
            good, failed, _ = load.h2load("--h1", "-c8", f"-n{requests // 5}", "-H", f":authority: s{number}.bench",
                                          f"http://127.0.0.1:{OUTBOUND}/")
            if failed:
                raise RuntimeError(f"{failed} requests to s{number} failed: {log.read_text(errors='replace')[-1500:]}")
            done += good
        time.sleep(1)
        return ready, resident_kib(process), done
    finally:
        end(process)


def main():
    chosen = options()
    counts = sorted({int(one) for one in chosen.backends.split(",")})
    require_free([OUTBOUND, ADMIN, APPLICATION])
    with tempfile.TemporaryDirectory(prefix="martlet-sidecar-bench-") as name:
        directory = pathlib.Path(name)
        directory.chmod(0o755)
        configuration = directory / "nginx.conf"
        configuration.write_text(NGINX.format(dir=directory, port=APPLICATION, body="x" * 1024))
        application = spawn(["nginx", "-c", str(configuration), "-p", name], "1", str(directory / "nginx.log"))
        try:
            wait_for_port(APPLICATION, application, str(directory / "nginx.log"))
            with Plane(directory) as plane:
                plane.apply(MESH + "".join(map(service, range(counts[-1]))) + "".join(map(workload, counts)))
                found = {count: measure(plane, directory, count, chosen.n) for count in counts}
        finally:
            end(application)
    print(f"| declared backends | RSS when ready | RSS after {next(iter(found.values()))[2]:,} requests |\n|---|---|---|")
    for count, (ready, after, _) in found.items():
        print(f"| {count} | {ready / 1024:.1f} MiB | {after / 1024:.1f} MiB |")
    first = found[counts[0]]
    print(f"\nbar: ≤ {BAR_RSS} MiB with {counts[0]}: {'met' if max(first[:2]) <= BAR_RSS * 1024 else 'missed'}")
    if len(counts) > 1:
        few, many = counts[-2:]
        more = (found[many][0] - found[few][0]) / (many - few)
        print(f"one more declared backend, two endpoints: {more:.1f} KiB; bar ≤ {BAR_BACKEND} KiB: "
              f"{'met' if more <= BAR_BACKEND else 'missed'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
