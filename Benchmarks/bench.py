#!/usr/bin/env python3
"""The same work through Martlet and through the proxies people use today, in one run.

Every proxy gets one worker thread on CPU 0; backends and load generators run on CPU 1. The figure is the proxy's own
user and system CPU time per request (all its processes), from /proc: it holds on noisy machines far better than
throughput does. Still, quote ratios from one run, not absolutes from two. Rounds alternate the proxies, and the value
is the median over the rounds. See harness/peers/__init__.py for what every proxy has to do.
"""
import argparse
import os
import pathlib
import platform
import sys
import time

from harness import load, report
from harness.peers import PEERS
from harness.processes import end, require_free, spawn, wait_for_port
from harness.site import FRONT, Site
from harness.works import WORKS


def options():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="works:\n" + "\n".join(f"  {work.name:10} {work.what}" for work in WORKS.values()))
    parser.add_argument("--work", default=",".join(WORKS), help="comma-separated works (default: all)")
    parser.add_argument("--proxies", default=",".join(PEERS), help="comma-separated proxies (default: all)")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("-n", type=int, default=60000, help="requests per measurement, scaled per work")
    parser.add_argument("--json", type=pathlib.Path, metavar="FILE")
    parser.add_argument("--markdown", type=pathlib.Path, metavar="FILE", help="tables for the README")
    parsed = parser.parse_args()
    parsed.work, parsed.proxies = parsed.work.split(","), parsed.proxies.split(",")
    for name in parsed.work:
        name in WORKS or parser.error(f"unknown work {name}; there are {', '.join(WORKS)}")
    for name in parsed.proxies:
        name in PEERS or parser.error(f"unknown proxy {name}; there are {', '.join(PEERS)}")
    return parsed


def measure(work, peer, site, count):
    """One Sample, or None where the peer cannot do the work."""
    if work.only and peer not in work.only:
        return None
    launch = PEERS[peer](work, site)
    if launch is None:
        return None
    require_free([FRONT])
    started = time.monotonic()
    process = spawn(launch.command, launch.cpu, site.log, launch.environment)
    try:
        if work.name == "start":
            return load.first_request(process, started)
        wait_for_port(FRONT, process, site.log)
        time.sleep(0.3)
        if work.name.startswith("idle"):
            return load.idle(work, process, site)
        if work.name == "adopt":
            return load.adoption(process)
        if work.name.startswith("pair-p"):
            return load.added_latency(work, process, count, site)
        return load.cost(work, process, count, site)
    finally:
        end(process)
        time.sleep(0.2)


def main():
    chosen = options()
    results, errors = {}, []
    with Site() as site:
        for number in range(chosen.rounds):
            for name in chosen.work:
                for peer in chosen.proxies:
                    if sys.stderr.isatty():
                        print(f"\r\033[Kround {number + 1}/{chosen.rounds}: {name} {peer}", end="", file=sys.stderr)
                    try:
                        sample = measure(WORKS[name], peer, site, chosen.n)
                    except Exception as error:  # one proxy's trouble must not cost the others' figures
                        errors.append(f"{name} {peer}: {error}")
                        print(f"\nbench: {errors[-1]}", file=sys.stderr)
                        continue
                    if sample:
                        results.setdefault((name, peer), []).append(sample)
    rows = report.rows(results)
    machine = f"{os.cpu_count()} cores, Linux {platform.release()}, {chosen.rounds} rounds, {time.strftime('%Y-%m-%d')}"
    print("\r\033[K" if sys.stderr.isatty() else "", end="", file=sys.stderr)
    print(report.text(rows))
    if chosen.json:
        chosen.json.write_text(report.as_json(rows, machine))
    if chosen.markdown:
        chosen.markdown.write_text(report.markdown(rows, machine))
    return 1 if errors or not rows else 0


if __name__ == "__main__":
    sys.exit(main())
