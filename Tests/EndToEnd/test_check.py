"""`martlet check`: installations that are really broken, and the line that says so."""
import json
import os
import shutil
import socket
import sqlite3
import subprocess

import pytest
from harness import mesh as identities
from harness.config import document, MARTLET_API
from harness.plane import service, settings, workload
from harness.ports import free_port
from harness.proxy import BINARIES, martlet
from harness.upstream import describe


@pytest.fixture
def pair(mesh, upstream):
    """A control plane and a sidecar that are well; the sidecar."""
    mesh.control([settings(), service("orders"), workload("orders")])
    orders = mesh.sidecar("shop/orders", app=upstream(describe("orders")).port)
    mesh.plane.wait_for("orders-1")
    file = orders.state / "last-good"
    orders.wait(lambda: file.exists() and b".Workload" in file.read_bytes(), "provided with a last good configuration")
    return orders


def check(*arguments, **more):
    """(exit code, {(part, check): the worst line})"""
    done = martlet("check", *arguments, "--output", "json", **more)
    assert done.stdout, done.stderr
    report = json.loads(done.stdout)
    order = ["ok", "warning", "FAILED"]
    lines = {}
    for line in report["checks"]:
        key = (line["part"].split()[0], line["check"])
        if key not in lines or order.index(line["result"]) > order.index(lines[key]["result"]):
            lines[key] = line
        assert bool(line["remedy"]) == (line["result"] != "ok"), line
    assert report["failed"] == sum(line["result"] == "FAILED" for line in report["checks"])
    assert done.returncode == (1 if report["failed"] else 0)
    return done.returncode, lines


def says(line, result, *words):
    text = f"{line['detail']}; {line['remedy']}"
    assert line["result"] == result and all(word in text for word in words), line


def bad(lines):
    return [line for line in lines.values() if line["result"] == "FAILED"]


def of_control(plane, *more):
    return check("--data", plane.data, "--server", plane.server, *more)


def of_proxy(proxy, *more):
    return check("--state", proxy.state, "--control", f"127.0.0.1:{proxy.plane.port}", "--admin",
                 f"127.0.0.1:{proxy.admin_port}", *more)


def test_a_good_installation_has_nothing_but_ok(pair):
    code, lines = of_control(pair.plane)
    assert code == 0, bad(lines)
    assert {key for key, line in lines.items() if line["result"] != "ok"} <= {("control", "disk"), ("machine", "open files")}
    assert {name for _, name in lines} >= {"data directory", "admin token", "database", "keys", "authority", "answer", "clock",
                                           "proxies", "objects"}
    code, lines = of_proxy(pair)
    assert code == 0, bad(lines)
    assert {name for _, name in lines} >= {"state directory", "secrets", "identity", "roots", "last good", "process",
                                           "control plane", "configuration"}


def test_the_text_is_one_line_per_check(pair):
    done = pair.plane.tool("check", "--data", pair.plane.data)
    *lines, total = done.stdout.splitlines()
    assert all(line.split()[0] in ("ok", "warning") for line in lines)
    assert total.startswith(f"{len(lines)} checks, ") and total.endswith("0 failed")


def test_files_of_the_control_plane(pair):
    plane = pair.plane
    [key, *_] = (plane.data / "ca").glob("intermediate-*.key")
    os.chmod(plane.data / "admin-token", 0o644)
    os.chmod(key, 0o640)
    os.chmod(plane.data, 0o777)
    code, lines = of_control(plane)
    assert code == 1
    says(lines["control", "admin token"], "FAILED", "chmod 600", "admin-token")
    says(lines["control", "keys"], "FAILED", "chmod 600", key.name)
    says(lines["control", "data directory"], "FAILED", "chmod 700")


def test_nothing_where_a_control_plane_should_be(tmp_path):
    code, lines = check("--data", tmp_path / "nowhere", "--server", f"http://127.0.0.1:{free_port()}")
    assert code == 1
    says(lines["control", "data directory"], "FAILED", "does not exist", "martlet-control serve")
    says(lines["API", "answer"], "FAILED", "nothing listens there", "start it")
    assert ("control", "database") not in lines


