"""Regression: a body that arrives after its head was already sent on."""
import re
import socket
import threading
import time

from test_http1_forwarding import proxy_to, raw


def test_body_in_a_later_packet_than_its_head_is_sent_on_at_once():
    listener = socket.create_server(("127.0.0.1", 0))

    def serve():
        connection, _ = listener.accept()
        connection.recv(65536)
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n")
        time.sleep(0.3)
        connection.sendall(b"late")
        connection.recv(1)

    threading.Thread(target=serve, daemon=True).start()
    with proxy_to(f"127.0.0.1:{listener.getsockname()[1]}") as (_, port):
        answer = raw(port, b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        assert re.search(rb"\r\n\r\nlate$", answer)
