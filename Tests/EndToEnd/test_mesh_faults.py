"""What a mesh must survive: every fault leaves what serves serving, says what is wrong, and is counted."""
import concurrent.futures
import os
import pathlib
import socket
import ssl
import subprocess
import time

import pytest
from harness.load import HTTP1, Load
from harness.plane import service, settings, workload
from harness.ports import free_port
from harness.proxy import BINARIES
from harness.upstream import answer

RETRY = {"apiVersion": "martlet.dev/v1alpha1", "kind": "TrafficPolicy", "metadata": {"name": "retry", "namespace": "shop"},
         "spec": {"targetRefs": [{"group": "", "kind": "Service", "name": "orders"}], "retryBudget": {"percent": 100, "minConcurrency": 20},
                  "retry": {"attempts": 3, "codes": [502, 503], "on": ["connect-failure", "refused-stream", "reset"]}}}


def shop(*more, **mesh_spec):
    return [settings(**mesh_spec), service("web"), service("orders"), workload("web", "orders"), workload("orders"), RETRY, *more]


@pytest.fixture
def shops(mesh, upstream):
    """A control plane, web, and `count` instances of orders that answer with their number."""
    def start(*arguments, count=1, documents=None):
        plane = mesh.control(documents or shop(), *arguments)
        orders = [mesh.sidecar("shop/orders", app=upstream(lambda *_, body=str(number): answer(body)).port)
                  for number in range(count)]
        web = mesh.sidecar("shop/web")
        plane.wait_for(*(one.instance for one in orders), "web-1")
        web.wait(lambda: web.call("orders").status == 200, "able to call orders")
        return plane, web, orders
    return start


def ask(web, threads=4):
    return Load(lambda: HTTP1(web.outbound, name="orders"), threads=threads)


# ------------------------------------------------------------------ kill -9

def test_killed_control_plane_fails_no_request_and_forgets_nothing(shops):
    plane, web, orders = shops()
    before = plane.json("revisions")
    with ask(web) as load:
        plane.kill()
        web.wait(lambda: load.done > 100, "serving without a control plane")
        plane.start()
        plane.wait_for("orders-1", "web-1")
    assert not load.failures
    assert plane.json("revisions")[0] == before[0]


def test_killed_sidecar_fails_no_request_and_is_taken_out(shops):
    plane, web, orders = shops(count=2)
    with ask(web) as load:
        web.wait(lambda: load.done > 50, "serving")
        orders[0].kill()
        plane.wait(lambda: plane.proxies().get("orders-1", {}).get("sync", "disconnected") == "disconnected", "aware of the loss")
        done = load.done
        web.wait(lambda: load.done > done + 50, "serving from the other instance")
    assert not load.failures, load.failures[:3]
    orders[0].again()
    plane.wait_for("orders-1")


def test_killed_application_is_unready_and_gets_no_traffic(mesh, upstream):
    ready = [{"port": 80, "readiness": {"tcp": {}, "interval": "200ms", "timeout": "150ms", "unhealthyThreshold": 1, "healthyThreshold": 1}}]
    plane = mesh.control([*shop()[:-2], workload("orders", ports=ready), RETRY])
    first, second = upstream(lambda *_: answer("first")), upstream(lambda *_: answer("second"))
    mesh.sidecar("shop/orders", app=first.port)
    mesh.sidecar("shop/orders", app=second.port)
    web = mesh.sidecar("shop/web")
    plane.wait_for("orders-1", "orders-2", "web-1")
    with ask(web) as load:
        web.wait(lambda: len(load.bodies) == 2, "served by both")
        first.close()
        plane.wait(lambda: plane.proxies()["orders-1"]["readiness"] == "unready", "aware that the application is gone")
        load.bodies.clear()
        done = load.done
        web.wait(lambda: load.done > done + 50, "serving from the other")
    assert not load.failures, load.failures[:3]


