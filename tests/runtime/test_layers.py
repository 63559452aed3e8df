"""Imports point one way: the service and the training job use the runtime, never the reverse.

And none fails on Windows.
"""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.paths import ROOT

PACKAGES = {
    "neuralbits": ROOT / "neuralbits",
    "neuralbits.app": ROOT / "app",
    "neuralbits.model_training": ROOT / "model_training",
}
FORBIDDEN = {
    "neuralbits": ("neuralbits.app", "neuralbits.model_training"),
    "neuralbits.app": ("neuralbits.model_training",),
    "neuralbits.model_training": ("neuralbits.app",),
}


def modules(package: str) -> list[tuple[str, Path]]:
    """Return the names and files of a package's modules, without those behind a link."""
    folder = PACKAGES[package]
    return [
        (".".join([package, *file.relative_to(folder).with_suffix("").parts]), file)
        for file in sorted(folder.rglob("*.py"))
        if not any(parent.is_symlink() for parent in file.parents if folder in parent.parents)
    ]


FACADE = "neuralbits.__init__"  # offers `fit` and shows type checkers where it is from


def imported(module: str, source: str) -> Iterator[str]:
    """Yield the full names that a module imports, anywhere in it."""
    tree = ast.parse(source)
    if module == FACADE:
        tree.body = [node for node in tree.body if not is_for_type_checkers(node)]
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            parents = module.split(".")[: -node.level] if node.level else []
            origin = ".".join([*parents, *filter(None, [node.module])])
            yield from (f"{origin}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Call) and "import" in ast.unparse(node.func):
            yield from (str(name.value) for name in node.args if isinstance(name, ast.Constant))


POSIX_ONLY = {"fcntl", "grp", "posix", "pty", "pwd", "resource", "syslog", "termios", "tty"}


@pytest.mark.parametrize("package", PACKAGES)
def test_importing_takes_nothing_that_windows_lacks(package: str) -> None:
    for module, file in modules(package):
        for node in ast.parse(file.read_text("utf-8")).body:  # not what an `if` or a function has
            names = set(imported(module, ast.unparse(node))) if is_import(node) else set()
            assert names.isdisjoint(POSIX_ONLY), module


def is_for_type_checkers(node: ast.stmt) -> bool:
    return isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"


def is_import(node: ast.stmt) -> bool:
    return isinstance(node, ast.Import | ast.ImportFrom)


@pytest.mark.parametrize("package", PACKAGES)
def test_a_package_imports_only_what_it_may(package: str) -> None:
    members = modules(package)
    assert len(members) > 10
    against = {
        (module, name)
        for module, file in members
        for name in imported(module, file.read_text("utf-8"))
        if any(f"{name}.".startswith(f"{other}.") for other in FORBIDDEN[package])
    }
    assert against == set()


@pytest.mark.parametrize(
    "source",
    [
        "import neuralbits.app.server",
        "from neuralbits import app",
        "def serve():\n    from neuralbits.app import server",
        "from .app import server",
        "from . import app",
        "importlib.import_module('neuralbits.app')",
    ],
)
def test_every_way_to_import_is_seen(source: str) -> None:
    assert any(
        f"{name}.".startswith("neuralbits.app.") for name in imported("neuralbits.x", source)
    )
