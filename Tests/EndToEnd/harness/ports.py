"""Free TCP ports on loopback, outside the range that the kernel takes for outgoing connections."""
import random
import socket

_given = set()


def free_port():
    """A port that nobody listens on and that was not given before."""
    while True:
        port = random.randint(12000, 29999)
        if port in _given:
            continue
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        _given.add(port)
        return port
