"""Free TCP ports on loopback, outside the range that the kernel takes for outgoing connections."""
import os
import random
import socket

_given = set()
# Tests that run side by side (pytest -n) draw from ports of their own.
_workers = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
_worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))


def free_port():
    """A port that nobody listens on and that was not given before."""
    while True:
        port = random.randint(12000, 29999)
        if port % _workers != _worker or port in _given:
            continue
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        _given.add(port)
        return port
