"""The TLS client of the works `full` and `resumed`: python -m harness.handshakes PORT COUNT full|resumed CA PATH."""
import json
import socket
import ssl
import sys
import time


def main(port, count, kind, authority, path):
    trust = ssl.create_default_context(cafile=authority)
    trust.minimum_version = trust.maximum_version = ssl.TLSVersion.TLSv1_3
    trust.set_alpn_protocols(["http/1.1"])
    request = f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode()
    session, good, total = None, 0, 0.0

    def one():
        """Whether the connection was resumed; raises unless the answer is a complete 200."""
        nonlocal session
        plain = socket.create_connection(("127.0.0.1", port), 10)
        with trust.wrap_socket(plain, server_hostname="localhost", session=session) as connection:
            connection.sendall(request)
            received = b""
            while piece := connection.recv(65536):
                received += piece
            head, _, body = received.partition(b"\r\n\r\n")
            if not head.startswith(b"HTTP/1.1 200") or len(body) < 1024:
                raise ConnectionError(head.splitlines()[0].decode() if head else "no answer")
            resumed = connection.session_reused
            if kind == "resumed":
                session = connection.session  # a ticket comes after the handshake, and is used once
            return resumed

    if kind == "resumed":
        one()  # the first ticket
    for _ in range(count):
        begun = time.perf_counter()
        good += one() == (kind == "resumed")
        total += time.perf_counter() - begun
    print(json.dumps({"good": good, "failed": count - good, "mean_ms": total * 1000 / count}))


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), *sys.argv[3:])
