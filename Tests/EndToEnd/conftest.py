"""Fixtures: a proxy per test, upstreams that are closed after it, a PKI per session."""
import contextlib
import pathlib
import socket
import subprocess
import sys
import time

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parent))

from harness import config  # noqa: E402
from harness.grpc_echo import EchoServer  # noqa: E402
from harness.http1 import Connection, fetch  # noqa: E402
from harness.http2 import H2Client, H2Server, RawH2  # noqa: E402
from harness.plane import Mesh  # noqa: E402
from harness.pki import PKI  # noqa: E402
from harness.ports import free_port  # noqa: E402
from harness.proxy import BINARIES, Proxy  # noqa: E402
from harness.routing import Routed  # noqa: E402
from harness.upstream import Upstream  # noqa: E402


def pytest_report_header():
    return f"martlet: {BINARIES}"


@pytest.fixture(scope="session")
def pki(tmp_path_factory):
    return PKI(tmp_path_factory.mktemp("pki"))


@pytest.fixture
def closing():
    """Closes what is entered into it, after the proxy has ended."""
    with contextlib.ExitStack() as stack:
        yield stack


@pytest.fixture
def upstream(closing):
    """Makes upstreams: upstream(script), or upstream(serve=…), or upstream(tls=…)."""
    def make(script=None, **more):
        made = Upstream(script, **more)
        closing.callback(made.close)
        return made
    return make


@pytest.fixture
def h2_upstream(closing):
    def make(script=None, **more):
        made = H2Server(script, **more)
        closing.callback(made.close)
        return made
    return make


@pytest.fixture
def echo(closing):
    """A grpcio server."""
    made = EchoServer()
    closing.callback(made.close)
    return made


@pytest.fixture
def node_upstream(closing):
    """The port of an upstream on Node's http2."""
    port = free_port()
    process = subprocess.Popen(["node", pathlib.Path(__file__).parent / "harness/node_h2.mjs", str(port)],
                               stdout=subprocess.PIPE, stdin=subprocess.DEVNULL)
    closing.callback(process.wait)
    closing.callback(process.kill)
    assert process.stdout.readline() == b"ready\n"
    return port


@pytest.fixture
def proxy(closing, tmp_path):
    """A proxy, not started yet; it must end well."""
    made = Proxy(tmp_path)
    yield made
    made.stop()


@pytest.fixture
def mesh(closing, tmp_path):
    """A control plane and its proxies, none started yet; all must end well."""
    made = Mesh(tmp_path)
    yield made
    made.close()


class Clients:
    """Connections to the proxy, all closed before it is asked to end."""

    def __init__(self, proxy, stack):
        self.proxy, self.stack = proxy, stack

    def http1(self, port=None, **more):
        return self.stack.enter_context(Connection.to(port or self.proxy.port, **more))

    def http2(self, port=None, **more):
        return self.stack.enter_context(H2Client(port or self.proxy.port, **more))

    def frames(self, port=None, **more):
        return self.stack.enter_context(RawH2(port or self.proxy.port, **more))

    def get(self, path="/", port=None, **more):
        return fetch(port or self.proxy.port, path, **more)


@pytest.fixture
def client(proxy):
    with contextlib.ExitStack() as stack:
        yield Clients(proxy, stack)


@pytest.fixture
def serve(proxy, upstream):
    """Starts the proxy before one HTTP/1.1 upstream and returns that: serve(script, extra documents…)."""
    def start(script=None, *documents, **more):
        made = upstream(script, **more)
        proxy.start([*config.simple(proxy.port, made.port), *documents])
        return made
    return start


@pytest.fixture
def serve_h2(proxy, h2_upstream):
    """The same with an HTTP/2 upstream."""
    def start(script=None, *documents, **more):
        made = h2_upstream(script, **more)
        proxy.start([*config.simple(proxy.port, made.port, protocol=config.H2C), *documents])
        return made
    return start


@pytest.fixture
def routed(proxy, closing):
    """Routes to upstreams that are made as they are named: routed.start(rule, …), routed.to(path)."""
    return Routed(proxy, closing)


def eventually(condition, what="it", seconds=5):
    """Waits until condition() is true."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"{what} did not happen within {seconds} s"
        time.sleep(0.02)


@pytest.fixture(name="eventually")
def eventually_fixture():
    return eventually


@pytest.fixture
def refusing_port():
    """A port that refuses connections."""
    with socket.socket() as held:  # bound, not listening: nobody else takes it meanwhile
        held.bind(("127.0.0.1", 0))
        yield held.getsockname()[1]
