"""`martlet run` on a directory of its own, from start to a clean end."""
import http.client
import json
import os
import pathlib
import re
import signal
import subprocess
import time

from . import config
from .ports import free_port

ROOT = pathlib.Path(__file__).resolve().parents[3]
BINARIES = pathlib.Path(os.environ.get("MARTLET_BIN", ROOT / ".build/release"))
# What a Swift trap, a sanitizer or the allocator says before the process dies.
CRASH = re.compile(r"Fatal error|AddressSanitizer|LeakSanitizer|Precondition failed|Assertion failed|Crashed|corrupted")


def martlet(*arguments, timeout=30, **more):
    """Runs the martlet command to its end; stdout and stderr are text."""
    return subprocess.run([BINARIES / "martlet", *map(str, arguments)], capture_output=True, text=True,
                          stdin=subprocess.DEVNULL, timeout=timeout, **more)


class Proxy:
    """One running `martlet run`. `port` is the listener that tests use most; further ports are up to the test."""

    def __init__(self, directory):
        self.directory = directory / "config"
        self.log_path = directory / "proxy.log"
        self.port = free_port()
        self.admin_port = free_port()
        self.process = None

    def start(self, documents, *arguments, ready=True, admin=None):
        """Writes documents, starts, and returns when /ready answers 200; `admin` is another address for that."""
        config.write(self.directory, documents)
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(
                [BINARIES / "martlet", "run", self.directory, "--admin", admin or f"127.0.0.1:{self.admin_port}",
                 *arguments],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)
        if ready:
            self.wait(lambda: self.admin("/ready")[0] == 200, "ready")
        return self

    def wait(self, condition, what, seconds=10):
        """Returns when condition is true; fails with the log when the process ends or time is up."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            assert self.process.poll() is None, f"martlet ended with {self.process.returncode}:\n{self.log()}"
            try:
                if condition():
                    return
            except OSError:
                pass
            time.sleep(0.02)
        raise AssertionError(f"not {what} within {seconds} s:\n{self.log()}")

    def admin(self, path, method="GET", headers=None):
        """(status, headers, text) of the admin endpoint."""
        connection = http.client.HTTPConnection("127.0.0.1", self.admin_port, timeout=5)
        try:
            connection.request(method, path, headers=headers or {})
            response = connection.getresponse()
            return response.status, dict(response.getheaders()), response.read().decode()
        finally:
            connection.close()

    def metrics(self):
        """{(name, frozenset of (label, value)): value}"""
        status, _, text = self.admin("/metrics")
        assert status == 200
        found = {}
        for line in text.splitlines():
            if not line or line.startswith("#"):
                continue
            match = re.fullmatch(r"([a-zA-Z_:][\w:]*)(?:\{(.*)\})? (\S+)", line)
            assert match, f"not a Prometheus sample: {line!r}"
            labels = frozenset(re.findall(r'(\w+)="((?:[^"\\]|\\.)*)"', match[2] or ""))
            found[match[1], labels] = float(match[3])
        return found

    def metric(self, name, **labels):
        """The sum of the samples called name that carry all of labels."""
        return sum(value for (found, have), value in self.metrics().items()
                   if found == name and set(labels.items()) <= have)

    def edit(self, documents):
        """Rewrites the configuration, without waiting."""
        config.write(self.directory, documents)

    def reload(self, documents, condition, what="adopted"):
        """Rewrites the configuration and waits until condition shows it at work."""
        self.edit(documents)
        self.wait(condition, what)

    def log(self):
        return self.log_path.read_text(errors="replace") if self.log_path.exists() else ""

    def access_log(self, count=1, seconds=3):
        """The JSON lines of the access log, when there are at least count of them."""
        deadline = time.monotonic() + seconds
        while True:
            lines = [json.loads(line) for line in self.log().splitlines() if line.startswith("{")]
            requests = [line for line in lines if "status" in line]
            if len(requests) >= count or time.monotonic() > deadline:
                return requests
            time.sleep(0.05)

    def resident_kib(self):
        return resident_kib(self.process)

    def signal(self, number):
        self.process.send_signal(number)

    def stop(self):
        """Ends the proxy as an operator does, and checks that it ended well."""
        if self.process is None:
            return
        alive = self.process.poll() is None
        if alive:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(15)
            except subprocess.TimeoutExpired:
                os.killpg(self.process.pid, signal.SIGKILL)
                self.process.wait()
                raise AssertionError(f"martlet does not end after SIGTERM:\n{self.log()[-4000:]}") from None
        log = self.log()
        assert not CRASH.search(log), f"crash report:\n{log[-4000:]}"
        code = self.process.returncode
        assert alive or code == 0, f"martlet ended by itself with {code}:\n{log[-4000:]}"
        assert code == 0, f"exit code {code} after SIGTERM:\n{log[-4000:]}"


def resident_kib(process):
    """Memory of the process in RAM; always 0 under AddressSanitizer, which keeps freed memory to catch its use."""
    for line in pathlib.Path(f"/proc/{process.pid}/status").read_text().splitlines():
        if line.startswith("VmRSS"):
            return 0 if os.environ.get("MARTLET_SANITIZED") else int(line.split()[1])
    raise AssertionError("the proxy is gone")
