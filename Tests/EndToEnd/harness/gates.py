"""Upstreams that hold their answers back until the test lets them go, and crowds of requests to try them with."""
import threading
import time
from concurrent.futures import ThreadPoolExecutor

from .upstream import answer


class Gate:
    """A script for an upstream: each request waits until it is let go. Counts how many are inside at a time."""

    def __init__(self):
        self._permits = threading.Semaphore(0)
        self._lock = threading.Lock()
        self.inside, self.most, self.served = 0, 0, 0

    def _pass(self):
        with self._lock:
            self.inside += 1
            self.most = max(self.most, self.inside)
        self._permits.acquire(timeout=20)
        with self._lock:
            self.inside -= 1
            self.served += 1

    def http1(self, request, connection):
        self._pass()
        return answer("done")

    def http2(self, connection, number, request):
        fields = dict(request["headers"])
        is_grpc = fields.get("content-type", "").startswith("application/grpc")

        def work():
            self._pass()
            try:
                if is_grpc:
                    connection.respond(number, headers=[("content-type", "application/grpc")], body=b"\0\0\0\0\0",
                                       trailers=[("grpc-status", "0")])
                else:
                    connection.respond(number, body=b"done")
            except OSError:
                pass  # the proxy has gone by now
        threading.Thread(target=work, daemon=True).start()

    def let_go(self, count=1):
        for _ in range(count):
            self._permits.release()

    def open(self):
        """Nobody waits from here on."""
        self.let_go(100_000)


class Crowd:
    """Requests in the background, each on a thread."""

    def __init__(self, ask):
        self.ask, self._pool, self.futures = ask, ThreadPoolExecutor(64), []

    def send(self, count=1):
        self.futures += [self._pool.submit(self.ask) for _ in range(count)]
        return self.futures[-count:]

    def answers(self):
        return [future.result(15) for future in self.futures]

    def finished(self):
        return sum(future.done() for future in self.futures)


def holds(condition, seconds=0.4):
    """True if condition() stays true for so long."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if not condition():
            return False
        time.sleep(0.02)
    return True
