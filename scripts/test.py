#!/usr/bin/env python3
"""Runs all tests and closes with one line: N passed, N failed.

Unit tests run on the debug build, with all of Swift's checks on; end-to-end tests run on the release build, which is
what people use. Each step streams its output. The exit code is 0 only if every step succeeded and tests ran in each.
"""
import argparse
import os
import pathlib
import shlex
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ElementTree

ROOT = pathlib.Path(__file__).resolve().parent.parent


def step(name, command, **environment):
    """Runs command; true if it succeeded."""
    print(f"\n== {name}: {shlex.join(command)}", flush=True)
    started = time.monotonic()
    code = subprocess.run(
        command, cwd=ROOT, env={**os.environ, **environment}, stdin=subprocess.DEVNULL).returncode
    took = time.monotonic() - started
    print(f"== {name}: {'done' if code == 0 else f'failed, exit code {code}'} after {took:.0f} s", flush=True)
    return code == 0


def counts(paths):
    """(passed, failed) over JUnit files; errors count as failed, skipped tests as neither."""
    passed = failed = 0
    for path in paths:
        if not path.exists() or path.stat().st_size == 0:
            continue
        for case in ElementTree.parse(path).iter("testcase"):
            kinds = {child.tag for child in case}
            if kinds & {"failure", "error"}:
                failed += 1
            elif "skipped" not in kinds:
                passed += 1
    return passed, failed


def main():
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--swift-flags", default="", help="flags of swift test")
    arguments.add_argument("--release-flags", default="-c release", help="flags of the release build")
    options = arguments.parse_args()
    reports = pathlib.Path(tempfile.mkdtemp(prefix="martlet-tests-"))
    unit, end_to_end = reports / "unit.xml", reports / "end-to-end.xml"

    results = []  # (step succeeded, passed, failed)
    fine = step("unit tests", ["swift", "test", *shlex.split(options.swift_flags), "--xunit-output", str(unit)])
    # XCTest's report is FILE, Swift Testing's stands beside it.
    results.append((fine, *counts([unit, unit.with_name("unit-swift-testing.xml")])))
    built = step("release build", ["swift", "build", *shlex.split(options.release_flags)])
    if built:
        fine = step(
            "end-to-end tests",
            [sys.executable, "-m", "pytest", "Tests/EndToEnd", f"--junitxml={end_to_end}"],
            MARTLET_BIN=str(ROOT / ".build/release"))
        results.append((fine, *counts([end_to_end])))
    else:
        results.append((False, 0, 0))

    passed = sum(result[1] for result in results)
    # A step that broke before it could name a failed test (a build error, a crash, no tests at all) is one failure.
    failed = sum(max(result[2], 0 if result[0] and result[1] else 1) for result in results)
    print(f"\n{passed} passed, {failed} failed", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
