import importlib
import inspect
import re

import pytest

from reproductions.__main__ import FOLDER, SCRIPTS, page, svg
from reproductions.shared import Plot, Table
from tests.support.paths import ROOT


@pytest.mark.parametrize("script", SCRIPTS)
def test_a_script_reads_on_a_few_screens(script: str) -> None:
    module = importlib.import_module(f"reproductions.{script}")
    assert len(inspect.signature(module.main).parameters) <= 5
    assert len((FOLDER / f"{script}.py").read_text(encoding="utf-8").splitlines()) < 250


def test_the_product_imports_none_of_them() -> None:
    for package in ("neuralbits", "app", "model_training"):
        for path in (ROOT / package).rglob("*.py"):
            assert not re.search(
                r"^\s*(from|import) reproductions", path.read_text(encoding="utf-8"), re.M
            ), path


def test_the_page_is_what_the_kept_results_say() -> None:
    written = (FOLDER / "RESULTS.md").read_text(encoding="utf-8")
    assert written == page()
    assert all((FOLDER / link).exists() for link in re.findall(r"\]\(([^)]+)\)", written))


def test_a_table_names_what_differs() -> None:
    table = Table("Digits", ("d", "top-1"), [(8, 97.25), ("all", 0.5)], "Paper: MNIST.")
    assert table.markdown() == (
        "**Digits**\n\n| d | top-1 |\n| --- | --- |\n| 8 | 97.2 |\n| all | 0.500 |\n\nPaper: MNIST."
    )


def test_a_plot_is_the_same_for_the_same_numbers() -> None:
    plot = Plot("bits", "bits", "accuracy", {"digits": [(80, 70.0), (720, 95.0)]})
    assert svg(plot) == svg(plot)
    assert "accuracy" in svg(plot)


def test_the_map_of_the_papers_leads_to_files_that_exist() -> None:
    links = re.findall(r"\]\(([^)]+)\)", (ROOT / "docs" / "papers.md").read_text(encoding="utf-8"))
    assert len(links) > 40
    assert [link for link in links if not (ROOT / "docs" / link).exists()] == []
