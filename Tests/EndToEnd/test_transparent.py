"""Connections that the kernel redirects, in network namespaces: a workload's, with real iptables, and a server's."""
import os
import shutil
import subprocess
import sys
import textwrap

import pytest

from harness import config, mesh
from harness.proxy import BINARIES

PROXY, PORT, GROUP = BINARIES / "martlet-proxy", 15006, 13337
NEAR, WEB, OTHER = "10.77.0.1", "10.77.0.2", "10.77.0.3"
NEAR6, WEB6, OTHER6 = "fd77::1", "fd77::2", "fd77::3"

missing = [one for one in ("ip", "iptables", "setpriv", "curl") if not shutil.which(one)]
needs_root = pytest.mark.skipif(os.geteuid() != 0 or bool(missing),
                                reason=f"needs root, to make network namespaces, and {missing or 'nothing else'}")

SERVER = textwrap.dedent("""
    import http.server, socket, sys, threading
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            local = self.connection.getsockname()
            body = f"{local[0]}:{local[1]} {self.headers['host']} {self.headers.get('x-request-id', '-')}\\n".encode()
            self.send_response(200)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)
        def log_message(self, *_): pass
    def banner(listener):
        while True:
            connection, _ = listener.accept()
            local = connection.getsockname()
            connection.sendall(f"{local[0]}:{local[1]}\\n".encode())
            threading.Thread(target=echo, args=(connection,), daemon=True).start()
    def echo(connection):
        while data := connection.recv(4096):
            connection.sendall(data)
        connection.close()
    class Server(http.server.ThreadingHTTPServer):
        address_family = socket.AF_INET6
    for port in (80, 8080):
        threading.Thread(target=Server(("::", port), Handler).serve_forever, daemon=True).start()
    for port in (9000, 7777):
        listener = socket.create_server(("::", port), family=socket.AF_INET6, dualstack_ipv6=True)
        threading.Thread(target=banner, args=(listener,), daemon=True).start()
    print("ready", flush=True)
    sys.stdin.read()
""")

# Connects, says what is asked, prints what comes back until the server has said a line, or ends.
CLIENT = textwrap.dedent("""
    import socket, sys
    with socket.create_connection((sys.argv[1], int(sys.argv[2])), timeout=10) as connection:
        if len(sys.argv) > 3: connection.sendall(bytes.fromhex(sys.argv[3]))
        data = b""
        while not data.endswith(b"\\n"):
            try: more = connection.recv(4096)
            except ConnectionResetError: break
            if not more: break
            data += more
        sys.stdout.write(data.decode("latin-1"))
""")


class Workload:
    """Two namespaces with a cable between them; the proxy and its clients are in the first."""

    def __init__(self, directory, stack):
        self.name, self.far = f"mrtw{os.getpid()}", f"mrts{os.getpid()}"
        self.stack, self.directory = stack, directory
        self.admin_socket = directory / "admin"
        for name in (self.name, self.far):
            self.sh("ip", "netns", "add", name)
            stack.callback(subprocess.run, ["ip", "netns", "del", name], check=False)
        self.sh("ip", "link", "add", "near", "netns", self.name, "type", "veth", "peer", "name", "far", "netns", self.far)
        for name, device, addresses in ((self.name, "near", (NEAR, NEAR6)),
                                        (self.far, "far", (WEB, OTHER, WEB6, OTHER6))):
            self.sh("ip", "-n", name, "link", "set", "lo", "up")
            for address in addresses:
                bits, flags = ("64", ["nodad"]) if ":" in address else ("24", [])
                self.sh("ip", "-n", name, "address", "add", f"{address}/{bits}", "dev", device, *flags)
            self.sh("ip", "-n", name, "link", "set", device, "up")
        server = self.start(self.far, sys.executable, "-c", SERVER)
        assert server.stdout.readline() == b"ready\n"

    def sh(self, *command):
        done = subprocess.run(command, capture_output=True, text=True)
        assert done.returncode == 0, f"{' '.join(command)}: {done.stderr}"
        return done.stdout

    def start(self, namespace, *command, **more):
        process = subprocess.Popen(["ip", "netns", "exec", namespace, *command], stdin=subprocess.PIPE,
                                   stdout=subprocess.PIPE, **more)
        self.stack.callback(self.end, process)
        return process

    @staticmethod
    def end(process):
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        process.stdin.close()
        process.stdout.close()

    def run(self, *command, namespace=None):
        return subprocess.run(["ip", "netns", "exec", namespace or self.name, *map(str, command)],
                              capture_output=True, text=True, timeout=30)

    def intercept(self, *arguments):
        done = self.run(PROXY, "intercept", "--transparent-port", PORT, "--proxy-gid", GROUP, *arguments)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def proxy(self, model, eventually):
        snapshot = self.directory / "workload.snapshot"
        snapshot.write_bytes(mesh.encode(model))
        with open(self.directory / "proxy.log", "wb") as log:
            self.start(self.name, "setpriv", "--regid", str(GROUP), "--clear-groups", PROXY, "--snapshot", snapshot,
                       "--admin", f"unix:{self.admin_socket}", "--loops", "2", stderr=log)
        eventually(lambda: self.admin("/ready") == "ready\n", "the proxy is ready")

    def admin(self, path):
        return self.run("curl", "-s", "--unix-socket", self.admin_socket, f"http://admin{path}").stdout

    def count(self, family, *labels):
        return sum(int(line.split()[-1]) for line in self.admin("/metrics").splitlines()
                   if line.startswith(family + "{") and all(label in line for label in labels))

    def curl(self, url, *arguments):
        return self.run("curl", "-s", "-m", "10", "-g", *arguments, url).stdout

    def bytes(self, address, port, said=b"", namespace=None):
        done = self.run(sys.executable, "-c", CLIENT, address, port, *([said.hex()] if said else []), namespace=namespace)
        return done.stdout if done.returncode == 0 else done.stderr.splitlines()[-1]


