"""The errors that a user can fix."""

import importlib
import pkgutil
import re

import pytest

import neuralbits
from neuralbits import errors
from neuralbits.errors import NeuralbitsError, shown


def test_the_tree_in_the_docstring_lists_every_error() -> None:
    for module in pkgutil.walk_packages(neuralbits.__path__, "neuralbits."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    drawn = dict(
        re.findall(r"── (\w+) .* (neuralbits\.\S+|model_training\.\S+)", errors.__doc__ or "")
    )
    kinds = {
        kind.__name__: kind.__module__
        for kind in NeuralbitsError.__subclasses__()
        if kind.__module__.startswith("neuralbits.")
    }
    assert drawn.keys() == kinds.keys()
    for name, module in kinds.items():
        assert module.removeprefix("neuralbits.").startswith(
            drawn[name].removeprefix("neuralbits.")
        )


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("turn on", "'turn on'"),
        ("\x1b[2J\n\u202e", r"'\x1b[2J\n\u202e'"),
        ("x" * 1_000_000, f"'{'x' * 80}…'"),
        (list(range(1_000)), repr(list(range(1_000)))[:80] + "…"),
        (b"\xff", r"b'\xff'"),
    ],
)
def test_an_untrusted_value_is_shown_escaped_and_cut(value: object, text: str) -> None:
    assert shown(value) == text
