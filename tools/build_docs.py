"""Build the documentation's site: ``python tools/build_docs.py`` writes ``build/site``.

The pages are the repository's own Markdown files, so that they also read well there. They are
copied with their folders, and a link to a file that is no page becomes a link to the repository. A
link that leads nowhere is an error. The API reference is made from the docstrings, by mkdocstrings.
"""

import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SOURCE = ROOT / "build" / "site-source"  # as zensical.toml names it
PAGES = (
    "README.md",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "SECURITY.md",
    "docs/**/*.md",
    "benchmarks/*.md",
    "reproductions/RESULTS.md",
    "artifacts/*.md",
)
API = {
    "api/runtime.md": """\
# Python: classify

::: neuralbits.load
::: neuralbits.loads
::: neuralbits.backend
::: neuralbits.Classifier
::: neuralbits.Prediction
::: neuralbits.IntentConfidence
::: neuralbits.Explanation
::: neuralbits.NgramInfluence
::: neuralbits.Manifest
::: neuralbits.errors
""",
    "api/training.md": """\
# Python: train

::: neuralbits.model_training.fitting.fit
::: neuralbits.model_training.trained.Trained
::: neuralbits.sklearn
""",
    "api/tables.md": """\
# Python: tables and exports

::: neuralbits.scoring.score
::: neuralbits.export.export
::: neuralbits.hub
""",
}
_PICTURES = (".svg", ".webp", ".png")
_LINK = re.compile(r"(\]\()([^)\s]+)(\))|(\bsrc=\")([^\"]+)(\")")


class BrokenLink(Exception):
    """A link leads to no file of the repository."""


def main() -> None:
    """Build the site, and stop at the first broken link."""
    shutil.rmtree(SOURCE, ignore_errors=True)
    pages = {file.relative_to(ROOT) for pattern in PAGES for file in ROOT.glob(pattern)}
    linked = set()
    for page in sorted(pages):
        text, files = rewritten(page, (ROOT / page).read_text(encoding="utf-8"), pages)
        linked |= files
        write(renamed(page), text)
    for name, text in API.items():
        write(Path(name), text)
    for file in linked - pages:
        if file.suffix in _PICTURES:
            target = SOURCE / file
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / file, target)
    command = [
        sys.executable,
        "-m",
        "zensical",
        *(sys.argv[1:] or ["build", "--clean", "--strict"]),
    ]
    sys.exit(subprocess.run(command, cwd=ROOT, check=False).returncode)


def write(page: Path, text: str) -> None:
    """Write a page of the site's source."""
    target = SOURCE / page
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(text, encoding="utf-8")


def renamed(page: Path) -> Path:
    """Return a page's place in the site: the README is the index."""
    return page.with_name("index.md") if page == Path("README.md") else page


def rewritten(page: Path, text: str, pages: set[Path]) -> tuple[str, set[Path]]:
    """Return a page's text with links that work on the site, and the files that it links to.

    Raises:
        BrokenLink: a link leads to no file of the repository.

    Example:
        >>> page = Path("docs/install.md")
        >>> rewritten(page, "[a](../README.md) [b](../Makefile)", {Path("README.md"), page})[0]
        '[a](../index.md) [b](https://github.com/neuralbits/neuralbits/blob/main/Makefile)'
    """
    linked = set()

    def replace(found: re.Match[str]) -> str:
        before, target, after = (group for group in found.groups() if group is not None)
        path, hash_, anchor = target.partition("#")
        if not path or re.match(r"[a-z]+:", target):
            return found[0]
        file = (ROOT / page.parent / path).resolve()
        if not file.exists():
            raise BrokenLink(f"{page}: {target} leads nowhere")
        file = file.relative_to(ROOT)
        linked.add(file)
        if file in pages:
            path = path.replace("README.md", "index.md") if file == Path("README.md") else path
        elif file.suffix not in _PICTURES:
            path = f"{repository()}/blob/main/{file.as_posix()}"
        return before + path + hash_ + anchor + after

    return _LINK.sub(replace, text), linked


def repository() -> str:
    """Return the repository's address."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return str(project["urls"]["Homepage"])


if __name__ == "__main__":
    main()
