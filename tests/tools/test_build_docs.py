"""The site's pages are the repository's, with links that work on the site."""

import tomllib
from pathlib import Path

import pytest

from tools.build_docs import PAGES, ROOT, BrokenLink, repository, rewritten

ALL = {file.relative_to(ROOT) for pattern in PAGES for file in ROOT.glob(pattern)}
INSTALL = Path("docs/install.md")


@pytest.mark.parametrize("page", sorted(ALL), ids=str)
def test_each_link_of_a_page_leads_to_a_file(page: Path) -> None:
    rewritten(page, (ROOT / page).read_text(encoding="utf-8"), ALL)


@pytest.mark.parametrize(
    ("text", "on_the_site"),
    [
        ("[a](training.md#publish)", "[a](training.md#publish)"),
        ("[a](../README.md)", "[a](../index.md)"),
        ("[a](../Makefile)", f"[a]({repository()}/blob/main/Makefile)"),
        ("[a](../examples/c)", f"[a]({repository()}/blob/main/examples/c)"),
        ("![a](page.webp)", "![a](page.webp)"),
        (
            "[a](https://safetensors.org) [b](#platforms)",
            "[a](https://safetensors.org) [b](#platforms)",
        ),
    ],
)
def test_a_link_that_leaves_the_site_goes_to_the_repository(text: str, on_the_site: str) -> None:
    assert rewritten(INSTALL, text, ALL)[0] == on_the_site


@pytest.mark.parametrize("target", ["nothing.md", "../nothing", "nothing.md#here"])
def test_a_broken_link_is_named_with_its_page(target: str) -> None:
    with pytest.raises(BrokenLink, match=f"docs/install.md: {target} leads nowhere"):
        rewritten(INSTALL, f"[a]({target})", ALL)


def test_every_page_of_the_navigation_exists() -> None:
    configuration = tomllib.loads((ROOT / "zensical.toml").read_text())
    pages = set(leaves(configuration["project"]["nav"])) - {"index.md"}
    assert {page for page in pages if not page.startswith("api/")} <= set(map(str, ALL))
    guides = {str(page) for page in ALL if page.parts[0] == "docs"}
    assert guides <= pages


def leaves(entries: object) -> list[str]:
    if isinstance(entries, str):
        return [entries]
    inner = entries.values() if isinstance(entries, dict) else entries
    assert hasattr(inner, "__iter__")
    return [leaf for entry in inner for leaf in leaves(entry)]
