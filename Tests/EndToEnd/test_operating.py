"""What operators meet: the trust domain is kept, the API over TLS, the service manager is told."""
import json
import os
import socket
import ssl
import subprocess
import urllib.request

import pytest
from harness.plane import ControlPlane, service, settings, workload
from harness.ports import free_port
from harness.proxy import BINARIES, ROOT, martlet
from harness.upstream import describe


def serve(directory, *arguments):
    """A martlet-control that should end at once."""
    return subprocess.run([BINARIES / "martlet-control", "serve", "--data", directory, "--listen", f"127.0.0.1:{free_port()}",
                           *arguments], capture_output=True, text=True, timeout=30)


# The trust domain

class Plain(ControlPlane):
    """Started with no more than what a test says."""

    def begin(self, *arguments, host="127.0.0.1"):
        self.run([BINARIES / "martlet-control", "serve", "--data", self.data, "--listen", f"127.0.0.1:{self.port}",
                  "--api", f"{host}:{self.api_port}", *arguments])
        return self


@pytest.fixture
def plain(tmp_path):
    made = Plain(tmp_path)
    yield made
    made.stop()


def domain(plane):
    plane.wait(lambda: plane.get("/ready", raw=True) is not None, "ready")
    return plane.get("/v1/health")["trustDomain"]


def test_the_trust_domain_is_kept(plain):
    assert domain(plain.begin("--trust-domain", "first.example")) == "first.example"
    plain.stop()
    assert domain(plain.begin()) == "first.example"
    plain.stop()
    assert domain(plain.begin("--trust-domain", "first.example")) == "first.example"
    plain.stop()
    refused = serve(plain.data, "--api", f"127.0.0.1:{free_port()}", "--trust-domain", "second.example")
    assert refused.returncode == 2
    assert "second.example" in refused.stderr and "first.example" in refused.stderr and "leave the option out" in refused.stderr


def test_the_trust_domain_has_a_default_that_is_kept_too(plain):
    kept = domain(plain.begin())
    plain.stop()
    refused = serve(plain.data, "--api", f"127.0.0.1:{free_port()}", "--trust-domain", "other.example")
    assert refused.returncode == 2 and kept in refused.stderr


def test_a_trust_domain_that_is_none_is_not_kept(plain):
    refused = serve(plain.data, "--api", f"127.0.0.1:{free_port()}", "--trust-domain", "No Domain")
    assert refused.returncode == 2 and "is not valid" in refused.stderr
    assert domain(plain.begin("--trust-domain", "good.example")) == "good.example"


# The API over TLS

def test_the_api_is_not_opened_to_the_network_in_clear_text(tmp_path):
    refused = serve(tmp_path / "control", "--api", f"0.0.0.0:{free_port()}")
    assert refused.returncode == 2 and "--api-tls" in refused.stderr
    assert not (tmp_path / "control").exists()


@pytest.fixture
def secure(plain, tmp_path):
    """A control plane whose API is at all addresses, over TLS; its root is in `roots`."""
    plain.begin("--api-tls", "--name", "control.example", "--trust-domain", "test.mesh", host="0.0.0.0")
    plain.roots = plain.data / "ca" / "root-1.pem"
    plain.server = f"https://127.0.0.1:{plain.api_port}"

    def answers():
        context = ssl.create_default_context(cafile=plain.roots)
        return urllib.request.urlopen(plain.server + "/ready", context=context, timeout=5).status == 200
    plain.wait(answers, "ready")
    return plain


def asked(plane, *arguments, token=True):
    more = ["--token-file", plane.data / "admin-token"] if token else []
    return martlet(*arguments, "--server", plane.server, "--ca", plane.roots, *more)


def test_commands_speak_tls_with_the_token(secure, tmp_path):
    file = tmp_path / "shop.yaml"
    file.write_text(json.dumps(service("web")))
    assert asked(secure, "apply", "-f", file).returncode == 0
    assert "Service" in asked(secure, "get").stdout
    unsure = martlet("get", "--server", secure.server, "--token-file", secure.data / "admin-token")
    assert unsure.returncode == 2 and "--ca FILE" in unsure.stderr
    assert asked(secure, "check").returncode == 0


def test_the_certificate_carries_the_names(secure):
    context = ssl.create_default_context(cafile=secure.roots)
    for name in ("control.example", "localhost", "127.0.0.1"):
        with socket.create_connection(("127.0.0.1", secure.api_port), 5) as connection:
            with context.wrap_socket(connection, server_hostname=name):
                pass
    with socket.create_connection(("127.0.0.1", secure.api_port), 5) as connection:
        with pytest.raises(ssl.SSLCertVerificationError):
            context.wrap_socket(connection, server_hostname="other.example")


