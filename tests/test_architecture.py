"""Imports point one way: ``neuralbits.app → neuralbits ← neuralbits.model_training``."""

import ast
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

from tests.support.paths import ROOT

RUNTIME, APP, TRAINING = "neuralbits", "neuralbits.app", "neuralbits.model_training"


def modules() -> dict[str, Path]:
    """All modules of the package, by name; the links to app/ and model_training/ are followed."""
    folders = {RUNTIME: "neuralbits/*.py", APP: "app/**/*.py", TRAINING: "model_training/**/*.py"}
    found = {}
    for package, pattern in folders.items():
        root = ROOT / pattern.partition("/")[0]
        for file in ROOT.glob(pattern):
            parts = file.relative_to(root).with_suffix("").parts
            name = ".".join([package, *(part for part in parts if part != "__init__")])
            found[name] = file
    return found


MODULES = modules()


def imports(name: str, *, on_import_alone: bool = False) -> Iterator[str]:
    """The modules that one imports; those within functions, too, unless asked for the others."""
    tree = ast.parse(MODULES[name].read_text(encoding="utf-8"))
    package = name if MODULES[name].name == "__init__.py" else name.rpartition(".")[0]
    for node in nodes(tree, on_import_alone):
        if isinstance(node, ast.Import):
            yield from (each.name for each in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                above = package.split(".")[: len(package.split(".")) - node.level + 1]
                base = ".".join([*above, base]).rstrip(".")
            for each in node.names:
                inner = f"{base}.{each.name}"
                yield inner if inner in MODULES else base


def nodes(tree: ast.AST, on_import_alone: bool) -> Iterator[ast.AST]:
    """The nodes of a module; if asked, without those that run later or only for type checkers."""
    for node in ast.iter_child_nodes(tree):
        typing = isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        if on_import_alone and (typing or isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)):
            continue
        yield node
        yield from nodes(node, on_import_alone)


def of(package: str) -> list[str]:
    """The modules of a package; of the runtime, those that belong to neither of the others."""
    others = (APP, TRAINING) if package == RUNTIME else ()
    return [
        name
        for name in MODULES
        if f"{name}.".startswith(f"{package}.")
        and not f"{name}.".startswith(tuple(f"{other}." for other in others))
    ]


@pytest.mark.parametrize(
    ("package", "unwanted"),
    [(RUNTIME, (APP, TRAINING)), (APP, (TRAINING,)), (TRAINING, (APP,))],
    ids=["runtime", "app", "model_training"],
)
def test_no_import_points_the_wrong_way(package: str, unwanted: tuple[str, ...]) -> None:
    assert len(of(package)) > 10
    # The package's own names include `fit`: type checkers see where it is from.
    wrong = [
        f"{name} imports {imported}"
        for name in of(package)
        for imported in imports(name, on_import_alone=name == RUNTIME)
        if f"{imported}.".startswith(tuple(f"{each}." for each in unwanted))
    ]
    assert wrong == []


def test_no_modules_import_each_other_in_a_circle() -> None:
    graph = {
        name: {each for each in imports(name, on_import_alone=True) if each in MODULES} - {name}
        for name in MODULES
    }
    TopologicalSorter(graph).prepare()  # a CycleError names the circle


@pytest.mark.parametrize("package", [APP, TRAINING])
def test_a_package_imports_its_own_modules_relatively(package: str) -> None:
    absolute = [
        f"{name} imports {node.module}"
        for name in of(package)
        for node in ast.walk(ast.parse(MODULES[name].read_text(encoding="utf-8")))
        if isinstance(node, ast.ImportFrom)
        and not node.level
        and f"{node.module}.".startswith(f"{package}.")
    ]
    assert absolute == []
