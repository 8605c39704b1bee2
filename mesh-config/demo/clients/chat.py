"""Talks to the chat with websockets, and prints the answers as JSON. Usage: chat.py URL [CA-FILE]"""
import json
import ssl
import sys

from websockets.exceptions import WebSocketException
from websockets.sync.client import connect

SECONDS = 10
BINARY = bytes(range(256)) * 1024


def main():
    url, *authority_file = sys.argv[1:]
    context = ssl.create_default_context(cafile=authority_file[0]) if authority_file else None
    # No proxy: the environment may name one for the internet.
    with connect(url, ssl=context, open_timeout=SECONDS, close_timeout=SECONDS, proxy=None) as chat:
        chat.send("hello")
        text = chat.recv(timeout=SECONDS)
        chat.send(BINARY)
        binary = chat.recv(timeout=SECONDS)
    print(json.dumps({"text": text, "bytes": len(binary), "same": binary == BINARY, "closed": chat.close_code}))


if __name__ == "__main__":
    try:
        main()
    except (OSError, WebSocketException) as error:  # a timeout is an OSError
        sys.exit(f"{type(error).__name__}: {error}")
