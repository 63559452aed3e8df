"""The protocol of systemd: a socket that it listens on already, readiness, the watchdog."""

import os
import socket

_FIRST = 3  # the number of the first file that systemd passes


def listener() -> socket.socket | None:
    """Return the socket that systemd passes to this process, if it does (sd_listen_fds(3))."""
    if os.environ.get("LISTEN_PID") != str(os.getpid()) or os.environ.get("LISTEN_FDS") != "1":
        return None
    return socket.socket(fileno=_FIRST)


def watchdog_seconds() -> float | None:
    """Return the seconds after which systemd ends a silent process; None if it doesn't."""
    microseconds = os.environ.get("WATCHDOG_USEC")
    return int(microseconds) / 1e6 if microseconds else None


async def notify() -> None:
    """Say that the process is ready and alive, if systemd waits for that (sd_notify(3))."""
    if not (address := os.environ.get("NOTIFY_SOCKET")):
        return
    if address.startswith("@"):  # in the abstract namespace
        address = "\0" + address[1:]
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
        channel.sendto(b"READY=1\nWATCHDOG=1", address)
