"""The demo's folder: a copy of the configuration with ports that are free here, certificates, the compiled service."""
import os
import pathlib
import random
import re
import shutil
import socket
import subprocess

from .processes import Unable

HERE = pathlib.Path(__file__).resolve().parent.parent
ROOT = HERE.parent.parent
BINARIES = pathlib.Path(os.environ.get("MARTLET_BIN", ROOT / ".build/release"))
ADMIN_PORT = 9901
PORT = re.compile(r"\bport: (\d+)")
CERTIFICATE = "gateway=DNS:localhost,IP:127.0.0.1,DNS:orders.example.com"
WANTED = {
    "curl": "apt-get install curl", "node": "apt-get install nodejs", "openssl": "apt-get install openssl",
}


class Site:
    """Where everything is, for this run.

    `ports` maps each port of the YAML files to the one in use: the same, unless it is taken.
    """

    def __init__(self, directory):
        self.directory = directory
        self.configuration = directory / "config"
        self.logs = directory / "logs"
        self.authority = self.configuration / "certs/ca.pem"
        self.catalog = directory / "catalog"
        texts = {path.name: path.read_text() for path in sorted(HERE.glob("*.yaml"))}
        wanted = {int(number) for text in texts.values() for number in PORT.findall(text)}
        self.ports = _free_ports(wanted | {ADMIN_PORT})
        self.configuration.mkdir()
        self.logs.mkdir()
        for name, text in texts.items():
            (self.configuration / name).write_text(
                PORT.sub(lambda match: f"port: {self.ports[int(match[1])]}", text))

    @property
    def moved(self):
        """Ports that were taken, with what is used instead."""
        return {port: used for port, used in self.ports.items() if port != used}

    @property
    def admin(self):
        return self.ports[ADMIN_PORT]

    @property
    def http(self):
        return f"http://localhost:{self.ports[8080]}"

    @property
    def https(self):
        return f"https://localhost:{self.ports[8443]}"

    def make_certificates(self):
        """A development PKI of this run's own."""
        _run([ROOT / "certs/make", self.authority.parent, CERTIFICATE], "the certificates cannot be made")

    def compile_catalog(self):
        """The service in C, compiled here and now."""
        compiler = _compiler()
        source = HERE / "services/catalog.c"
        _run([*compiler, "-O2", "-pthread", "-o", self.catalog, source], "the service in C does not compile")


def check_tools():
    """Raises if something that the demo needs is not installed."""
    for tool, remedy in WANTED.items():
        if not shutil.which(tool):
            raise Unable(f"{tool} is not installed; `make setup` or `{remedy}` installs it")
    _compiler()
    if not (BINARIES / "martlet").exists():
        raise Unable(f"{BINARIES / 'martlet'} is not built; `make build` builds it")


def _compiler():
    for name in [os.environ.get("CC"), "cc", "clang", "gcc"]:
        if name and shutil.which(name.split()[0]):
            return name.split()
    raise Unable("there is no C compiler; `make setup` or `apt-get install gcc libc6-dev` installs one")


def _run(command, failure):
    result = subprocess.run([str(part) for part in command], stdin=subprocess.DEVNULL, capture_output=True, text=True,
                            timeout=60)
    if result.returncode != 0:
        raise Unable(f"{failure}:\n{result.stderr.strip()}")


def _free_ports(wanted):
    """Each wanted port with itself if it is free, or with another one that is."""
    kept = {port for port in wanted if _is_free(port)}
    used = set(kept)
    ports = {port: port for port in kept}
    for port in sorted(wanted - kept):
        ports[port] = _other_port(used | wanted)
        used.add(ports[port])
    return ports


def _other_port(taken):
    """A free port below the range that the kernel takes for outgoing connections."""
    for _ in range(1000):
        port = random.randint(12000, 29999)
        if port not in taken and _is_free(port):
            return port
    raise Unable("there is no free port between 12000 and 29999")


def _is_free(port):
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
