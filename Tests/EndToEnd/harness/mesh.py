"""Proxies of a mesh without a control plane: identities on disk, and compiled configurations made from parts.

A snapshot begins as documents that `martlet compile` compiles, so that all defaults are there; what documents without a
control plane cannot say (sections for the mesh, meshed endpoints, access rules) is added to the message.
"""
import datetime
import os
import pathlib
import signal
import struct
import subprocess
import sys

import grpc
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from . import config
from .proxy import BINARIES, ROOT, Proxy, martlet

# grpcio-tools finds the file, and what it imports, on sys.path.
_proto = str(ROOT / "proto")
sys.path.insert(0, _proto)
proto = grpc.protos("martlet/v1/model.proto")
sys.path.remove(_proto)

DOMAIN = "mesh.test"
STRICT, PERMISSIVE = proto.MTLS_MODE_STRICT, proto.MTLS_MODE_PERMISSIVE
ALLOW, DENY = proto.ACCESS_ACTION_ALLOW, proto.ACCESS_ACTION_DENY
_MAGIC = b"\x89MRTL\n"


def spiffe(name, domain=DOMAIN):
    """The SPIFFE id of `namespace/service`."""
    namespace, service = name.split("/")
    return f"spiffe://{domain}/ns/{namespace}/svc/{service}"


# MARK: Compiled configurations (Sources/MeshModel/Wire/ModelFile.swift)

def decode(data):
    """The Model message of a compiled configuration."""
    assert data[:6] == _MAGIC, "not a compiled configuration"
    version, length, checksum = struct.unpack(">HQQ", data[6:24])
    message = data[24:]
    assert version == 2 and length == len(message) and checksum == _fnv1a(message)
    model = proto.Model()
    model.ParseFromString(message)
    return model


def encode(model):
    """The compiled form of a Model message."""
    message = model.SerializeToString(deterministic=True)
    return _MAGIC + struct.pack(">HQQ", 2, len(message), _fnv1a(message)) + message


def _fnv1a(data):
    value = 0xcbf29ce484222325
    for byte in data:
        value = (value ^ byte) * 0x100000001b3 & 0xffffffffffffffff
    return value


def compiled(directory, documents):
    """The Model message that `martlet compile` makes of documents."""
    config.write(directory, documents)
    out = directory.with_suffix(".snapshot")
    done = martlet("compile", directory, "-o", out)
    assert done.returncode == 0, done.stderr
    return decode(out.read_bytes())


def section(model, port):
    """The one section of the listener at port."""
    [found] = [one for one in model.listeners if (one.address.ip.port or one.address.any_port) == port]
    return found.sections[0]


def as_sidecar(model, port=None):
    """Makes the listener at port, or all, those of a sidecar."""
    for listener in model.listeners:
        if port in (None, listener.address.ip.port):
            listener.role = proto.ROLE_SIDECAR


def as_inbound(model, port, mode=STRICT):
    """Makes the listener at port one that serves the mesh."""
    as_sidecar(model, port)
    one = section(model, port)
    one.mesh = mode
    one.protocol = (proto.SECTION_PROTOCOL_TLS if one.protocol == proto.SECTION_PROTOCOL_TCP
                    else proto.SECTION_PROTOCOL_HTTPS)


def backend(model, name):
    """The backend of the Backend document called name."""
    [found] = [one for one in model.backends if one.name.split("/")[-1].split("#")[0].split(":")[0] == name]
    return found


def mesh_backend(model, name, *services, domain=DOMAIN, meshed=None):
    """Makes the endpoints of a backend (those at the ports of `meshed`, if given) proxies that show one of services."""
    one = backend(model, name)
    one.mesh.identities[:] = [spiffe(service, domain) for service in services]
    for endpoint in one.endpoints:
        endpoint.is_meshed = meshed is None or endpoint.address.ip.port in meshed


def policy(name, action=ALLOW, *rules, audit=False):
    return proto.AccessPolicy(name=name, action=action, is_audit=audit, rules=rules)


def rule(sources=(), operations=()):
    """Each source and each operation is a dictionary of the fields of its message."""
    return proto.AccessRule(**{"from": [proto.AccessSource(**one) for one in sources]},
                            to=[proto.AccessOperation(**one) for one in operations])


def access(model, port, *policies, default=ALLOW):
    """Puts access rules on the section of the listener at port."""
    rules = section(model, port).access
    rules.default_action = default
    del rules.policies[:]
    rules.policies.extend(policies)


# MARK: Identities

