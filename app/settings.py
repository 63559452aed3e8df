"""What an operator can set, and how the service refuses to start."""

import ipaddress
from collections.abc import Iterable
from difflib import get_close_matches
from os import environ
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from neuralbits.errors import shown
from neuralbits.loading import locate
from neuralbits.sizes import parse_size

from .api_keys import COMMAND, KeyHash, key_hash

_PREFIX = "NEURALBITS_"
_OTHERS = {"NEURALBITS_DATA"}
"""Variables of the prefix that other parts of the project read."""
SHIPPED_ARTIFACT = locate("home-assistant-en")


class StartupError(SystemExit):
    """Why the service can't start, in one sentence.

    A ``SystemExit``, so that under any server the process ends with this sentence on standard
    error and a non-zero status, not with a traceback.
    """

    def __init__(self, sentence: str) -> None:
        super().__init__(f"neuralbits: {sentence}")


def _items(value: Any) -> Any:
    """Take a list apart that is written with commas."""
    if not isinstance(value, str):
        return value
    return [item for item in map(str.strip, value.split(",")) if item]


def _bytes(value: Any) -> Any:
    """Read a size with its unit."""
    return parse_size(value) if isinstance(value, str) else value


class Settings(BaseModel):
    """The settings; each is read from the environment variable ``NEURALBITS_<NAME>``.

    Without pydantic-settings, whose import takes a tenth of the service's start.
    """

    # An error doesn't repeat the value, which may be a key.
    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    artifact: Annotated[Path, BeforeValidator(locate)] = SHIPPED_ARTIFACT
    """A file, or a shipped artifact's name."""
    host: str = Field(default="127.0.0.1", min_length=1)
    port: int = Field(default=8000, ge=0, le=65535)
    """0 takes any free port."""
    watch: bool = False
    """Whether a changed file is loaded without a signal or a request."""

    api_keys: Annotated[
        tuple[Annotated[KeyHash, AfterValidator(key_hash)], ...], BeforeValidator(_items)
    ] = ()
    """Hashes of the keys, with commas between them; without one, no key is needed."""
    open: bool = False
    """Whether other machines may use the service without a key."""
    allowed_hosts: Annotated[
        tuple[Annotated[str, AfterValidator(str.lower)], ...], BeforeValidator(_items)
    ] = ()
    """Names by which clients may ask for the service, with commas between them."""
    tls_certificate: Path | None = None
    """A PEM file, with the chain."""
    tls_key: Path | None = None
    cors_origins: Annotated[tuple[str, ...], BeforeValidator(_items)] = ()
    """Origins of other pages whose scripts may ask, with commas between them."""

    max_characters: int = Field(default=10_000, ge=1)
    """Characters (Unicode code points) in a text."""
    max_texts: int = Field(default=10_000, ge=1)
    """Texts in a batch."""
    max_body: Annotated[int, Field(ge=1), BeforeValidator(_bytes)] = 1_048_576
    """Bytes in a request's body, with a unit such as KiB if given."""
    max_in_flight: int = Field(default=64, ge=1)
    """Requests that are answered at the same time."""
    max_connections: int = Field(default=512, ge=1)
    request_timeout: float = Field(default=10, gt=0)
    """Seconds from the first byte of a request to the last one of its answer."""

    log_level: Annotated[
        str, Field(pattern="^(debug|info|warning|error)$"), BeforeValidator(str.lower)
    ] = "info"
    traces: bool = False
    """Whether OpenTelemetry traces are sent; its own variables, OTEL_…, say where to."""

    @classmethod
    def read(cls, **flags: Any) -> Self:
        """Read the settings from the environment; flags that aren't None take precedence.

        Raises:
            StartupError: there is no such setting, a value is invalid, or two contradict.
        """
        # An empty variable is what compose files pass for one that isn't set.
        given: dict[str, Any] = {
            name.removeprefix(_PREFIX).lower(): value
            for name, value in environ.items()
            if name.startswith(_PREFIX) and name not in _OTHERS and value
        }
        if unknown := sorted(given.keys() - cls.model_fields.keys()):
            raise StartupError(_unknown(unknown[0], cls.model_fields))
        given |= {name: flag for name, flag in flags.items() if flag is not None}
        try:
            settings = cls(**given)
        except ValidationError as error:
            wrong = "; ".join(
                f"{_PREFIX}{str(each['loc'][0]).upper()}: {each['msg']}" for each in error.errors()
            )
            raise StartupError(f"can't start with these settings: {wrong}") from None
        if not (settings.api_keys or settings.open or settings.is_loopback()):
            raise StartupError(
                f"anyone who can reach {settings.host} could use this service: set "
                f"NEURALBITS_API_KEYS to hashes of keys (`{COMMAND}` makes one), or "
                "NEURALBITS_OPEN=true if this is intended"
            )
        if (settings.tls_certificate is None) != (settings.tls_key is None):
            raise StartupError(
                "TLS takes both NEURALBITS_TLS_CERTIFICATE and NEURALBITS_TLS_KEY, or neither"
            )
        return settings

    def is_loopback(self) -> bool:
        """Return whether only this machine can reach the address to listen on."""
        return is_loopback(self.host)


def is_loopback(host: str) -> bool:
    """Return whether only this machine can reach an address."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _unknown(name: str, known: Iterable[str]) -> str:
    """Say that there is no such setting, and which one may be meant."""
    names = [_PREFIX + each.upper() for each in known]
    variable = _PREFIX + name.upper()
    sentence = f"there is no setting {shown(variable)}"
    if nearest := get_close_matches(variable, names, 1, 0.8):
        return f"{sentence}; did you mean {nearest[0]}?"
    return f"{sentence}; unset it (the settings are {', '.join(sorted(names))})"