def model(directory, passes_unknown=True):
    """web.test is at OTHER:80 by HTTP; what is sent to port 9000 of WEB goes to OTHER."""
    made = mesh.compiled(directory / "documents", [
        config.gateway(config.http(PORT), config.tcp(PORT + 1)), config.backend("web", 80), config.backend("bytes", 9000),
        config.route(config.rule("web"), hostnames=["web.test"], section="l0"), config.tcp_route("bytes", section="l1"),
        config.settings()])
    listener, bytes_ = sorted(made.listeners, key=lambda one: one.address.ip.port)
    listener.sections.append(bytes_.sections[0])
    http, tcp = (one.name for one in listener.sections)
    made.listeners.remove(bytes_)
    listener.address.any_port = PORT
    listener.role = mesh.proto.ROLE_SIDECAR
    destinations = listener.original_destination
    destinations.passes_unknown = passes_unknown
    for port, section, address in ((80, http, None), (8080, http, None), (9000, tcp, WEB), (9000, tcp, WEB6)):
        destinations.entries.add(port=port, section=section, address=address)
    for backend in made.backends:
        for endpoint in backend.endpoints:
            endpoint.address.ip.host = OTHER
    made.place.service = "shop/client"
    mesh.backend(made, "web").service = "shop/web"
    mesh.backend(made, "web").endpoints[0].labels["version"] = "v7"
    return made


@pytest.fixture
def workload(tmp_path, closing):
    return Workload(tmp_path, closing)


@needs_root
def test_redirected_connections(workload, eventually):
    workload.proxy(model(workload.directory), eventually)
    assert workload.curl(f"http://{WEB}/").split()[0] == f"::ffff:{WEB}:80", "nothing is redirected yet"
    said = workload.intercept()
    assert f"redirected to port {PORT}" in said
    # By host: the client's address does not matter.
    by_host = workload.curl("http://web.test/", "--resolve", f"web.test:80:{WEB}").split()
    assert by_host[:2] == [f"::ffff:{OTHER}:80", "web.test"] and by_host[2] != "-"
    h2 = workload.curl("http://web.test/", "--resolve", f"web.test:80:{WEB}", "--http2-prior-knowledge").split()
    assert h2[0] == f"::ffff:{OTHER}:80"
    # A host that no route takes goes where it was sent, and is told nothing of the proxy.
    assert workload.curl(f"http://{WEB}:8080/").split() == [f"::ffff:{WEB}:8080", f"{WEB}:8080", "-"]
    # Bytes, by address and port.
    assert workload.bytes(WEB, 9000) == f"::ffff:{OTHER}:9000\n"
    # The same port of another address is unknown, as is another port.
    assert workload.bytes(OTHER, 9000) == f"::ffff:{OTHER}:9000\n"
    assert workload.bytes(WEB, 7777) == f"::ffff:{WEB}:7777\n"
    assert workload.count("martlet_requests_total", 'backend="passthrough"') == 3
    assert workload.count("martlet_hop_requests_total", 'direction="outbound"', 'source="shop/client"',
                          'destination="shop/web"', 'destination_version="v7"', 'status_class="2xx"') == 2
    assert workload.count("martlet_hop_requests_total", 'destination="passthrough"') == 3


@needs_root
def test_tls_where_http_is_expected_passes_through(workload, eventually):
    workload.proxy(model(workload.directory), eventually)
    workload.intercept()
    # The server knows no TLS and says so: what it says is a line of HTTP, which nobody in between would write.
    assert workload.bytes(WEB, 80, b"\x16\x03\x01\x00\x05hello\n\r\n").startswith("<!DOCTYPE HTML")
    assert workload.count("martlet_requests_total", 'backend="passthrough"') == 1


@needs_root
def test_ipv6(workload, eventually):
    workload.proxy(model(workload.directory), eventually)
    if "no IPv6" in workload.intercept():
        pytest.skip("this machine redirects no IPv6")
    assert workload.curl("http://web.test/", "--resolve", f"web.test:80:[{WEB6}]").startswith(f"::ffff:{OTHER}:80")
    assert workload.bytes(WEB6, 9000) == f"::ffff:{OTHER}:9000\n"
    assert workload.bytes(WEB6, 7777) == f"{WEB6}:7777\n"
    assert workload.curl(f"http://[{WEB6}]:8080/").startswith(f"{WEB6}:8080 ")


