"""`martlet-proxy run … -- CMD`: the proxy is ready before its service starts, passes signals on, and ends with it."""
import json
import os
import signal
import sys
import threading
import time

import pytest
from harness.config import MARTLET_API, document
from harness.http1 import fetch
from harness.load import HTTP1, Load
from harness.plane import service, settings, workload
from harness.ports import free_port
from harness.proxy import CRASH

# A service that writes down what happens to it. /hold waits until the file `release` is there.
SERVICE = r"""
import http.server, json, os, pathlib, signal, socketserver, sys, threading, time, urllib.request
port, directory, ending = int(sys.argv[1]), pathlib.Path(sys.argv[2]), sys.argv[3]
record = os.open(directory / "record", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
def say(**what):
    os.write(record, (json.dumps(what) + "\n").encode())
def signalled(number, _):
    say(signal=signal.Signals(number).name)
    if number in (signal.SIGTERM, signal.SIGINT) and ending != "ignore":
        os._exit(int(ending))
for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2):
    signal.signal(number, signalled)
def ready():
    try:
        return urllib.request.urlopen(f"http://{os.environ['MARTLET_ADMIN']}/ready", timeout=5).status
    except Exception as error:
        return repr(error)
def outbound():
    try:
        request = urllib.request.Request(f"http://{os.environ['MARTLET_OUTBOUND']}/", headers={"host": "nobody"})
        return urllib.request.urlopen(request, timeout=5).status
    except urllib.error.HTTPError as error:
        return error.code
    except Exception as error:
        return repr(error)
say(started=os.getpid(), group=os.getpgrp(), ready=ready(), outbound=outbound(), environment=dict(os.environ))
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        if self.path == "/hold":
            say(request="begun")
            while not (directory / "release").exists():
                time.sleep(0.01)
            say(request="done")
        body = str(os.getpid()).encode()
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *_):
        pass
class Server(socketserver.ThreadingMixIn, http.server.HTTPServer):
    daemon_threads, request_queue_size = True, 128
Server(("127.0.0.1", port), Handler).serve_forever()
"""


class Service:
    """What a proxy runs, and what it wrote down."""

    def __init__(self, directory, ending="0"):
        directory.mkdir(exist_ok=True)
        self.directory, self.port, self.ending = directory, free_port(), ending
        (directory / "service.py").write_text(SERVICE)

    @property
    def command(self):
        return [sys.executable, self.directory / "service.py", self.port, self.directory, self.ending]

    def record(self):
        path = self.directory / "record"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    def has(self, **what):
        return what in self.record()

    def signals(self):
        return [line["signal"] for line in self.record() if "signal" in line]

    def release(self):
        (self.directory / "release").touch()


def shop(*more):
    return [settings(), service("web"), service("orders"), workload("web", "orders"), workload("orders"), *more]


def drain(seconds):
    return document(MARTLET_API, "ProxySettings", "all", {"drainTimeout": f"{seconds}s"}, "shop")


@pytest.fixture
def running(mesh, tmp_path):
    """A control plane, and orders with a service of its own: (plane, orders, service)."""
    def start(*documents, ending="0", arguments=("--drain-delay", "0")):
        plane = mesh.control(shop(*documents))
        served = Service(tmp_path / "service", ending)
        orders = mesh.sidecar("shop/orders", *arguments, app=served.port, command=served.command)
        orders.wait(lambda: served.record() and fetch(served.port).status == 200, "running its service")
        return plane, orders, served
    return start


def caller(mesh, plane):
    web = mesh.sidecar("shop/web")
    plane.wait_for("orders-1", "web-1")
    web.wait(lambda: web.call("orders").status == 200, "able to call orders")
    return web


def ended(proxy, seconds=20):
    """The exit code of a proxy that ends by itself, well."""
    proxy.is_expected_to_end = True
    code = proxy.process.wait(seconds)
    assert not CRASH.search(proxy.log()), proxy.log()[-4000:]
    return code


