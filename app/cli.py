"""The commands of the service: serve and key."""

from typing import Annotated

import typer

from neuralbits.cli import example, require

commands = typer.Typer()


@commands.command(
    epilog=example("neuralbits serve", "neuralbits serve mine.safetensors --port 8080 --watch")
)
def serve(
    artifact: Annotated[
        str | None,
        typer.Argument(
            metavar="[ARTIFACT]",
            help="A .safetensors file, a shipped name, or hf://owner/name@revision; "
            "home-assistant-en by default.",
        ),
    ] = None,
    host: Annotated[str | None, typer.Option(help="By default, 127.0.0.1.")] = None,
    port: Annotated[int | None, typer.Option(help="By default, 8000; 0 takes a free one.")] = None,
    watch: Annotated[
        bool | None,
        typer.Option(help="Load the file again whenever it changes.", show_default=False),
    ] = None,
) -> None:
    """Serve an artifact over HTTP."""
    require("uvicorn", "serve")
    from . import command

    command.serve(artifact, host, port, watch)


@commands.command(epilog=example("neuralbits key"))
def key() -> None:
    """Make an API key for clients, and its hash for the service."""
    from . import api_keys

    api_keys.print_new()
