"""API keys: who is let in. ``python -m neuralbits.app.api_keys`` makes one.

The settings hold hashes, so that a reader of them can't use the service. A key is random and
long, so one round of SHA-256 is enough: there is nothing to guess, as there is in a password.
"""

import hashlib
import hmac
import re
import secrets
from collections.abc import Iterable
from importlib.util import find_spec

KeyHash = str
"""``sha256:`` and 64 hexadecimal digits."""

COMMAND = "neuralbits key" if find_spec("typer") else "python -m neuralbits.app.api_keys"
"""The command that makes a key; the container image has no command line."""


def make() -> tuple[str, KeyHash]:
    """Make a key of 256 random bits, and its hash."""
    key = f"nb_{secrets.token_urlsafe(32)}"
    return key, hash_of(key.encode())


def print_new() -> None:
    """Print a new key for clients, and its hash for the service."""
    key, hashed = make()
    print(f"{key}  for the client; it can't be shown again")
    print(f"NEURALBITS_API_KEYS={hashed}  for the service; commas separate several")


def hash_of(key: bytes) -> KeyHash:
    """Return the hash that stands for a key in the settings."""
    return f"sha256:{hashlib.sha256(key).hexdigest()}"


def key_hash(value: str) -> KeyHash:
    """Take what may be a hash for one.

    Raises:
        ValueError: it is none; the sentence doesn't repeat it, since it may be a key.
    """
    if not re.fullmatch("sha256:[0-9a-f]{64}", value):
        raise ValueError(
            "each must be sha256: and 64 hexadecimal digits, the hash of a key and not the key "
            f"itself; `{COMMAND}` makes both"
        )
    return value


def admits(hashes: Iterable[KeyHash], authorization: bytes) -> bool:
    """Tell whether a request's ``Authorization`` header has a key of one of the hashes.

    It takes the same time whatever the key, and whichever of the hashes is its own.
    """
    scheme, _, key = authorization.partition(b" ")
    given = hash_of(key.strip()).encode()
    found = [hmac.compare_digest(given, each.encode()) for each in hashes]
    return scheme.lower() == b"bearer" and any(found)


if __name__ == "__main__":
    print_new()
