"""Martlet: its configuration is YAML, compiled once, served by the proxy binary."""
import os
import pathlib
import subprocess

from ..site import ADMIN, FRONT, H1, H2C, H2TLS, ROOT, ROUTES
from . import Launch, martlet_pair

HOSTS, PATHS = 1000, 10  # of the works `routes` and `adopt`

GATEWAY = """apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {{name: bench}}
spec:
  gatewayClassName: martlet
  addresses: [{{value: 127.0.0.1}}]
  listeners:
  - name: front
    port: {port}
    protocol: {protocol}
{tls}"""

SETTINGS = """---
apiVersion: martlet.dev/v1alpha1
kind: ProxySettings
metadata: {name: settings}
spec:
  accessLog: {type: "off"}
"""

TLS = """    tls:
      mode: Terminate
      certificateRefs: [{{name: leaf}}]
---
apiVersion: v1
kind: Secret
metadata: {{name: leaf}}
type: kubernetes.io/tls
stringData:
  tls.crt: |
{certificate}
  tls.key: |
{key}
"""

BACKEND = """---
apiVersion: martlet.dev/v1alpha1
kind: Backend
metadata: {{name: b}}
spec:
{protocol}  endpoints:
  - ip: {{address: 127.0.0.1, port: {port}}}
"""

BACKEND_TLS = """---
apiVersion: gateway.networking.k8s.io/v1
kind: BackendTLSPolicy
metadata: {{name: b}}
spec:
  targetRefs: [{{group: martlet.dev, kind: Backend, name: b}}]
  validation:
    hostname: localhost
    caCertificateRefs: [{{group: "", kind: ConfigMap, name: ca}}]
---
apiVersion: v1
kind: ConfigMap
metadata: {{name: ca}}
data:
  ca.crt: |
{authority}
"""

POLICY = """---
apiVersion: martlet.dev/v1alpha1
kind: TrafficPolicy
metadata: {{name: b}}
spec:
  targetRefs: [{{group: martlet.dev, kind: Backend, name: b}}]
  retry: {{attempts: 1, codes: [503], on: [connect-failure, refused-stream]}}
  connectionLimits: {{maxConnections: 20000, maxRequests: 200000, maxPendingRequests: 20000}}
  outlierDetection: {{consecutive5xx: 5, consecutiveGatewayErrors: 5}}
  healthCheck: {{interval: 1s, http: {{path: {path}}}}}
"""

ROUTE = """---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {{name: {name}}}
spec:
  parentRefs: [{{name: bench}}]
{hostnames}  rules:
"""

RULE = """  - matches: [{{path: {{type: PathPrefix, value: /{path}}}}}]
    filters:
    - {{type: RequestHeaderModifier, requestHeaderModifier: {{set: [{{name: x-bench, value: "on"}}]}}}}
    - {{type: ResponseHeaderModifier, responseHeaderModifier: {{remove: [last-modified]}}}}
    backendRefs: [{{group: martlet.dev, kind: Backend, name: b}}]
"""


def indented(path):
    return "\n".join("    " + line for line in path.read_text().splitlines())


def binaries():
    """The folder of the binaries: MARTLET_BIN, or the release build."""
    return pathlib.Path(os.environ.get("MARTLET_BIN", ROOT / ".build/release"))


def configuration(work, site, many=False, policies=True):
    """The YAML of work; `many` gives 1,000 hosts with 10 routes each; without `policies` none even if work has them."""
    tls = ""
    if work.front == "tls":
        tls = TLS.format(certificate=indented(site.dir / "leaf.pem"), key=indented(site.dir / "leaf.key"))
    protocol = "HTTPS" if work.front == "tls" else "HTTP"
    parts = [GATEWAY.format(port=FRONT, protocol=protocol, tls=tls), SETTINGS]
    port = {"h1": H1, "h2c": H2C, "h2tls": H2TLS}[work.back]
    parts.append(BACKEND.format(port=port, protocol="" if work.back == "h1" else "  appProtocol: kubernetes.io/h2c\n"))
    if work.back == "h2tls":
        parts.append(BACKEND_TLS.format(authority=indented(site.dir / "ca.pem")))
    if work.has_policies and policies:
        parts.append(POLICY.format(path=f"/{ROUTES[0]}/1k"))
    if many:
        for host in range(HOSTS):
            parts.append(ROUTE.format(name=f"h{host}", hostnames=f"  hostnames: [h{host}.bench.example]\n"))
            parts += [RULE.format(path=path) for path in ROUTES[:PATHS]]
    else:  # at most 16 rules per route are portable
        for half, paths in enumerate((ROUTES[:10], ROUTES[10:])):
            parts.append(ROUTE.format(name=f"half{half}", hostnames=""))
            parts += [RULE.format(path=path) for path in paths]
    return "".join(parts)


def snapshot(work, site, many=False, policies=True):
    """Compiles the configuration of work and returns the snapshot's path."""
    name = f"martlet-{work.name}{'-many' if many else ''}{'' if policies else '-off'}"
    compiled = site.dir / f"{name}.snapshot"
    if not compiled.exists():
        site.write(f"{name}/bench.yaml", configuration(work, site, many, policies))
        done = subprocess.run([binaries() / "martlet", "compile", site.dir / name, "-o", compiled],
                              capture_output=True, text=True, stdin=subprocess.DEVNULL)
        if done.returncode != 0:
            raise RuntimeError(f"martlet compile: {(done.stderr or done.stdout).strip()[:600]}")
    return str(compiled)


def launch(work, site, loops=1, many=False, policies=True):
    command = [str(binaries() / "martlet-proxy"), "--snapshot", snapshot(work, site, many, policies), "--loops", str(loops),
               "--admin", f"127.0.0.1:{ADMIN}"]
    # The work `loops` shares both CPUs with the load generator, with one loop as with two.
    return Launch(command, cpu="0,1" if work.name.startswith("loops") else "0")


def martlet(work, site):
    if not (binaries() / "martlet-proxy").exists():
        return None
    if work.is_pair:
        return Launch(martlet_pair.commands(site, binaries()))
    many = work.name in ("routes", "adopt")
    return launch(work, site, loops=2 if work.name.startswith("loops") else 1, many=many)


def martlet_one_loop(work, site):
    return launch(work, site) if work.name.startswith("loops") else None


def martlet_twenty_routes(work, site):
    return launch(work, site) if work.name == "routes" else None


def martlet_off(work, site):
    return launch(work, site, policies=False) if work.has_policies else None
