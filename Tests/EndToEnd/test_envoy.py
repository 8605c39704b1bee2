"""A real Envoy and gRPC's own xDS client, configured by the same control plane."""
import json
import os
import pathlib
import subprocess
import sys
import time

import pytest
from harness.config import H2C, MARTLET_API, document
from harness.grpc_echo import EchoServer
from harness.http1 import fetch
from harness.plane import route, service, settings, to, workload
from harness.ports import free_port
from harness.proxy import BINARIES
from harness.upstream import answer

ENVOY = pathlib.Path(sys.executable).parent / "envoy"

# xDS is configured by the environment of a process: each client is one.
CLIENT = """
import collections, sys, time
sys.path.insert(0, {tests!r})
import grpc
from harness.grpc_echo import Request, stub
credentials = grpc.xds_channel_credentials() if {secure} else None
target = "xds:///" + {target!r}
channel = grpc.secure_channel(target, credentials) if credentials else grpc.insecure_channel(target)
echo = stub(channel)
for line in sys.stdin:
    seen = collections.Counter()
    for _ in range(int(line)):
        try:
            reply, call = echo.Unary.with_call(Request(payload=b"x"), timeout=10, wait_for_ready=True)
            seen["ok"] += 1
        except grpc.RpcError as error:
            seen[error.code().name + ": " + error.details()] += 1
    print(dict(seen), flush=True)
"""


