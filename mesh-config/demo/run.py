#!/usr/bin/env python3
"""`make demo`: a gateway before services in Python, Node and C, with real traffic from clients that others wrote.

Prints what went where. Exit code: 0 everything came as it should, 1 something did not, 2 the demo cannot run here.
DEMO_STAY=1 keeps everything up until Ctrl-C. MARTLET_BIN names the folder of another build than .build/release.
"""
import os
import pathlib
import shutil
import signal
import sys
import tempfile
import time

from driver import checks, services
from driver.processes import Processes, Unable
from driver.site import Site, check_tools
from driver.terminal import Terminal

DRAIN_SECONDS = 15


def main():
    terminal = Terminal()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    directory = None
    try:
        check_tools()
        directory = pathlib.Path(tempfile.mkdtemp(prefix="martlet-demo-"))
        is_fine = run(terminal, Site(directory))
    except Unable as problem:
        terminal.line()
        terminal.line(f"  {terminal.paint('demo:', 'red')} {problem}")
        return 2
    except KeyboardInterrupt:
        terminal.line(f"  {terminal.paint('interrupted', 'yellow')}")
        return 130
    finally:
        if directory:
            shutil.rmtree(directory, ignore_errors=True)
    return 0 if is_fine else 1


def run(terminal, site):
    """Everything from the first process to the last; true if all was fine."""
    started = time.monotonic()
    terminal.line()
    terminal.line(f"  {terminal.paint('Martlet', 'bold')}  a gateway before services in Python, Node and C")
    processes = Processes(site.logs)
    try:
        gateway = start(terminal, site, processes)
        asker = checks.Asker(site)
        failures = ask(terminal, asker, gateway)
        print_counts(terminal, asker)
        if failures:
            print_log(terminal, gateway)
        seconds = time.monotonic() - started
        if os.environ.get("DEMO_STAY") not in (None, "", "0"):
            stay(terminal, site, processes)
        failures += stop(terminal, gateway)
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # what was started is ended, however impatient somebody is
        processes.stop_all()
    summarise(terminal, failures, len(checks.checks(asker)) + 1, seconds)
    return failures == 0


def start(terminal, site, processes):
    """Starts the services and the gateway; returns the gateway when everything is ready."""
    terminal.heading("what runs")
    with terminal.working("making certificates and compiling the service in C"):
        site.make_certificates()
        site.compile_catalog()
    running = [(service, services.start(service, site, processes)) for service in services.services(site)]
    for service, process in running:
        port = site.ports[service.port]
        with terminal.working(f"waiting for {service.name}"):
            services.wait(process, port)
        row(terminal, True, service.name, f"{service.language}, {service.protocol}", f"127.0.0.1:{port}")
    with terminal.working("waiting for martlet"):
        gateway = services.start_gateway(site, processes)
    row(terminal, True, "martlet", "Swift, the gateway", f"{site.http}  {site.https}")
    for port, used in site.moved.items():
        terminal.line(f"          {terminal.paint(f'port {port} is taken on this machine: {used} instead', 'yellow')}")
    return gateway


def ask(terminal, asker, gateway):
    """Runs every check and prints it; returns how many failed."""
    terminal.heading("what was asked, and who answered")
    todo = checks.checks(asker)
    failures = 0
    while todo:
        check = todo.pop(0)
        with terminal.working(f"{check.client}  {check.request}"):
            result, problem = attempt(check)
        row(terminal, problem is None, check.client, check.request, result)
        if problem:
            terminal.reason(problem)
            failures += 1
        if gateway.code is not None:
            terminal.reason(f"martlet has ended ({ending(gateway.code)}): {len(todo)} more checks not made")
            return failures + len(todo)
    return failures


def attempt(check):
    """(what came of a check, None) or ("", what was wrong)."""
    try:
        return check.run(), None
    except checks.Failed as failure:
        return "", str(failure)
    except Exception as error:  # an answer so odd that the check itself trips over it
        return "", f"{type(error).__name__}: {error}"


def ending(code):
    """An exit code in words."""
    return f"exit code {code}" if code >= 0 else f"signal {-code}"


def row(terminal, is_fine, first, second, third):
    terminal.row(is_fine, (first, 20), (second, 32), (third, 0))


def print_counts(terminal, asker):
    """What went where: the split by weight as bars, and answers by service."""
    total = asker.split.total()
    if total:
        low, high = checks.bounds()
        terminal.heading(f"{total} requests to /cart, by weight")
        for name, wanted, note in [("cart-v1", 1 - checks.NEW_SHARE, ""),
                                   ("cart-v2", checks.NEW_SHARE, f", {low} to {high} accepted")]:
            share = asker.split[name] / total
            terminal.line(f"          {name}  {terminal.bar(share)}  {asker.split[name]:3}  {share:6.1%}"
                          f"   {terminal.paint(f'weight {wanted * 100:.0f}{note}', 'dim')}")
    terminal.heading("answers by service")
    answers = [f"{name} {count}" for name, count in sorted(asker.counts.items())]
    terminal.line(f"          {'   '.join(answers) or 'none'}")


def print_log(terminal, gateway):
    terminal.heading("the gateway's last words")
    for line in gateway.last_words().splitlines():
        terminal.line(f"          {line}")


def stay(terminal, site, processes):
    """Shows what to try, and returns at Ctrl-C."""
    trust = f"--cacert {site.authority}"
    terminal.heading("try it")
    for line in [
        f"curl {site.http}/catalog/42",
        f"curl {site.http}/cart                     # again and again: one in ten is cart-v2",
        f"curl -H 'x-beta: 1' {site.http}/cart      # always cart-v2",
        f"curl --http2 {trust} {site.https}/stock/tea",
        f"curl -L {trust} {site.http}/account",
        f"{sys.executable} -m websockets ws://localhost:{site.ports[8080]}/chat",
        f"$EDITOR {site.configuration}/routes.yaml   # saved changes are served at once",
        f"curl http://127.0.0.1:{site.admin}/metrics",
    ]:
        terminal.line(f"          {line}")
    terminal.line()
    terminal.line(f"  {terminal.paint('running until Ctrl-C', 'bold')}")
    try:
        while not (ended := processes.ended()):
            time.sleep(0.2)
    except KeyboardInterrupt:
        terminal.line()
        return
    raise Unable(f"{ended.name} ended by itself with {ending(ended.code)}:\n{ended.last_words()}")


def stop(terminal, gateway):
    """Ends the gateway as an operator does; returns how many failures that makes."""
    terminal.heading("the end")
    with terminal.working("waiting for martlet to drain"):
        code = gateway.stop(DRAIN_SECONDS)
    row(terminal, code == 0, "SIGTERM", "martlet drains and ends", ending(code))
    if code != 0:
        terminal.reason(gateway.last_words())
    return 0 if code == 0 else 1


def summarise(terminal, failures, total, seconds):
    text = f"{total} checks, all ok" if failures == 0 else f"{failures} of {total} checks FAILED"
    terminal.line()
    terminal.line(f"  {terminal.paint(text, 'red' if failures else 'green')}  in {seconds:.1f} s")
    terminal.line()


if __name__ == "__main__":
    sys.exit(main())
