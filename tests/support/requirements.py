"""The programs that tests need, and a summary of the tests that were skipped without them."""

import re
import shutil
from collections import Counter
from collections.abc import Iterable

import pytest

from neuralbits import kernel

_REASON = re.compile(r"(?:Skipped: )?(?P<what>.+) (?:is|are) missing \((?P<command>.+)\)")
_INSTALL = "apt-get install "


def missing(*what: str, command: str) -> str:
    """Return the reason to skip a test, in the form that `untested` reads.

    Example:
        >>> missing("clang", "wasm-ld", command="apt-get install clang lld")
        'clang and wasm-ld are missing (apt-get install clang lld)'
    """
    return f"{' and '.join(what)} {'is' if len(what) == 1 else 'are'} missing ({command})"


def _absent(tools: Iterable[str]) -> list[str]:
    return [tool for tool in tools if shutil.which(tool) is None]


def needs(*tools: str, package: str) -> pytest.MarkDecorator:
    """Skip a test if one of these commands isn't installed.

    Args:
        tools: The commands.
        package: The Debian packages of the commands, separated by spaces.
    """
    absent = _absent(tools)
    return pytest.mark.skipif(
        bool(absent), reason=missing(*absent or tools, command=_INSTALL + package)
    )


def require(*tools: str, package: str) -> None:
    """Skip the running test: for fixtures, and if a parameter names the tool."""
    if absent := _absent(tools):
        pytest.skip(missing(*absent, command=_INSTALL + package))


needs_compiler = needs("cc", package="gcc libc6-dev")
needs_chromium = needs("chromium", package="chromium")
KERNEL_MISSING = missing("the compiled kernel", command=f"{_INSTALL}gcc libc6-dev")
needs_kernel = pytest.mark.skipif(not kernel.COMPILED, reason=KERNEL_MISSING)


def untested(reasons: Iterable[str]) -> str | None:
    """Return one line: the numbers of skipped tests, and the command that installs the missing.

    Args:
        reasons: Why each test was skipped; those that `missing` didn't make count as others.

    Returns:
        The line, or None if nothing was skipped.
    """
    lacked: Counter[str] = Counter()
    packages: dict[str, None] = {}
    commands: dict[str, None] = {}
    others = 0
    for reason in reasons:
        if not (match := _REASON.fullmatch(reason)):
            others += 1
            continue
        lacked[match["what"]] += 1
        if match["command"].startswith(_INSTALL):
            packages |= dict.fromkeys(match["command"].removeprefix(_INSTALL).split())
        else:
            commands[match["command"]] = None
    if not lacked:
        return f"not tested here: {others} for the reasons above" if others else None
    tests = [f"{count} for lack of {what}" for what, count in lacked.most_common()]
    if others:
        tests.append(f"{others} for the reasons above")
    apt = [_INSTALL + " ".join(packages)] if packages else []
    install = " && ".join([*apt, *commands])
    return f"not tested here: {', '.join(tests)}; to test them: {install}"