class Authority:
    """A root and an intermediate that signs leaves."""

    def __init__(self, name="root"):
        self.root_key, self.root = self._issue(name, None, None, is_authority=True)
        self.key = self.certificate = None
        self.renew()

    def renew(self):
        """Another intermediate under the same root."""
        self.key, self.certificate = self._issue("intermediate", self.root_key, self.root, is_authority=True)

    def leaf(self, uri, common_name="instance", hours=1.0, dns=()):
        """(chain, key), PEM."""
        names = [x509.UniformResourceIdentifier(uri)] if uri else []
        names += [x509.DNSName(one) for one in dns]
        key, leaf = self._issue(common_name, self.key, self.certificate, names=names, hours=hours)
        return pem(leaf) + pem(self.certificate), key_pem(key)

    def identity(self, directory, name, *, domain=DOMAIN, bundle=None, **more):
        """Writes the identity of `namespace/service` into directory; `bundle`: authorities to believe."""
        directory = pathlib.Path(directory)
        directory.mkdir(parents=True, exist_ok=True)
        chain, key = self.leaf(spiffe(name, domain), **more)
        roots = b"".join(pem(one.root) for one in bundle or [self])
        for file, data in (("identity.pem", chain), ("identity.key", key), ("bundle.pem", roots)):
            descriptor = os.open(directory / f".{file}", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with open(descriptor, "wb") as out:
                out.write(data)
            os.replace(directory / f".{file}", directory / file)
        return directory

    def _issue(self, common_name, issuer_key, issuer, *, is_authority=False, names=(), hours=24.0):
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])
        now = datetime.datetime.now(datetime.timezone.utc)
        start, end = now - datetime.timedelta(hours=1), now + datetime.timedelta(hours=hours)
        builder = (x509.CertificateBuilder().subject_name(subject).issuer_name(issuer.subject if issuer else subject)
                   .public_key(key.public_key()).serial_number(x509.random_serial_number())
                   .not_valid_before(min(start, end - datetime.timedelta(seconds=1))).not_valid_after(end)
                   .add_extension(x509.BasicConstraints(ca=is_authority, path_length=None), critical=True))
        if names:
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        return key, builder.sign(issuer_key or key, hashes.SHA256())


def pem(certificate):
    return certificate.public_bytes(serialization.Encoding.PEM)


def key_pem(key):
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8,
                             serialization.NoEncryption())


# MARK: Proxies

class MeshProxy(Proxy):
    """One running `martlet-proxy --snapshot FILE --identity DIR`."""

    def __init__(self, directory, name):
        super().__init__(directory / name)
        self.root = directory / name
        self.root.mkdir(parents=True, exist_ok=True)
        self.snapshot = self.root / "proxy.snapshot"
        self.identity = self.root / "identity"
        self.log_path = self.root / "proxy.log"

    def compile(self, documents):
        """The Model message of documents, to be changed."""
        return compiled(self.directory, documents if any(one["kind"] == "ProxySettings" for one in documents)
                        else [*documents, config.settings()])

    def start(self, model, *arguments, ready=True):
        self.write(model)
        identity = ["--identity", self.identity] if self.identity.exists() else []
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(
                [BINARIES / "martlet-proxy", "--snapshot", self.snapshot, *identity, "--loops", "1",
                 "--admin", f"127.0.0.1:{self.admin_port}", *arguments],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)
        if ready:
            self.wait(lambda: self.admin("/ready")[0] == 200, "ready")
        return self

    def write(self, model):
        self.snapshot.write_bytes(encode(model))

    def reread(self, expected="martlet-proxy: adopted"):
        """SIGHUP; returns when the log says another time what is expected."""
        before = self.log().count(expected)
        self.signal(signal.SIGHUP)
        self.wait(lambda: self.log().count(expected) > before, expected)

    def refuses(self, reason):
        """Connections that were refused for reason so far."""
        return self.metric("martlet_local_answers_total", reason=reason)


class Pair:
    """A client's sidecar before a service's sidecar, without their control plane.

    caller.port ⇒ mutual TLS ⇒ callee.port → the application.
    """

    def __init__(self, directory, authority, caller="shop/web", callee="shop/cart"):
        self.authority = authority
        self.caller, self.callee = MeshProxy(directory, "caller"), MeshProxy(directory, "callee")
        self.names = caller, callee
        self.authority.identity(self.caller.identity, caller)
        self.authority.identity(self.callee.identity, callee)

    def models(self, application, protocol=None, tcp=False, mode=STRICT, expects=None):
        """(caller's, callee's) models for an application at a port."""
        def documents(port, *upstreams, **more):
            if tcp:
                return [config.gateway(config.tcp(port)), config.backend("app", *upstreams, **more),
                        config.tcp_route("app")]
            return config.simple(port, *upstreams, **more)
        inbound = self.callee.compile(documents(self.callee.port, application, protocol=protocol))
        as_inbound(inbound, self.callee.port, mode)
        outbound = self.caller.compile(documents(self.caller.port, self.callee.port, protocol=protocol))
        as_sidecar(outbound)
        mesh_backend(outbound, "app", *(expects or [self.names[1]]))
        return outbound, inbound

    def start(self, application, change=None, **more):
        """Starts both; change(caller's model, callee's model) may change them before."""
        outbound, inbound = self.models(application, **more)
        if change:
            change(outbound, inbound)
        self.callee.start(inbound)
        self.caller.start(outbound)
        return self

    @property
    def port(self):
        return self.caller.port

    def stop(self):
        try:
            self.caller.stop()
        finally:
            self.callee.stop()
