"""What an operator can set, and how the service refuses to start."""

import ipaddress
from os import environ
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from .api_keys import KeyHash, key_hash

SHIPPED_ARTIFACT = Path(__file__).parents[1] / "shipped" / "home-assistant-en.safetensors"


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


class Settings(BaseModel):
    """The settings; each is read from the environment variable ``NEURALBITS_<NAME>``.

    Without pydantic-settings, whose import takes a tenth of the service's start.
    """

    # What is wrong with a value is told without it: it may be a key that is to stay secret.
    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    artifact: Path = SHIPPED_ARTIFACT
    host: str = Field(default="127.0.0.1", min_length=1)
    port: int = Field(default=8000, ge=0, le=65535)
    """0 takes any free port."""
    watch: bool = False
    """Whether a changed artifact is taken without being asked to."""

    api_keys: Annotated[
        tuple[Annotated[KeyHash, AfterValidator(key_hash)], ...], BeforeValidator(_items)
    ] = ()
    """Hashes of the keys that are let in, with commas between them; without one, everybody is."""
    open: bool = False
    """Whether everybody may be let in from other machines, too."""
    tls_certificate: Path | None = None
    """A PEM file, with the chain."""
    tls_key: Path | None = None
    cors_origins: Annotated[tuple[str, ...], BeforeValidator(_items)] = ()
    """Of pages, other than the service's own, whose scripts may ask; with commas between them."""

    max_characters: int = Field(default=10_000, ge=1)
    """Characters (Unicode code points) in a text."""
    max_texts: int = Field(default=10_000, ge=1)
    """Texts in a batch."""
    max_body: int = Field(default=1_048_576, ge=1)
    """Bytes in a request's body."""
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
            StartupError: a setting has a value that it can't have, or that it can't have beside
                another's.
        """
        given = {name: flag for name, flag in flags.items() if flag is not None}
        for name in cls.model_fields.keys() - given:
            # An empty variable is what compose files pass for one that isn't set.
            if value := environ.get(f"NEURALBITS_{name.upper()}"):
                given[name] = value
        try:
            settings = cls(**given)
        except ValidationError as error:
            wrong = "; ".join(
                f"NEURALBITS_{str(each['loc'][0]).upper()}: {each['msg']}"
                for each in error.errors()
            )
            raise StartupError(f"can't start with these settings: {wrong}") from None
        if not (settings.api_keys or settings.open or settings.is_loopback()):
            raise StartupError(
                f"anybody who can reach {settings.host} could use this service: give "
                "NEURALBITS_API_KEYS the hashes of keys (`neuralbits key` makes one), or say that "
                "this is meant by NEURALBITS_OPEN=true"
            )
        if (settings.tls_certificate is None) != (settings.tls_key is None):
            raise StartupError(
                "TLS takes both NEURALBITS_TLS_CERTIFICATE and NEURALBITS_TLS_KEY, or neither"
            )
        return settings

    def is_loopback(self) -> bool:
        """Tell whether only this machine can reach the address to listen on."""
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"
