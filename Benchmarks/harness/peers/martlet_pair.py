"""Two martlet-proxy as `pair` wants them: compiled configurations that are changed as a control plane would have made
them, and identities on disk."""
import struct
import subprocess
import sys

import grpc

from ..site import ADMIN, FRONT, H1, MIDDLE, ROOT
from . import pair

DOMAIN = "bench"
MAGIC, VERSION = b"\x89MRTL\n", 2

DOCUMENTS = """apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {{name: bench}}
spec:
  gatewayClassName: martlet
  addresses: [{{value: 127.0.0.1}}]
  listeners: [{{name: front, port: {port}, protocol: HTTP}}]
---
apiVersion: martlet.dev/v1alpha1
kind: ProxySettings
metadata: {{name: settings}}
spec: {{accessLog: {{type: "off"}}}}
---
apiVersion: martlet.dev/v1alpha1
kind: Backend
metadata: {{name: b}}
spec:
  endpoints: [{{ip: {{address: 127.0.0.1, port: {upstream}}}}}]
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {{name: all}}
spec:
  parentRefs: [{{name: bench}}]
  rules:
  - backendRefs: [{{group: martlet.dev, kind: Backend, name: b}}]
"""


def messages():
    proto = str(ROOT / "proto")
    sys.path.insert(0, proto)
    try:
        return grpc.protos("martlet/v1/model.proto")
    finally:
        sys.path.remove(proto)


def fnv1a(data):
    value = 0xcbf29ce484222325
    for byte in data:
        value = (value ^ byte) * 0x100000001b3 & 0xffffffffffffffff
    return value


def spiffe(name):
    return f"spiffe://{DOMAIN}/ns/bench/svc/{name}"


def identity(site, name):
    """The directory with the identity of a service."""
    directory = site.dir / f"identity-{name}"
    if not directory.exists():
        subprocess.run([ROOT / "certs/make", site.dir, f"{name}=URI:{spiffe(name)}"], check=True, capture_output=True)
        directory.mkdir(mode=0o700)
        for file, source in (("identity.pem", f"{name}.pem"), ("identity.key", f"{name}.key"), ("bundle.pem", "ca.pem")):
            (directory / file).write_bytes((site.dir / source).read_bytes())
            (directory / file).chmod(0o600)
    return directory


def snapshot(site, binaries, name, port, upstream, change):
    """Compiles one side's documents, changes what came of them, and returns the file's path."""
    source, compiled = site.dir / f"pair-{name}", site.dir / f"pair-{name}.snapshot"
    site.write(f"pair-{name}/bench.yaml", DOCUMENTS.format(port=port, upstream=upstream))
    done = subprocess.run([binaries / "martlet", "compile", source, "-o", compiled],
                          capture_output=True, text=True, stdin=subprocess.DEVNULL)
    if done.returncode != 0:
        raise RuntimeError(f"martlet compile: {(done.stderr or done.stdout).strip()[:600]}")
    proto = messages()
    model = proto.Model()
    model.ParseFromString(compiled.read_bytes()[24:])
    for listener in model.listeners:
        listener.role = proto.ROLE_SIDECAR
    change(proto, model)
    data = model.SerializeToString(deterministic=True)
    compiled.write_bytes(MAGIC + struct.pack(">HQQ", VERSION, len(data), fnv1a(data)) + data)
    return str(compiled)


def caller(proto, model):
    model.backends[0].mesh.identities[:] = [spiffe("callee")]
    for endpoint in model.backends[0].endpoints:
        endpoint.is_meshed = True


def callee(proto, model):
    section = model.listeners[0].sections[0]
    section.mesh, section.protocol = proto.MTLS_MODE_STRICT, proto.SECTION_PROTOCOL_HTTPS


def commands(site, binaries):
    """The command that runs both."""
    def one(name, port, upstream, change, *more):
        return [str(binaries / "martlet-proxy"), "--snapshot", snapshot(site, binaries, name, port, upstream, change),
                "--identity", str(identity(site, name)), "--loops", "1", *more]
    return pair.both(one("caller", FRONT, MIDDLE, caller, "--admin", f"127.0.0.1:{ADMIN}"),
                     one("callee", MIDDLE, H1, callee, "--admin", f"127.0.0.1:{ADMIN - 1}"))