# ------------------------------------------------------------------ the store

def test_full_disk_refuses_the_change_and_serves_on(shops, tmp_path):
    plane, web, _ = shops()
    plane.stop()
    size = max(path.stat().st_size for path in plane.data.glob("control.db*"))
    # The kernel refuses to let any file of this process grow much beyond what it has: as a full disk does.
    plane.run(["prlimit", f"--fsize={size + 64 * 1024}", BINARIES / "martlet-control", "serve", "--data", plane.data, "--listen",
               f"127.0.0.1:{plane.port}", "--api", f"127.0.0.1:{plane.api_port}", "--trust-domain", "test.mesh", "--config", plane.directory])
    plane.wait(lambda: plane.get("/ready", raw=True) is not None, "ready")
    document = tmp_path / "large.yaml"
    document.write_text("".join(
        f"apiVersion: v1\nkind: Service\nmetadata: {{name: s{number}, namespace: large}}\nspec: {{ports: [{{port: 80}}]}}\n---\n"
        for number in range(4000)))
    done = plane.tool("apply", "-f", document, check=False)
    assert done.returncode != 0, done.stdout
    assert any(word in done.stderr.lower() for word in ("disk", "full", "store", "space", "written")), done.stderr
    assert web.call("orders").status == 200
    assert plane.metric("martlet_control_store_errors_total") >= 1
    assert "s1" not in plane.tool("get", "Service", "-n", "large", check=False).stdout
    plane.is_expected_to_end = True


def test_damaged_store_is_said_at_the_start(mesh):
    plane = mesh.control(shop())
    plane.stop()
    database = plane.data / "control.db"
    for rest in plane.data.glob("control.db-*"):
        rest.unlink()
    database.write_bytes(os.urandom(65536))
    plane.is_expected_to_end = True
    plane.run([BINARIES / "martlet-control", "serve", "--data", plane.data, "--listen", f"127.0.0.1:{plane.port}",
               "--api", f"127.0.0.1:{plane.api_port}", "--trust-domain", "test.mesh"])
    assert plane.process.wait(20) != 0
    assert database.name in plane.log()


# ------------------------------------------------------------------ the proxy's own files

def test_restart_without_control_plane_serves_the_last_good(shops):
    plane, web, orders = shops()
    plane.kill()
    web.stop()
    orders[0].stop()
    orders[0].again()
    web.again()
    web.wait(lambda: web.call("orders").status == 200, "serving from what it had on disk")
    plane.start()
    plane.wait_for("orders-1", "web-1")


