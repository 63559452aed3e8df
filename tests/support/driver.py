"""The kernel as a program: `tests/kernel/driver.c`, on this processor or on an emulated one."""

import json
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any


class Driver:
    """A process that answers requests; it ends with the context.

    Args:
        command: The command that starts the process.
        folder: A folder for the files with artifacts and texts.

    Example:
        >>> with Driver([program], folder) as driver:
        ...     (answer,) = driver.answer(content, ["lights on"])
    """

    def __init__(self, command: Sequence[str | Path], folder: Path) -> None:
        self._command = command
        self._artifact, self._texts = folder / "artifact", folder / "texts"
        self._errors = (folder / "errors").open("w+b")
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> "Driver":
        return self

    def __exit__(self, *_: object) -> None:
        if self._process:
            self._process.communicate()
        self._errors.close()

    def answer(
        self, content: bytes, texts: Sequence[str | bytes], explain: bool = False
    ) -> list[Any]:
        """Answer texts with the artifact in a file's bytes, or explain the answers.

        Returns:
            One JSON object per text, or only the kernel's status if the kernel refuses the
            artifact.
        """
        self._artifact.write_bytes(content)
        encoded = [
            text if isinstance(text, bytes) else text.encode("utf-8", "surrogatepass")
            for text in texts
        ]
        self._texts.write_bytes(
            b"".join(len(text).to_bytes(4, "little") + text for text in encoded)
        )
        return [json.loads(line) for line in self._lines(explain)]

    def _lines(self, explain: bool) -> list[bytes]:
        if self._process is None:
            self._process = subprocess.Popen(
                self._command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._errors,
            )
        assert self._process.stdin
        assert self._process.stdout
        request = [str(self._artifact), str(self._texts), *(["explain"] if explain else [])]
        self._process.stdin.write("\t".join(request).encode() + b"\n")
        self._process.stdin.flush()
        lines = []
        for line in self._process.stdout:
            if line == b"\n":
                return lines
            lines.append(line)
        status = self._process.wait()
        self._process = None  # the next request starts another one
        self._errors.seek(0)
        raise AssertionError(f"the driver ended with {status}: {self._errors.read().decode()}")


class EmulatedDriver(Driver):
    """A process per request, on an emulated machine without an operating system.

    Args:
        command: A function from the artifact's path to the command.
        folder: As for `Driver`.
    """

    def __init__(self, command: Callable[[Path], Sequence[str | Path]], folder: Path) -> None:
        super().__init__([], folder)
        self._emulate = command

    def _lines(self, explain: bool) -> list[bytes]:
        assert not explain
        command = self._emulate(self._artifact)
        ran = subprocess.run(
            command, input=self._texts.read_bytes(), capture_output=True, check=False
        )
        assert ran.returncode == 0, ran.stderr.decode()
        return ran.stdout.splitlines()
