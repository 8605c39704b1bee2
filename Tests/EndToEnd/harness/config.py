"""Documents of the Gateway API and of martlet.dev, as dictionaries, and the directory they are written to."""
import itertools
import os

import yaml

GATEWAY_API = "gateway.networking.k8s.io/v1"
MARTLET_API = "martlet.dev/v1alpha1"
H2C = "kubernetes.io/h2c"
_numbers = itertools.count(1)


def document(api, kind, name, spec=None, namespace=None, **top):
    metadata = {"name": name, **({"namespace": namespace} if namespace else {})}
    return {"apiVersion": api, "kind": kind, "metadata": metadata, **({"spec": spec} if spec is not None else {}), **top}


def gateway(*listeners, name="edge", **spec):
    """A Gateway on loopback; listeners without a name get one."""
    named = [{"name": f"l{number}", **one} for number, one in enumerate(listeners)]
    return document(GATEWAY_API, "Gateway", name, {
        "gatewayClassName": "martlet", "addresses": [{"type": "IPAddress", "value": "127.0.0.1"}],
        "listeners": named, **spec})


def http(port, **more):
    return {"port": port, "protocol": "HTTP", **more}


def https(port, *secrets, **more):
    return {"port": port, "protocol": "HTTPS", "tls": {
        "mode": "Terminate", "certificateRefs": [{"name": secret} for secret in secrets]}, **more}


def passthrough(port, **more):
    return {"port": port, "protocol": "TLS", "tls": {"mode": "Passthrough"}, **more}


def tcp(port, **more):
    return {"port": port, "protocol": "TCP", **more}


def backend(name, *ports, protocol=None, **spec):
    """A Backend of loopback ports; further fields of its spec as keywords."""
    if ports:
        spec["endpoints"] = [{"ip": {"address": "127.0.0.1", "port": port}} for port in ports]
    if protocol:
        spec["appProtocol"] = protocol
    return document(MARTLET_API, "Backend", name, spec)


def ref(name, weight=None, **more):
    """A backendRef to a Backend."""
    return {"group": "martlet.dev", "kind": "Backend", "name": name,
            **({"weight": weight} if weight is not None else {}), **more}


def rule(*backends, matches=None, filters=None, **more):
    """A route rule; backends are names or `ref`s."""
    made = dict(more)
    if matches:
        made["matches"] = matches
    if filters:
        made["filters"] = filters
    made["backendRefs"] = [ref(one) if isinstance(one, str) else one for one in backends]
    return made


def path(value, kind="PathPrefix", **more):
    """A match of a path."""
    return {"path": {"type": kind, "value": value}, **more}


def route(*rules, hostnames=None, kind="HTTPRoute", name=None, parent="edge", section=None, api=GATEWAY_API):
    parent_ref = {"name": parent, **({"sectionName": section} if section else {})}
    return document(api, kind, name or f"route-{next(_numbers)}", {
        "parentRefs": [parent_ref], **({"hostnames": hostnames} if hostnames else {}), "rules": list(rules)})


def tls_route(name, *hostnames, section=None):
    return route(rule(name), hostnames=list(hostnames), kind="TLSRoute", section=section)


def tcp_route(name, section=None):
    return route(rule(name), kind="TCPRoute", section=section, api="gateway.networking.k8s.io/v1alpha2")


def secret(name, pki, certificate):
    """A certificate of the PKI, by file."""
    return document("v1", "Secret", name, type="kubernetes.io/tls", stringData={
        "tls.crt": f"file:{pki.path(certificate)}.pem", "tls.key": f"file:{pki.path(certificate)}.key"})


def authority(name, pki):
    """A ConfigMap with the authority of the PKI, inline."""
    return document("v1", "ConfigMap", name, data={"ca.crt": (pki.directory / "ca.pem").read_text()})


def backend_tls(name, target, hostname, authority_name):
    return document(GATEWAY_API, "BackendTLSPolicy", name, {
        "targetRefs": [{"group": "martlet.dev", "kind": "Backend", "name": target}],
        "validation": {"hostname": hostname,
                       "caCertificateRefs": [{"group": "", "kind": "ConfigMap", "name": authority_name}]}})


def listener_policy(target="edge", **spec):
    """How the sockets of a Gateway treat their clients: limits={…}, role=…, proxyProtocol=…"""
    return document(MARTLET_API, "ListenerPolicy", f"{target}-policy",
                    {"targetRefs": [{"kind": "Gateway", "name": target}], **spec})


def traffic_policy(target="app", kind="Backend", name=None, **spec):
    """How requests to a Backend, or on a route, are treated."""
    group = "gateway.networking.k8s.io" if kind.endswith("Route") else "martlet.dev"
    return document(MARTLET_API, "TrafficPolicy", name or f"{target}-traffic",
                    {"targetRefs": [{"group": group, "kind": kind, "name": target}], **spec})


def limits(**values):
    """A ListenerPolicy of limits only."""
    return listener_policy(limits=values)


def settings(**spec):
    """What concerns the whole process; tests drain quickly."""
    return document(MARTLET_API, "ProxySettings", "settings", {"drainTimeout": "3s", "accessLog": {"type": "json"}, **spec})


def simple(port, *upstream_ports, protocol=None):
    """Everything that comes to port goes to one backend."""
    return [gateway(http(port)), backend("app", *upstream_ports, protocol=protocol), route(rule("app"))]


def as_text(documents):
    if not any(one["kind"] == "ProxySettings" for one in documents):
        documents = [*documents, settings()]
    return yaml.safe_dump_all(documents, sort_keys=False)


def write(directory, documents, name="config.yaml"):
    """Writes documents to one file of directory, in one step as an editor does."""
    directory.mkdir(parents=True, exist_ok=True)
    text = documents if isinstance(documents, str) else as_text(documents)
    # The temporary name is none that Martlet reads.
    new = directory / f".{name}.new"
    new.write_text(text)
    os.replace(new, directory / name)