def test_corrupt_last_good_is_put_aside_and_fetched_again(shops):
    plane, web, _ = shops()
    web.stop()
    kept = web.state / "last-good"
    bytes_ = bytearray(kept.read_bytes())
    bytes_[len(bytes_) // 2] ^= 0xFF
    kept.write_bytes(bytes_)
    web.again()
    web.wait(lambda: web.call("orders").status == 200, "serving again")
    assert "last-good" in web.log()
    assert (web.state / "last-good.corrupt").exists()


# ------------------------------------------------------------------ rejections

def test_a_proxy_that_cannot_serve_a_change_rejects_it_and_keeps_the_old(shops):
    plane, web, _ = shops()
    taken = socket.create_server(("127.0.0.1", 0))
    with taken:
        port = taken.getsockname()[1]
        plane.edit([*shop()[:3], workload("web", {"service": "orders", "port": port}), *shop()[4:]])
        plane.wait(lambda: plane.proxies()["web-1"]["sync"] == "rejected", "aware of the rejection")
        assert web.call("orders").status == 200
        text = plane.tool("status", "Workload", "web", "-n", "shop").stdout
        assert str(port) in text, text
    plane.edit(shop())
    plane.wait_for("web-1")


# ------------------------------------------------------------------ identity

def test_expired_leaf_is_refused_and_said(mesh, upstream):
    plane = mesh.control(shop(certificates={"lifetime": "10s"}))
    mesh.sidecar("shop/orders", app=upstream().port)
    web = mesh.sidecar("shop/web")
    plane.wait_for("orders-1", "web-1")
    web.wait(lambda: web.call("orders").status == 200, "able to call orders")
    plane.kill()
    web.wait(lambda: "expire" in web.log(), "aware that its certificate has expired", 30)

    def refused():
        time.sleep(5)  # longer than an unused connection is kept: only new ones ask for certificates
        return web.call("orders").status != 200
    web.wait(refused, "refused with an expired certificate", 30)


def test_leaves_are_renewed_under_load(mesh, upstream):
    plane = mesh.control(shop(certificates={"lifetime": "10s"}))
    mesh.sidecar("shop/orders", app=upstream().port)
    web = mesh.sidecar("shop/web")
    plane.wait_for("orders-1", "web-1")
    web.wait(lambda: web.call("orders").status == 200, "able to call orders")
    first = (web.state / "identity.pem").read_text()
    with ask(web) as load:
        web.wait(lambda: (web.state / "identity.pem").read_text() != first, "renewed", 20)
        second = (web.state / "identity.pem").read_text()
        web.wait(lambda: (web.state / "identity.pem").read_text() != second, "renewed again", 20)
    assert not load.failures, load.failures[:3]


def test_root_is_replaced_under_load(shops):
    plane, web, orders = shops(count=2)
    before = plane.get("/v1/identity/bundle")["pem"]
    with ask(web) as load:
        for step in ("begin", "activate"):
            plane.tool("certificates", "rotate-root", step)
        plane.wait(lambda: plane.tool("certificates", "rotate-root", "finish", check=False).returncode == 0, "finished", 60)
        done = load.done
        web.wait(lambda: load.done > done + 100, "serving under the new root")
    assert not load.failures, load.failures[:3]
    after = plane.get("/v1/identity/bundle")["pem"]
    assert before not in after and after.count("BEGIN CERTIFICATE") == 1


def test_tokens_that_are_wrong_used_or_revoked_are_refused_with_the_reason(mesh):
    plane = mesh.control(shop())
    used = plane.token("workload:shop/web")
    mesh.sidecar("shop/web", token=used)
    revoked = plane.json("token", "create", "--workload", "shop/web")
    plane.tool("token", "revoke", revoked["token"]["id"])
    other = plane.token("workload:shop/orders")
    changed = used[:-60] + ("A" if used[-60] != "A" else "B") + used[-59:]
    for number, (token, reason) in enumerate(
            [(used, "used"), (revoked["secret"], "revoked"), (other, "orders"), (changed, "token")]):
        web = mesh.proxy("workload:shop/web", f"refused-{number}")
        web.start(token=token, ready=False)
        web.is_expected_to_end = True
        assert web.process.wait(15) == 2, "a refused token is no reason to wait"
        assert reason in web.log(), web.log()
    assert plane.metric("martlet_control_joins_total", result="issued") == 1
    assert plane.metric("martlet_control_joins_total") >= 5


def test_a_revoked_proxy_is_let_go(shops):
    plane, web, orders = shops(count=2)
    plane.tool("revoke", "--workload", "shop/orders", "orders-1")
    plane.wait(lambda: plane.proxies().get("orders-1", {}).get("sync", "disconnected") == "disconnected", "rid of it")
    web.wait(lambda: {web.call("orders").body for _ in range(10)} == {b"1"}, "on the other instance only")
    orders[0].wait(lambda: "revoked" in orders[0].log(), "told so")


def test_two_sidecars_with_one_identity(shops, mesh, tmp_path):
    plane, web, orders = shops()
    twin = mesh.proxy("workload:shop/orders", "orders-1")
    twin.state = tmp_path / "stolen"
    subprocess.run(["cp", "-r", orders[0].state, twin.state], check=True)
    twin.log_path = tmp_path / "twin.log"
    twin.start(app=free_port(), join=False, ready=False)
    twin.wait(lambda: "orders-1" in twin.log() and "connected" in twin.log(), "told that the instance is connected already")
    for _ in range(20):
        assert web.call("orders").status == 200
    assert plane.proxies()["orders-1"]["sync"] == "synced"
    twin.kill()


def test_clock_skew_is_said(mesh):
    plane = mesh.control(shop())
    web = mesh.proxy("workload:shop/web")
    web.start(before=["faketime", "--exclude-monotonic", "-f", "+10m"])
    plane.wait(lambda: any("clock" in warning for warning in plane.proxies()["web-1"]["warnings"]), "aware of the skew")
    web.kill()  # faketime does not pass signals on


# ------------------------------------------------------------------ garbage and crowds

def test_garbage_on_every_port(shops):
    plane, web, orders = shops()
    ports = {plane.port, plane.api_port, web.outbound, web.admin_port, orders[0].admin_port}
    for started in (web, orders[0]):
        for line in subprocess.run(["ss", "-Hltnp"], capture_output=True, text=True).stdout.splitlines():
            if f"pid={started.process.pid}," in line:
                ports.add(int(line.split()[3].rsplit(":", 1)[1]))
    for port in ports:
        for bytes_ in (b"\x00" * 100, os.urandom(4000), b"GET / HTTP/9.9\r\n\r\n", b"\x16\x03\x01\xff\xff" + os.urandom(200),
                       b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + os.urandom(500)):
            try:
                with socket.create_connection(("127.0.0.1", port), 2) as connection:
                    connection.sendall(bytes_)
                    connection.shutdown(socket.SHUT_WR)
                    connection.settimeout(2)
                    while connection.recv(4096):
                        pass
            except OSError:
                pass
    assert web.call("orders").status == 200
    plane.wait_for("orders-1", "web-1")


def test_ten_thousand_connections_at_once_do_not_stop_the_control_plane(shops):
    plane, web, _ = shops()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_alpn_protocols(["h2"])

    def connect(number):
        try:
            with socket.create_connection(("127.0.0.1", plane.port), 10) as raw:
                if number % 20 == 0:
                    with context.wrap_socket(raw, server_hostname="control"):
                        pass
                return True
        except OSError:
            return False
    with concurrent.futures.ThreadPoolExecutor(200) as pool:
        results = list(pool.map(connect, range(10_000)))
    assert sum(results) > 9000
    assert web.call("orders").status == 200
    plane.wait_for("orders-1", "web-1", seconds=30)
    plane.edit(shop(service("new")))
    plane.wait(lambda: any(one["id"]["name"] == "new" for one in plane.get("/v1/objects?kind=Service")), "following changes")


def test_a_taken_port_is_waited_for_and_nothing_is_thrown_away(mesh, upstream):
    plane = mesh.control([settings(), service("orders"), workload("orders")])
    orders = mesh.proxy("workload:shop/orders")
    with socket.create_server(("127.0.0.1", orders.outbound)):
        orders.start(app=upstream().port, ready=False)
        orders.wait(lambda: "Address already in use" in orders.log(), "about the port that is taken")
        plane.wait(lambda: any("already in use" in line for line in plane.proxies()["orders-1"]["warnings"]), "told")
        assert plane.proxies()["orders-1"]["readiness"] == "starting"
    plane.wait_for("orders-1")
    orders.stop()
    plane.stop()
    # The same at a restart from what is on disk, with nobody to ask for more.
    with socket.create_server(("127.0.0.1", orders.outbound)):
        orders.again(ready=False)
        orders.wait(lambda: orders.log().count("Address already in use") > 1, "about the port that is taken")
    orders.wait(lambda: orders.admin("/ready")[0] == 200, "ready")
    assert not list(orders.state.glob("*.corrupt"))
