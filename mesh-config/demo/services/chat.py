"""The chat: a WebSocket that echoes, on the package websockets. Usage: chat.py PORT"""
import asyncio
import sys

from websockets.asyncio.server import serve


async def echo(connection):
    """Sends every message back, and says who does."""
    async for message in connection:
        await connection.send(f"chat: {message}" if isinstance(message, str) else message)


async def main():
    async with serve(echo, "127.0.0.1", int(sys.argv[1])) as server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