def test_a_damaged_database(pair):
    plane = pair.plane
    plane.stop()
    with sqlite3.connect(plane.data / "control.db") as database:
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    database.close()
    data = bytearray((plane.data / "control.db").read_bytes())
    for page in range(4096, len(data), 4096):
        data[page:page + 200] = os.urandom(200)
    (plane.data / "control.db").write_bytes(data)
    code, lines = check("--data", plane.data)
    assert code == 1
    says(lines["control", "database"], "FAILED", "control.db is damaged", "put a copy in its place")


def test_an_authority_without_its_parts(pair):
    plane = pair.plane
    [key, *_] = (plane.data / "ca").glob("intermediate-*.key")
    key.rename(key.with_suffix(".away"))
    _, lines = of_control(plane)
    says(lines["control", "authority"], "FAILED", key.name, "from a copy")
    shutil.copy((plane.data / "ca" / "root-1.key"), key)
    _, lines = of_control(plane)
    says(lines["control", "authority"], "FAILED", "does not belong to the certificate")


def test_a_proxy_that_is_gone_or_refuses_is_named(pair):
    pair.kill()
    plane = pair.plane
    plane.wait(lambda: plane.proxies()["orders-1"]["sync"] == "disconnected", "aware that the sidecar is gone")
    code, lines = of_control(plane)
    assert code == 1
    says(lines["API", "proxies"], "FAILED", "workload:shop/orders/orders-1 is not connected", "martlet check on its machine")


def test_an_object_that_is_not_accepted_is_named(pair):
    plane = pair.plane
    plane.edit([settings(), service("orders"), workload("orders"),
                document("gateway.networking.k8s.io/v1", "HTTPRoute", "lost",
                         {"parentRefs": [{"name": "nowhere"}], "rules": [{"backendRefs": [{"name": "orders", "port": 80}]}]},
                         "shop")])
    plane.wait(lambda: any(one["id"]["name"] == "lost" for one in plane.get("/v1/status")), "aware of the route")
    _, lines = of_control(plane)
    says(lines["API", "objects"], "warning", "HTTPRoute shop/lost", "martlet status HTTPRoute lost")


def test_files_of_a_proxy(pair):
    key = pair.state / "identity.key"
    os.chmod(key, 0o644)
    code, lines = of_proxy(pair)
    assert code == 1
    says(lines["proxy", "secrets"], "FAILED", "chmod 600", "identity.key")
    other = identities.Authority().identity(pair.state.parent / "other", "shop/orders")
    shutil.copy(other / "identity.key", key)
    _, lines = of_proxy(pair)
    says(lines["proxy", "identity"], "FAILED", "does not belong to the certificate", "token")


def test_a_corrupt_last_good_file_and_one_that_was_set_aside(pair):
    file = pair.state / "last-good"
    data = bytearray(file.read_bytes())
    data[-10] ^= 0xff
    file.write_bytes(data)
    (pair.state / "identity.pem.corrupt").write_text("x")
    code, lines = of_proxy(pair)
    assert code == 1
    says(lines["proxy", "last good"], "FAILED", "checksum", "remove it")
    says(lines["proxy", "set aside"], "warning", "identity.pem.corrupt")


def test_an_identity_of_another_mesh(pair, tmp_path):
    """Its issuer is not among the roots, and the control plane is not of the mesh that it believes."""
    identities.Authority().identity(tmp_path / "other", "shop/orders")
    (pair.state / "bundle.pem").write_bytes((tmp_path / "other" / "bundle.pem").read_bytes())
    code, lines = of_proxy(pair)
    assert code == 1
    says(lines["proxy", "identity"], "FAILED", "leads to none of the 1 roots", "join again")
    says(lines["proxy", "control plane"], "FAILED", "no root in", "vouches for")


@pytest.mark.parametrize("hours, result, words", [
    (-1, "FAILED", ("ended", "token")), (24, "ok", ("ends in",))])
