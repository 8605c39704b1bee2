"""What keeps the proxy from starting is one clear line and exit code 2, and leaves nothing half-started."""
import resource
import socket
import subprocess

import pytest

from harness import config
from harness.http1 import fetch
from harness.ports import free_port
from harness.proxy import BINARIES, CRASH, martlet


def run(directory, *arguments, **more):
    """`martlet run` that is expected to end at once."""
    return subprocess.run([BINARIES / "martlet", "run", directory, *arguments], capture_output=True, text=True,
                          stdin=subprocess.DEVNULL, timeout=20, **more)


def refused(done, *words, lines=1):
    """Exit code 2, and each word in what was said; the last line is the clear one."""
    assert done.returncode == 2, (done.returncode, done.stderr)
    assert not CRASH.search(done.stderr), done.stderr
    said = [line for line in done.stderr.splitlines() if line.strip()]
    if lines:
        assert len(said) == lines, done.stderr
    for word in words:
        assert str(word) in done.stderr, done.stderr


@pytest.fixture
def directory(tmp_path):
    return tmp_path / "config"


def write(directory, documents):
    config.write(directory, documents)
    return directory


def test_port_that_is_taken(directory):
    free = free_port()
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        documents = [config.gateway(config.http(free), config.http(port)), *config.simple(free, 1)[1:]]
        refused(run(write(directory, documents)), port, "in use")
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", free), 1)


def test_second_proxy_on_the_same_port(proxy, upstream, tmp_path):
    """SO_REUSEPORT, which the loops of one process share a port with, must not let two processes share it."""
    server = upstream()
    proxy.start(config.simple(proxy.port, server.port))
    refused(run(write(tmp_path / "second", config.simple(proxy.port, server.port))), proxy.port, "in use")
    assert all(fetch(proxy.port).status == 200 for _ in range(10))


def test_admin_port_that_is_taken(directory):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        refused(run(write(directory, config.simple(free_port(), 1)), "--admin", address), address, "in use")


def test_directory_that_is_not_there(directory):
    refused(run(directory), directory)


def test_directory_without_documents(directory):
    directory.mkdir()
    refused(run(directory), directory, "yaml")


def test_mistake_in_a_document_is_shown_with_its_line(directory):
    text = config.as_text(config.simple(free_port(), 1)).replace("appProtocol", "x").replace("endpoints:", "endpoint:")
    number = next(index for index, line in enumerate(text.splitlines(), 1) if "endpoint:" in line)
    refused(run(write(directory, text)), f"config.yaml:{number}", "endpoints", lines=None)


@pytest.fixture
def broken(pki, tmp_path):
    """A Secret of two files: broken(certificate text, key text)."""
    def make(certificate, key):
        (tmp_path / "c.pem").write_text(certificate)
        (tmp_path / "c.key").write_text(key)
        return config.document("v1", "Secret", "cert", type="kubernetes.io/tls", stringData={
            "tls.crt": f"file:{tmp_path}/c.pem", "tls.key": f"file:{tmp_path}/c.key"})
    return make


@pytest.mark.parametrize("kind", ["garbage", "key of another certificate", "damaged", "missing"])
def test_bad_certificate(directory, pki, broken, tmp_path, kind):
    good = pki.path("localhost").with_suffix(".pem").read_text()
    key = pki.path("localhost").with_suffix(".key").read_text()
    lines = good.splitlines(keepends=True)
    secret = {"garbage": lambda: broken("no certificate", key), "damaged": lambda: broken("".join(lines[:3] + lines[4:]), key),
              "key of another certificate": lambda: broken(good, pki.path("shop").with_suffix(".key").read_text()),
              "missing": lambda: broken(good, key)}[kind]()
    if kind == "missing":
        (tmp_path / "c.pem").unlink()
    port = free_port()
    done = run(write(directory, [config.gateway(config.https(port, "cert")), *config.simple(port, 1)[1:], secret]))
    refused(done, "cert", lines=None)
    assert key.splitlines()[1] not in done.stderr, "the private key was printed"


def test_too_few_descriptors(directory):
    """A limit that cannot be raised, and too low to start with."""
    done = run(write(directory, config.simple(free_port(), 1)), "--loops", "16",
               preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (14, 14)))
    refused(done, "14", "ulimit -n")


def test_soft_limit_of_descriptors_is_raised(proxy, upstream):
    server = upstream()
    proxy.start(config.simple(proxy.port, server.port))
    assert proxy.metric("process_max_fds") == resource.getrlimit(resource.RLIMIT_NOFILE)[1]


@pytest.mark.parametrize("arguments", [("--loops", "0"), ("--loops", "x"), ("--admin", "nowhere"), ("--nonsense",)])
def test_bad_arguments(directory, arguments):
    done = run(write(directory, config.simple(free_port(), 1)), *arguments)
    assert done.returncode not in (0, 1) and arguments[0] in done.stderr


def test_compiled_snapshot_is_served_by_the_bare_proxy(directory, upstream, tmp_path, closing):
    server, port, snapshot = upstream(), free_port(), tmp_path / "snapshot"
    done = martlet("compile", write(directory, config.simple(port, server.port)), "-o", snapshot)
    assert done.returncode == 0, done.stderr
    assert snapshot.stat().st_mode & 0o077 == 0, "a snapshot holds private keys"
    process = subprocess.Popen([BINARIES / "martlet-proxy", "--snapshot", snapshot, "--loops", "1"],
                               stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    closing.callback(process.wait)
    closing.callback(process.terminate)
    assert str(port) in process.stderr.readline()
    assert fetch(port).status == 200


@pytest.mark.parametrize("damage", [b"", b"nonsense", None])
def test_damaged_snapshot(directory, tmp_path, damage):
    snapshot = tmp_path / "snapshot"
    assert martlet("compile", write(directory, config.simple(free_port(), 1)), "-o", snapshot).returncode == 0
    data = bytearray(snapshot.read_bytes())
    data[-1] ^= 1
    snapshot.write_bytes(bytes(data) if damage is None else damage)
    done = subprocess.run([BINARIES / "martlet-proxy", "--snapshot", snapshot], capture_output=True, text=True, timeout=10)
    refused(done)