@needs_root
def test_unknown_destinations_are_refused(workload, eventually):
    workload.proxy(model(workload.directory, passes_unknown=False), eventually)
    workload.intercept()
    assert workload.bytes(WEB, 7777) == ""
    assert workload.bytes(WEB, 80, b"\x16\x03\x01\x00\x05hello\n\r\n") == ""
    assert workload.count("martlet_local_answers_total", 'reason="destination_unknown"') == 2
    status = workload.curl(f"http://{WEB}/", "-o", "/dev/null", "-w", "%{http_code} %header{x-martlet-reason}")
    assert status == "404 route_not_found"
    assert workload.bytes(WEB, 9000) == f"::ffff:{OTHER}:9000\n"


@needs_root
def test_a_connection_that_was_not_redirected_does_not_loop(workload, eventually):
    workload.proxy(model(workload.directory), eventually)
    workload.intercept()
    assert workload.bytes(NEAR, PORT, b"GET / HTTP/1.1\r\nhost: x\r\n\r\n", namespace=workload.far) == ""
    assert workload.bytes("127.0.0.1", PORT, b"GET / HTTP/1.1\r\nhost: x\r\n\r\n") == ""
    assert workload.count("martlet_local_answers_total", 'reason="not_redirected"') == 2
    assert workload.count("martlet_downstream_connections_total") == 2


@needs_root
def test_rules_are_set_once_and_removed(workload):
    def rules(program="iptables"):
        return workload.run(program, "-t", "nat", "-S").stdout

    before = rules(), rules("ip6tables")
    workload.intercept("--exclude-ports", "22")
    workload.intercept("--outbound-ports", "80,8080", "--exclude-cidrs", "10.9.0.0/16,fd99::/16")
    now = rules()
    assert now.count("-j MARTLET_OUTPUT") == 1 and "--dport 22" not in now
    assert now.count(f"REDIRECT --to-ports {PORT}") == 2 and "-d 10.9.0.0/16" in now and "fd99" not in now
    assert f"--gid-owner {GROUP}" in now
    assert workload.bytes(WEB, 7777) == f"::ffff:{WEB}:7777\n", "a port that is not redirected"
    done = workload.run(PROXY, "intercept", "--remove")
    assert done.returncode == 0, done.stderr
    assert (rules(), rules("ip6tables")) == before
    assert workload.run(PROXY, "intercept", "--remove").returncode == 0, "nothing is left to remove"


def intercept(*arguments, **more):
    return subprocess.run([PROXY, "intercept", *map(str, arguments)], capture_output=True, text=True, **more)


def test_a_dry_run_prints_a_script_that_shells_understand():
    done = intercept("--transparent-port", 15006, "--proxy-uid", 1337, "--exclude-ports=22,25", "--dry-run")
    assert done.returncode == 0, done.stderr
    for expected in ("iptables-restore -w --noflush <<END", "ip6tables-restore", "--uid-owner 1337 -j RETURN",
                     "--dport 22 -j RETURN", "-p tcp -j REDIRECT --to-ports 15006", "-C OUTPUT", "-A OUTPUT"):
        assert expected in done.stdout
    assert subprocess.run(["sh", "-n"], input=done.stdout, text=True).returncode == 0
    assert subprocess.run(["sh", "-n"], input=intercept("--remove", "--dry-run").stdout, text=True).returncode == 0


@pytest.mark.parametrize("arguments, expected", [
    ((), "--transparent-port PORT is missing"),
    (("--transparent-port", "15006"), "--proxy-uid UID or --proxy-gid GID is missing"),
    (("--transparent-port", "0"), 'not "0"'),
    (("--transparent-port", "1", "--proxy-uid", "root"), 'not "root"'),
    (("--transparent-port", "1", "--exclude-cidrs", "10.0.0.0/33"), 'not "10.0.0.0/33"'),
    (("--transparent-port", "1", "--exclude-ports", "80,,81"), 'not ""'),
    (("--bogus",), 'unknown argument "--bogus"'),
])
def test_mistakes_are_named(arguments, expected):
    done = intercept(*arguments)
    assert done.returncode == 2 and expected in done.stderr


@pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("setpriv"), reason="needs root, to be somebody else")
def test_only_root_can_redirect():
    command = ["setpriv", "--reuid", "65534", "--clear-groups", PROXY, "intercept", "--remove"]
    done = subprocess.run(command, capture_output=True, text=True)
    if "Permission denied" in done.stderr:
        pytest.skip("others may not run the program from where it is")
    assert done.returncode == 2 and "only root" in done.stderr


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, which comes first")
def test_without_iptables_that_is_said(tmp_path):
    done = intercept("--transparent-port", 1, "--proxy-uid", 1, env={"PATH": str(tmp_path)})
    assert done.returncode == 2 and "iptables-restore is not installed, or not in PATH" in done.stderr