def is_running(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


# ------------------------------------------------------------------ the start

def test_the_proxy_is_ready_before_the_service_starts(running):
    _, orders, served = running()
    first = served.record()[0]
    assert first["ready"] == 200
    assert first["outbound"] == 404, "the service can call through the proxy, which knows nobody of that name"
    assert first["group"] == first["started"] != orders.process.pid


def test_the_service_knows_the_proxy_but_not_its_token(running):
    _, orders, served = running()
    environment = served.record()[0]["environment"]
    assert environment["MARTLET_INSTANCE"] == "orders-1" and environment["MARTLET_ROLE"] == "workload:shop/orders"
    assert environment["MARTLET_OUTBOUND"] == f"127.0.0.1:{orders.outbound}"
    assert environment["MARTLET_ADMIN"] == f"127.0.0.1:{orders.admin_port}"
    assert environment["PATH"] == os.environ["PATH"]
    assert "MARTLET_TOKEN" not in environment and not any("mt1." in value for value in environment.values())
    assert "mt1." not in orders.log()


def test_the_service_is_not_started_before_there_is_a_configuration(mesh, tmp_path):
    plane = mesh.control(shop()[:-1] + [workload("other")])
    served = Service(tmp_path / "service")
    orders = mesh.proxy("workload:shop/orders")
    token = plane.token("workload:shop/web")  # of another workload: refused
    orders.start(app=served.port, command=served.command, token=token, ready=False)
    assert ended(orders) == 2
    assert not served.record()


@pytest.mark.parametrize("command, code, reason", [
    (["/nowhere/at-all"], 127, "No such file"), (["no-such-program-anywhere"], 127, "No such file"),
    (["/etc/passwd"], 126, "Permission denied"), (["/tmp"], 126, "Permission denied")])
def test_what_cannot_be_started_is_said(mesh, command, code, reason):
    mesh.control(shop())
    orders = mesh.proxy("workload:shop/orders")
    orders.start(app=free_port(), command=command, ready=False)
    assert ended(orders) == code
    assert f"{command[0]}: cannot be started" in orders.log() and reason in orders.log()


# ------------------------------------------------------------------ the service ends

@pytest.mark.parametrize("script, code", [
    ("exit 0", 0), ("exit 3", 3), ("exit 255", 255), ("kill -TERM $$", 143), ("kill -KILL $$", 137), ("kill -SEGV $$", 139)])
def test_the_exit_code_is_that_of_the_service(mesh, script, code):
    plane = mesh.control(shop())
    orders = mesh.proxy("workload:shop/orders")
    orders.start(app=free_port(), command=["sh", "-c", script], ready=False)
    assert ended(orders) == code
    plane.wait(lambda: plane.proxies()["orders-1"]["sync"] == "disconnected", "aware that it is gone")


def test_a_service_that_ends_takes_its_instance_with_it(running, mesh):
    plane, orders, served = running(ending="7")
    web = caller(mesh, plane)
    os.kill(served.record()[0]["started"], signal.SIGTERM)
    assert ended(orders) == 7
    plane.wait(lambda: plane.proxies()["orders-1"]["sync"] == "disconnected", "aware that it is gone")
    web.wait(lambda: web.call("orders").status == 503, "aware that there is nobody")


def test_a_child_of_the_service_that_ends_is_not_taken_for_it(mesh, tmp_path):
    mesh.control(shop())
    orders = mesh.proxy("workload:shop/orders")
    go = tmp_path / "go"
    script = f"(sh -c 'exit 9' &) ; sh -c 'exit 8'; until [ -e {go} ]; do sleep 0.05; done; exit 4"
    orders.start("--drain-delay", "0", app=free_port(), command=["sh", "-c", script])
    orders.wait(lambda: "started sh" in orders.log(), "running its service")
    go.touch()
    assert ended(orders) == 4


# ------------------------------------------------------------------ signals

@pytest.mark.parametrize("name", ["SIGHUP", "SIGUSR1", "SIGUSR2"])
def test_signals_for_the_service_are_passed_on(running, name):
    _, orders, served = running()
    for count in (1, 2):
        orders.process.send_signal(getattr(signal, name))
        orders.wait(lambda: len(served.signals()) >= count, f"passing on {name}")
    assert served.signals() == [name, name]
    assert orders.admin("/ready")[0] == 200


def test_without_a_service_they_end_nothing(mesh):
    mesh.control(shop())
    web = mesh.sidecar("shop/web")
    for number in (signal.SIGUSR1, signal.SIGUSR2, signal.SIGHUP):
        web.process.send_signal(number)
    web.wait(lambda: web.admin("/ready")[0] == 200, "still there")
    assert web.stop() == 0


@pytest.mark.parametrize("name, ending", [("SIGTERM", 0), ("SIGINT", 0), ("SIGTERM", 5)])
def test_the_end_is_passed_on_and_waited_for(running, name, ending):
    _, orders, served = running(ending=str(ending))
    orders.process.send_signal(getattr(signal, name))
    assert ended(orders) == ending
    assert served.signals() == [name]
    assert not is_running(served.record()[0]["started"])


def test_the_end_reaches_what_the_service_has_started(mesh, tmp_path):
    mesh.control(shop())
    orders = mesh.proxy("workload:shop/orders")
    inner = tmp_path / "inner"
    script = f"sh -c 'trap \"echo told > {inner}; exit 0\" TERM; touch {inner}; while :; do sleep 0.05; done' & wait; wait"
    orders.start("--drain-delay", "0", app=free_port(), command=["sh", "-c", script])
    orders.wait(inner.exists, "running its service")
    orders.process.send_signal(signal.SIGTERM)
    assert ended(orders) == 143
    deadline = time.monotonic() + 10
    while inner.read_text() != "told\n":
        assert time.monotonic() < deadline, "not told"
        time.sleep(0.02)


def test_requests_in_flight_are_answered_before_the_service_is_told(running, mesh):
    plane, orders, served = running()
    web = caller(mesh, plane)
    answers = []
    asking = threading.Thread(target=lambda: answers.append(web.call("orders", "/hold").status), daemon=True)
    asking.start()
    orders.wait(lambda: served.has(request="begun"), "serving the request")
    orders.process.send_signal(signal.SIGTERM)
    plane.wait(lambda: plane.proxies()["orders-1"]["readiness"] == "draining", "aware that it drains")
    # Callers have been told and the listeners are gone; the service has not heard of it.
    web.wait(lambda: web.call("orders").status == 503, "aware that there is nobody")
    assert served.signals() == [] and asking.is_alive()
    served.release()
    assert ended(orders) == 0
    asking.join(10)
    assert answers == [200]
    what = [line for line in served.record() if "request" in line or "signal" in line]
    assert what == [{"request": "begun"}, {"request": "done"}, {"signal": "SIGTERM"}]


def test_no_request_is_lost_when_one_of_two_ends(running, mesh, tmp_path):
    plane, orders, _ = running(arguments=())
    other = Service(tmp_path / "other")
    second = mesh.sidecar("shop/orders", app=other.port, command=other.command)
    second.wait(lambda: other.record() and fetch(other.port).status == 200, "running its service")
    plane.wait_for("orders-2")
    web = caller(mesh, plane)
    with Load(lambda: HTTP1(web.outbound, name="orders"), threads=4) as load:
        web.wait(lambda: len(load.bodies) == 2, "served by both")
        orders.process.send_signal(signal.SIGTERM)
        assert ended(orders) == 0
        done = load.done
        web.wait(lambda: load.done > done + 100, "served by the other")
    assert not load.failures, load.failures[:3]


def test_a_service_that_does_not_end_is_killed(running):
    _, orders, served = running(drain(1), ending="ignore")
    orders.process.send_signal(signal.SIGTERM)
    assert ended(orders) == 137
    assert served.signals() == ["SIGTERM"]
    assert "killing it" in orders.log()
    assert not is_running(served.record()[0]["started"])


def test_a_second_signal_ends_both_at_once(running, mesh):
    plane, orders, served = running(drain(60))
    web = caller(mesh, plane)
    threading.Thread(target=lambda: web.call("orders", "/hold"), daemon=True).start()
    orders.wait(lambda: served.has(request="begun"), "serving the request")
    orders.process.send_signal(signal.SIGTERM)
    orders.wait(lambda: "draining for" in orders.log(), "draining")
    orders.process.send_signal(signal.SIGTERM)
    assert ended(orders) in (-signal.SIGTERM, 143)
    deadline = time.monotonic() + 10
    while is_running(served.record()[0]["started"]):
        assert time.monotonic() < deadline, "the service goes on"
        time.sleep(0.02)


def test_a_killed_proxy_takes_its_service_with_it(running):
    _, orders, served = running()
    orders.is_expected_to_end = True
    os.kill(orders.process.pid, signal.SIGKILL)
    orders.process.wait()
    deadline = time.monotonic() + 10
    while is_running(served.record()[0]["started"]):
        assert time.monotonic() < deadline, "the service goes on"
        time.sleep(0.02)
    assert served.signals() == ["SIGTERM"]


def test_the_service_starts_again_with_the_control_plane_down(running):
    plane, orders, served = running()
    orders.stop()
    plane.kill()
    (served.directory / "record").unlink()
    orders.again()
    orders.wait(lambda: served.record(), "running its service again")
    assert served.record()[0]["ready"] == 200