def joined(plane, directory, name):
    """An identity of workload `name`, which exists."""
    made = asked(plane, "token", "create", "--workload", name, "--output", "json")
    assert made.returncode == 0, made.stderr
    done = subprocess.run([BINARIES / "martlet-proxy", "identity", "--control", f"127.0.0.1:{plane.port}", "--workload", name,
                           "--instance", directory.name, "--out", directory], env={**os.environ, "MARTLET_TOKEN": json.loads(made.stdout)["secret"]},
                          capture_output=True, text=True, timeout=40)
    assert done.returncode == 0, done.stderr
    return "--cert", directory / "identity.pem", "--key", directory / "identity.key"


def test_an_operators_certificate_takes_the_place_of_the_token(secure, tmp_path):
    file = tmp_path / "operator.yaml"
    documents = [service("operator", namespace="martlet"), workload("operator", namespace="martlet"),
                 service("web"), workload("web")]
    file.write_text("\n---\n".join(json.dumps(one) for one in documents))
    assert asked(secure, "apply", "-f", file).returncode == 0
    operator = joined(secure, tmp_path / "operator", "martlet/operator")
    listed = asked(secure, "token", "create", "--workload", "shop/web", *operator, token=False)
    assert listed.returncode == 0, listed.stderr
    web = joined(secure, tmp_path / "web", "shop/web")
    refused = asked(secure, "get", *web, token=False)
    assert refused.returncode != 0 and "is no operator" in refused.stderr
    # From this machine reading is open, changing is not.
    assert asked(secure, "delete", "Service", "web", "-n", "shop", token=False).returncode == 2
    # One that is revoked proves nothing more.
    assert asked(secure, "revoke", "--workload", "martlet/operator", "operator").returncode == 0
    late = asked(secure, "token", "create", "--workload", "shop/web", *operator, token=False)
    assert late.returncode == 2 and "needs the admin token or an operator's certificate" in late.stderr


def test_the_api_shows_the_certificate_of_now(secure):
    """Rotating the root changes what it shows, without a restart."""
    for step in ("begin", "activate"):
        done = asked(secure, "certificates", "rotate-root", step)
        assert done.returncode == 0, done.stderr
    secure.roots = secure.data / "ca" / "root-2.pem"
    secure.wait(lambda: asked(secure, "get").returncode == 0, "believed by the new root")


def test_a_certificate_of_another_mesh_is_refused(secure, tmp_path):
    from harness import mesh as identities
    other = identities.Authority().identity(tmp_path / "other", "martlet/operator", domain="test.mesh")
    refused = asked(secure, "get", "--cert", other / "identity.pem", "--key", other / "identity.key", token=False)
    assert refused.returncode == 2 and "does not believe the certificate" in refused.stderr, refused.stderr


# The service manager

def test_the_service_manager_is_told(mesh, upstream, tmp_path):
    path = str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(path)
        manager.settimeout(20)
        plane = Plain(tmp_path / "told")
        (tmp_path / "told").mkdir()
        os.environ["NOTIFY_SOCKET"] = path
        try:
            plane.begin()
        finally:
            del os.environ["NOTIFY_SOCKET"]
        assert manager.recv(100) == b"READY=1"
        assert plane.get("/live", raw=True) == "live\n"
        plane.stop()
        assert manager.recv(100) == b"STOPPING=1"

        mesh.control([settings(), service("orders"), workload("orders")])
        orders = mesh.proxy("workload:shop/orders")
        os.environ["NOTIFY_SOCKET"] = path
        try:
            orders.start(app=upstream(describe("orders")).port, ready=False)
        finally:
            del os.environ["NOTIFY_SOCKET"]
        assert manager.recv(100) == b"READY=1"
        assert orders.admin("/ready")[0] in (200, 503)
        orders.stop()
        assert manager.recv(100) == b"STOPPING=1"


def test_the_units_are_sound():
    """What systemd says of them, but for programs and users that are not on this machine."""
    try:
        done = subprocess.run(["systemd-analyze", "--version"], capture_output=True)
    except FileNotFoundError:
        pytest.skip("no systemd-analyze")
    for unit in sorted((ROOT / "packaging" / "systemd").glob("*.service")):
        done = subprocess.run(["systemd-analyze", "verify", "--man=no", unit], capture_output=True, text=True)
        lines = [line for line in done.stderr.splitlines() if unit.name.split("@")[0].split(".")[0] in line]
        assert all("is not executable" in line for line in lines), lines