def test_the_end_of_an_identity(tmp_path, hours, result, words):
    directory = identities.Authority().identity(tmp_path / "state", "shop/orders", hours=hours)
    os.chmod(directory, 0o700)
    _, lines = check("--state", directory)
    says(lines["proxy", "identity"], result, *words)


def test_an_identity_that_was_not_renewed(tmp_path):
    directory = identities.Authority().identity(tmp_path / "state", "shop/orders", hours=24)
    done = subprocess.run(["faketime", "-f", "+20h", BINARIES / "martlet", "check", "--state", directory, "-o", "json"],
                          capture_output=True, text=True, timeout=60)
    [line] = [one for one in json.loads(done.stdout)["checks"] if "should have been replaced" in one["detail"]
              and one["check"] == "identity"]
    assert line["result"] == "warning" and "is the proxy running" in line["remedy"]


def test_a_clock_that_is_wrong(pair):
    plane = pair.plane
    done = subprocess.run(["faketime", "-f", "+90s", BINARIES / "martlet", "check", "--server", plane.server, "-o", "json"],
                          capture_output=True, text=True, timeout=60)
    [line] = [one for one in json.loads(done.stdout)["checks"] if one["check"] == "clock"]
    assert line["result"] == "FAILED" and "ahead of the control plane's" in line["detail"]


def test_a_control_plane_that_is_away(pair):
    pair.plane.stop()
    pair.wait(lambda: "\"connected\":false" in pair.admin("/config")[1].replace(" ", ""), "aware that it is alone")
    code, lines = of_proxy(pair)
    assert code == 1
    says(lines["proxy", "control plane"], "FAILED", "nothing listens there", "start martlet-control")
    says(lines["proxy", "configuration"], "FAILED", "not connected")


def test_a_proxy_that_does_not_run_and_whose_port_is_taken(pair):
    pair.stop()
    outbound = pair.outbound
    code, lines = of_proxy(pair)
    assert code == 1
    says(lines["proxy", "process"], "FAILED", "no martlet-proxy runs", "start it")
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        taken.bind(("127.0.0.1", 15001))
        taken.listen()
        done = martlet("check", "--state", pair.state)
    assert "cannot listen on 127.0.0.1:15001" in done.stdout and "ss -ltnp" in done.stdout, (outbound, done.stdout)


def test_few_open_files(pair):
    done = subprocess.run(["sh", "-c", f"ulimit -n 512; exec {BINARIES}/martlet check --state {pair.state}"],
                          capture_output=True, text=True, timeout=60)
    [line] = [one for one in done.stdout.splitlines() if "open files" in one]
    assert line.startswith("warning") and "only 512 files may be open" in line and "LimitNOFILE" in line


def test_somebody_who_may_not_look(pair):
    if os.getuid() != 0:
        pytest.skip("only root can be somebody else")
    done = subprocess.run(["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups", BINARIES / "martlet", "check",
                           "--state", pair.state], capture_output=True, text=True, timeout=60)
    if done.returncode == 126:
        pytest.skip("nobody may not run the program")
    [line] = [one for one in done.stdout.splitlines() if "state directory" in one]
    assert line.startswith("FAILED") and "cannot be" in line and "run this as root" in line


def test_a_disk_that_is_nearly_full(tmp_path):
    if os.getuid() != 0:
        pytest.skip("only root can mount")
    (tmp_path / "small").mkdir()
    script = f"mount -t tmpfs -o size=8m none {tmp_path}/small && exec {BINARIES}/martlet check --state {tmp_path}/small"
    done = subprocess.run(["unshare", "--mount", "sh", "-c", script], capture_output=True, text=True, timeout=60)
    [line] = [one for one in done.stdout.splitlines() if "  disk  " in one]
    assert line.startswith("FAILED") and "make room" in line, done.stdout


def test_nothing_to_look_at_is_said():
    done = martlet("check")
    if not os.path.exists("/var/lib/martlet"):
        assert done.returncode == 2 and "--data DIR" in done.stderr
    assert "Examples:" in martlet("check", "--help").stdout
