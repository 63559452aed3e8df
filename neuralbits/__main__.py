"""``neuralbits`` and ``python -m neuralbits``: run the command line, or say what it needs."""

import signal
import sys


def main() -> None:
    """Run the command.

    Raises:
        SystemExit: the command has ended, or the extra ``cli`` isn't installed.
    """
    # During the imports, Ctrl-C ends the process at once and prints no traceback.
    interruptible = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if interruptible:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        from neuralbits import cli
    except ModuleNotFoundError as error:
        if error.name and error.name.startswith("neuralbits"):
            raise
        sys.exit(f"neuralbits: the command line needs {error.name}: pip install 'neuralbits[cli]'")
    cli.command_line()
    if interruptible:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    cli.main()


if __name__ == "__main__":
    main()
