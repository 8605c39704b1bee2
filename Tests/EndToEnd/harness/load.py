"""Load in the background: threads that ask again and again, keep their connections, and remember what went wrong."""
import threading

from .http1 import Closed, Connection
from .http2 import H2Client


class Unannounced(Exception):
    """A kept connection was closed without a byte of an answer, although nothing had said that it would be."""


class HTTP1:
    """One kept connection; opens another when the answer said that this one ends."""

    def __init__(self, port, path="/", tls=None, name="localhost"):
        self.port, self.path, self.tls, self.name = port, path, tls, name
        self.connection, self.used = None, False

    def ask(self):
        if self.connection is None:
            self.connection, self.used = Connection.to(self.port, self.tls, self.name), False
        before = len(self.connection.received)
        try:
            response = self.connection.get(self.path, host=self.name)
        except (Closed, ConnectionError) as error:
            silent, used = len(self.connection.received) == before, self.used
            self.close()
            raise Unannounced(repr(error)) if silent and used else error
        self.used = True
        if "close" in (response.get("connection") or "").lower():
            self.close()
        return response.status, response.body

    def close(self):
        if self.connection:
            self.connection.close()
        self.connection = None


class HTTP2:
    """One kept connection; opens another after GOAWAY, and asks again what the GOAWAY says was not processed."""

    def __init__(self, port, path="/", tls=None, name="localhost"):
        self.port, self.path, self.tls, self.name = port, path, tls, name
        self.client = None

    def ask(self):
        while True:
            if self.client is None:
                self.client = H2Client(self.port, self.tls, self.name)
            client = self.client
            number = client.open(self.path)
            stream = client.streams[number]
            client.wait(lambda: stream.ended or stream.reset is not None or self._refused(number))
            if self._refused(number) and not stream.headers:
                self.close()
                continue
            if client.goaway or client.closed:
                self.close()
            if not stream.ended:
                raise Closed(f"stream {number}: reset {stream.reset}, {len(stream.body)} bytes".encode())
            return stream.status, stream.body

    def _refused(self, number):
        return self.client.goaway is not None and (self.client.goaway.last_stream_id or 0) < number

    def close(self):
        if self.client:
            self.client.close()
        self.client = None


class Load:
    """with Load(lambda: HTTP1(port), threads=4) as load: …; then load.done and load.failures."""

    def __init__(self, make, threads=4, expect=200, tolerate=()):
        self.make, self.expect, self.tolerate = make, expect, tolerate
        self.done, self.bodies, self.failures, self.tolerated = 0, {}, [], []
        self._lock, self._stopping = threading.Lock(), threading.Event()
        self._threads = [threading.Thread(target=self._run, daemon=True) for _ in range(threads)]

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.stop()

    def stop(self):
        self._stopping.set()
        for thread in self._threads:
            thread.join(20)
            assert not thread.is_alive(), "a request hangs"

    def stop_asking(self):
        """Lets the threads end by themselves."""
        self._stopping.set()

    def _run(self):
        worker = self.make()
        try:
            while not self._stopping.is_set():
                self._once(worker)
        finally:
            worker.close()

    def _once(self, worker):
        try:
            status, body = worker.ask()
        except Exception as error:  # noqa: BLE001: whatever it was, it is a failed request
            worker.close()
            with self._lock:
                (self.tolerated if isinstance(error, self.tolerate) else self.failures).append(error)
            self._stopping.wait(0.02)  # a refused connection must not become a busy loop
            return
        with self._lock:
            self.done += 1
            self.bodies[body] = self.bodies.get(body, 0) + 1
            if status != self.expect:
                self.failures.append((status, body[:300]))