class GRPCClient:
    """grpcio with xds:///target; ask(count) → {"ok": …, "CODE: details": …}. `mutual`: it asks in mutual TLS."""

    def __init__(self, directory, xds_port, target, identity=None, node="shop/web", mutual=False):
        files = {"certificate_file": f"{identity}/identity.pem", "private_key_file": f"{identity}/identity.key",
                 "ca_certificate_file": f"{identity}/bundle.pem"}
        credentials = {"type": "tls", "config": files} if mutual else {"type": "insecure"}
        bootstrap = {
            "xds_servers": [{"server_uri": f"127.0.0.1:{xds_port}", "channel_creds": [credentials],
                             "server_features": ["xds_v3"]}],
            "node": {"id": "client", "cluster": node}}
        if identity:
            bootstrap["certificate_providers"] = {"martlet": {
                "plugin_name": "file_watcher", "config": {**files, "refresh_interval": "1s"}}}
        path = directory / "bootstrap.json"
        path.write_text(json.dumps(bootstrap))
        code = CLIENT.format(tests=str(pathlib.Path(__file__).parent), secure=bool(identity), target=target)
        self.process = subprocess.Popen(
            [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            env={**os.environ, "GRPC_XDS_BOOTSTRAP": str(path)})

    def ask(self, count):
        self.process.stdin.write(f"{count}\n")
        self.process.stdin.flush()
        return eval(self.process.stdout.readline())  # noqa: S307: what the code above has printed

    def close(self):
        self.process.kill()
        self.process.wait()
        self.process.stdin.close()
        self.process.stdout.close()


@pytest.fixture
def grpc_client(closing, tmp_path):
    def make(*arguments, **more):
        made = GRPCClient(tmp_path, *arguments, **more)
        closing.callback(made.close)
        return made
    return make


@pytest.fixture
def servers(closing):
    made = [EchoServer(), EchoServer()]
    for server in made:
        closing.callback(server.close)
    return made


def backends(servers):
    """A Backend for each server, echo-1, echo-2, …"""
    return [document(MARTLET_API, "Backend", f"echo-{number}", {
        "appProtocol": H2C, "endpoints": [{"ip": {"address": "127.0.0.1", "port": server.port}}]}, "shop")
        for number, server in enumerate(servers, 1)]


def split(first, second, **more):
    refs = [{"group": "martlet.dev", "kind": "Backend", "name": f"echo-{number}", "weight": weight}
            for number, weight in ((1, first), (2, second))]
    return route("split", "echo", *refs, **more)


def counts(servers):
    return [len(server.servicer.calls) for server in servers]


def test_grpc_client_follows_weights(mesh, grpc_client, servers):
    xds = free_port()
    base = [settings(), service("echo", protocol=H2C), *backends(servers)]
    plane = mesh.control([*base, split(4, 1)], "--xds", f"127.0.0.1:{xds}")
    client = grpc_client(xds, "echo.shop:80")
    assert client.ask(500) == {"ok": 500}
    first, second = counts(servers)
    assert 340 <= first <= 460 and 40 <= second <= 160, (first, second)
    plane.edit([*base, split(0, 1)])
    deadline = time.monotonic() + 10
    while True:
        before = counts(servers)
        assert client.ask(20) == {"ok": 20}
        if counts(servers)[0] == before[0]:
            break
        assert time.monotonic() < deadline, "the new weights do not arrive"
    plane.stop()
    assert client.ask(20) == {"ok": 20}, "a client must serve on without its control plane"
    plane.start()


def test_grpc_client_with_a_timeout(mesh, grpc_client, servers):
    xds = free_port()
    mesh.control([settings(), service("echo", protocol=H2C), *backends(servers), split(1, 1)], "--xds", f"127.0.0.1:{xds}")
    assert grpc_client(xds, "echo.shop").ask(5) == {"ok": 5}
    unknown = grpc_client(xds, "nothing.shop").ask(1)
    assert "ok" not in unknown, unknown


def test_grpc_client_speaks_mutual_tls_with_sidecars(mesh, grpc_client, servers, tmp_path):
    xds = free_port()
    plane = mesh.control([settings(), service("web"), service("echo", protocol=H2C), workload("web", "echo"), workload("echo")],
                         "--xds", f"127.0.0.1:{xds}")
    mesh.sidecar("shop/echo", app=servers[0].port)
    plane.wait_for("echo-1")
    identity = join(plane, tmp_path / "identity")
    assert grpc_client(xds, "echo.shop:80", identity=identity).ask(10) == {"ok": 10}
    assert "svc/web" in servers[0].servicer.metadata["x-forwarded-client-cert"]


def test_grpc_client_asks_in_mutual_tls(mesh, grpc_client, servers, tmp_path):
    plane = mesh.control([settings(), service("web"), service("echo", protocol=H2C), workload("web", "echo"), workload("echo")])
    mesh.sidecar("shop/echo", app=servers[0].port)
    plane.wait_for("echo-1")
    identity = join(plane, tmp_path / "identity")
    assert grpc_client(plane.port, "echo.shop:80", identity=identity, mutual=True).ask(10) == {"ok": 10}
    # A Workload is seen by its own service only.
    other = join(plane, tmp_path / "other", "shop/echo")
    refused = grpc_client(plane.port, "echo.shop:80", identity=other, mutual=True).ask(1)
    assert "ok" not in refused
    plane.wait(lambda: plane.metric("martlet_control_refused_streams_total", reason="identity") > 0, "refusing it")


def join(plane, directory, name="shop/web"):
    """Certificates of a workload in files."""
    done = subprocess.run(
        [BINARIES / "martlet-proxy", "identity", "--control", f"127.0.0.1:{plane.port}", "--workload", name,
         "--out", directory], capture_output=True, text=True, env={**os.environ, "MARTLET_TOKEN": plane.token(f"workload:{name}")})
    assert done.returncode == 0, done.stderr
    return directory


class Envoy:
    """An Envoy beside shop/web. `mutual`: it asks in mutual TLS."""

    def __init__(self, directory, xds_port, identity, kind="DELTA_GRPC", mutual=False):
        ads = {"api_type": kind, "transport_api_version": "V3", "grpc_services": [{"envoy_grpc": {"cluster_name": "xds"}}]}
        source = {"resource_api_version": "V3", "ads": {}}
        options = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
        self.admin = free_port()
        configuration = {
            "node": {"id": "envoy-1", "cluster": "shop/web"},
            "admin": {"address": {"socket_address": {"address": "127.0.0.1", "port_value": self.admin}}},
            "dynamic_resources": {"ads_config": ads, "lds_config": source, "cds_config": source},
            "static_resources": {
                "clusters": [{
                    "name": "xds", "type": "STATIC", "load_assignment": {"cluster_name": "xds", "endpoints": [{"lb_endpoints": [
                        {"endpoint": {"address": {"socket_address": {"address": "127.0.0.1", "port_value": xds_port}}}}]}]},
                    "typed_extension_protocol_options": {options: {
                        "@type": f"type.googleapis.com/{options}", "explicit_http_config": {"http2_protocol_options": {}}}}}],
                "secrets": [
                    {"name": "martlet-identity", "tls_certificate": {
                        "certificate_chain": {"filename": f"{identity}/identity.pem"},
                        "private_key": {"filename": f"{identity}/identity.key"}}},
                    {"name": "martlet-roots", "validation_context": {"trusted_ca": {"filename": f"{identity}/bundle.pem"}}}]}}
        if mutual:
            tls = "envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext"
            name = {"san_type": "URI", "matcher": {"exact": "spiffe://test.mesh/ns/martlet/svc/control"}}
            configuration["static_resources"]["clusters"][0]["transport_socket"] = {
                "name": "envoy.transport_sockets.tls", "typed_config": {
                    "@type": f"type.googleapis.com/{tls}", "common_tls_context": {
                        "tls_certificate_sds_secret_configs": [{"name": "martlet-identity"}],
                        "combined_validation_context": {
                            "default_validation_context": {"match_typed_subject_alt_names": [name]},
                            "validation_context_sds_secret_config": {"name": "martlet-roots"}}}}}
        path = directory / "envoy.json"
        path.write_text(json.dumps(configuration))
        self.log = directory / "envoy.log"
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen(
                [ENVOY, "-c", path, "--concurrency", "1", "--disable-hot-restart", "-l", "warning"], stdout=log, stderr=log)

    def close(self):
        self.process.terminate()
        self.process.wait()

    def stat(self, name):
        for line in fetch(self.admin, f"/stats?filter={name}").body.decode().splitlines():
            if line.startswith(name + ":"):
                return int(line.split(":")[1])
        return 0


@pytest.mark.parametrize("mutual", [False, True], ids=["plain", "mutual"])
@pytest.mark.parametrize("kind", ["DELTA_GRPC", "GRPC"])
def test_envoy_calls_sidecars_and_follows_changes(mesh, upstream, closing, tmp_path, eventually, kind, mutual):
    xds, outbound = free_port(), free_port()
    base = [settings(), service("web"), service("orders"), service("other"), workload("orders"), workload("other"),
            workload("web", "orders", "other", outbound={"port": outbound})]
    plane = mesh.control(base, *([] if mutual else ["--xds", f"127.0.0.1:{xds}"]))
    mesh.sidecar("shop/orders", app=upstream(lambda *_: answer("orders")).port)
    mesh.sidecar("shop/other", app=upstream(lambda *_: answer("other")).port)
    plane.wait_for("orders-1", "other-1")
    envoy = Envoy(tmp_path, plane.port if mutual else xds, join(plane, tmp_path / "identity"), kind, mutual)
    closing.callback(envoy.close)

    def body():
        try:
            return fetch(outbound, host="orders").body
        except OSError:
            return None
    eventually(lambda: body() == b"orders", "an answer by way of Envoy", 20)
    plane.edit([*base, route("moved", "orders", to("other"))])
    eventually(lambda: body() == b"other", "the new route", 10)
    assert envoy.stat("cluster_manager.warming_clusters") == 0
    for kind_of_resource in ("cluster_manager.cds", "listener_manager.lds"):
        assert envoy.stat(f"{kind_of_resource}.update_rejected") == 0
