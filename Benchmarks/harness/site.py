"""What stands around the proxies: the work directory, certificates, files to serve, and the backends."""
import os
import pathlib
import shutil
import subprocess
import tempfile

from .processes import end, require_free, spawn, wait_for_port

# BENCH_PORTS moves all ports, for a machine where two people measure; the prototype then sits out.
BASE = int(os.environ.get("BENCH_PORTS", 9000))
FRONT, ADMIN = BASE + 100, BASE + 109  # where the measured proxy listens
MIDDLE = BASE + 101  # the hop between the two proxies of a pair
H1, H2C, H2TLS = BASE + 1, BASE + 2, BASE + 3  # backends
ROUTES = [f"r{number:02d}" for number in range(20)]
ROOT = pathlib.Path(__file__).resolve().parents[2]

NGINX_HEAD = """worker_processes 1; daemon off; error_log /dev/null crit; pid {dir}/{name}.pid;
events {{ worker_connections 8192; multi_accept on; }}
http {{ access_log off; keepalive_requests 100000000; keepalive_timeout 600s; client_max_body_size 0;
 client_body_temp_path {dir}/{name}-body; proxy_temp_path {dir}/{name}-proxy; fastcgi_temp_path {dir}/{name}-fastcgi;
 uwsgi_temp_path {dir}/{name}-uwsgi; scgi_temp_path {dir}/{name}-scgi;
"""


class Site:
    """One work directory with running backends; `with Site() as site`."""

    def __init__(self):
        require_free([FRONT, MIDDLE, ADMIN, H1, H2C, H2TLS])
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="martlet-bench-"))
        self.dir.chmod(0o755)
        self.log = str(self.dir / "log")
        self.backends = []

    def write(self, name, text):
        """Writes a file of the work directory and returns its path."""
        path = self.dir / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return str(path)

    def __enter__(self):
        try:
            self._files()
            self._certificates()
            self._start_backends()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        for backend in self.backends:
            end(backend)
        shutil.rmtree(self.dir, ignore_errors=True)

    def _files(self):
        files = self.dir / "files"
        files.mkdir()
        (files / "1k").write_bytes(b"x" * 1024)
        (files / "1m").write_bytes(b"x" * (1 << 20))
        (self.dir / "www").mkdir()
        for route in ROUTES:
            (self.dir / "www" / route).symlink_to(files)

    def _certificates(self):
        names = "leaf=DNS:localhost,IP:127.0.0.1,URI:spiffe://bench/ns/default/sa/bench"
        subprocess.run([ROOT / "certs/make", self.dir, names], check=True, capture_output=True)
        (self.dir / "both.pem").write_text((self.dir / "leaf.pem").read_text() + (self.dir / "leaf.key").read_text())
        for name in ("leaf.key", "leaf.pem", "both.pem", "ca.pem"):
            (self.dir / name).chmod(0o644)  # nginx and nghttpd workers give up root

    def _start_backends(self):
        d = self.dir
        configuration = self.write(
            "backend.conf", NGINX_HEAD.format(dir=d, name="backend")
            + f" server {{ listen 127.0.0.1:{H1}; root {d}/www; }} }}\n")
        commands = {
            H1: ["nginx", "-c", configuration, "-p", str(d)],
            H2C: ["nghttpd", "--no-tls", "-d", f"{d}/www", "-a", "127.0.0.1", str(H2C)],
            H2TLS: ["nghttpd", "-d", f"{d}/www", "-a", "127.0.0.1", str(H2TLS), f"{d}/leaf.key", f"{d}/leaf.pem"],
        }
        for port, command in commands.items():
            self.backends.append(spawn(command, "1", self.log))
            wait_for_port(port, self.backends[-1], self.log)
