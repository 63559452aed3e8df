"""What an operator can set, and how the service refuses to start."""

from pathlib import Path
from typing import Any, Self

from pydantic import Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

SHIPPED_ARTIFACT = Path(__file__).parents[1] / "artifacts" / "home-assistant-en.safetensors"


class StartupError(SystemExit):
    """Why the service can't start, in one sentence.

    A ``SystemExit``, so that under any server the process ends with this sentence on standard
    error and a non-zero status, not with a traceback.
    """

    def __init__(self, sentence: str) -> None:
        super().__init__(f"neuralbits: {sentence}")


class Settings(BaseSettings):
    """The settings; each is read from the environment variable ``NEURALBITS_<NAME>``."""

    # An empty variable is what compose files pass for one that isn't set.
    model_config = SettingsConfigDict(env_prefix="NEURALBITS_", env_ignore_empty=True)

    artifact: Path = SHIPPED_ARTIFACT
    host: str = Field(default="127.0.0.1", min_length=1)
    port: int = Field(default=8000, ge=0, le=65535)
    """0 takes any free port."""
    max_characters: int = Field(default=10_000, ge=1)
    """Characters (Unicode code points) in a text."""
    max_texts: int = Field(default=1_024, ge=1)
    """Texts in a batch."""
    max_body: int = Field(default=1_048_576, ge=1)
    """Bytes in a request's body."""

    @classmethod
    def read(cls, **flags: Any) -> Self:
        """Read the settings from the environment; flags that aren't None take precedence.

        Raises:
            StartupError: a setting has a value that it can't have.
        """
        try:
            return cls(**{name: flag for name, flag in flags.items() if flag is not None})
        except ValidationError as error:
            wrong = "; ".join(
                f"NEURALBITS_{str(each['loc'][0]).upper()}: {each['msg']}"
                for each in error.errors()
            )
            raise StartupError(f"can't start with these settings: {wrong}") from None
