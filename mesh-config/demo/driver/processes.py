"""Processes that are started, watched, and ended by their own ids."""
import socket
import subprocess
import time


class Unable(Exception):
    """The demo cannot run; the text says why and what to do."""


class Process:
    """One process, with its output in a file."""

    def __init__(self, name, command, log_directory):
        self.name = name
        self.log_path = log_directory / f"{name}.log"
        # A session of its own: Ctrl-C reaches this script, which ends everything in order.
        with open(self.log_path, "wb") as log:
            self._process = subprocess.Popen(
                [str(part) for part in command], stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                start_new_session=True)

    @property
    def code(self):
        """The exit code; None while it runs."""
        return self._process.poll()

    def wait_until(self, is_ready, what, seconds):
        """Returns when is_ready() is true; raises if the process ends or time is up."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if self.code is not None:
                raise Unable(f"{self.name} ended with exit code {self.code}:\n{self.last_words()}")
            if is_ready():
                return
            time.sleep(0.03)
        raise Unable(f"{self.name} {what} within {seconds} s:\n{self.last_words()}")

    def last_words(self, lines=12):
        """The end of its output."""
        text = self.log_path.read_text(errors="replace").strip()
        return "\n".join(text.splitlines()[-lines:]) or "(it printed nothing)"

    def terminate(self):
        """Asks it to end."""
        if self.code is None:
            self._process.terminate()

    def stop(self, seconds):
        """SIGTERM, and SIGKILL when time is up; returns the exit code."""
        self.terminate()
        try:
            return self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            self._process.kill()
            return self._process.wait()


class Processes:
    """Everything that was started, in order."""

    def __init__(self, log_directory):
        self._log_directory = log_directory
        self._running = []

    def start(self, name, *command):
        process = Process(name, command, self._log_directory)
        self._running.append(process)
        return process

    def ended(self):
        """The first process that has ended by itself, or None."""
        return next((process for process in self._running if process.code is not None), None)

    def stop_all(self):
        """Ends what still runs."""
        for process in self._running:
            process.terminate()
        for process in self._running:
            process.stop(seconds=5)
        self._running.clear()


def accepts(port):
    """True if somebody accepts connections on the port of 127.0.0.1."""
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True
