"""The general corpus: everyday texts of other domains, never those that are measured with."""

import csv
import functools
from pathlib import Path

import pytest

from neuralbits.model_training.data import (
    Examples,
    TrainingData,
    from_files,
    general,
    home_assistant,
    public,
)
from neuralbits.model_training.data.examples import DataFile
from neuralbits.text import key

home = functools.cache(home_assistant.load)


@pytest.fixture(autouse=True)
def _nothing_public(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("NEURALBITS_DATA", raising=False)
    monkeypatch.setattr(home_assistant, "load", home)  # the same sentences, made once


def file_of(*texts: str) -> DataFile:
    count = len(texts)
    return DataFile("own.csv", "", Examples(texts, ("a",) * count, tuple(range(count))))


def test_it_has_a_home_and_small_talk_each_text_once() -> None:
    texts = general.load([]).unlabelled.texts
    assert len(texts) > 5000
    assert len({key(text) for text in texts}) == len(texts)
    assert any("light" in text for text in texts)
    assert texts == general.load([]).unlabelled.texts


def test_what_the_run_has_already_is_left_out() -> None:
    first, second, *_ = general.load([]).unlabelled.texts
    left = general.load([file_of(first.upper(), second)]).unlabelled.texts
    assert {first, second}.isdisjoint(left)
    assert len(left) > 5000


def with_public(folder: Path, monkeypatch: pytest.MonkeyPatch, data: Path) -> None:
    (folder / "public").mkdir()
    (folder / "public" / "snips").symlink_to(data / "snips")
    monkeypatch.setenv("NEURALBITS_DATA", str(folder / "public"))


def test_it_has_the_public_sets_of_the_machine_but_not_the_measured_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, data_folder: Path
) -> None:
    with_public(tmp_path, monkeypatch, data_folder)
    with (public.place(public.PUBLIC["snips"]) / "train.csv").open(newline="") as file:
        snips = [row["text"] for row in csv.DictReader(file)]
    assert set(snips[:100]) <= set(general.load([]).unlabelled.texts)
    measured = general.load([file_of(*snips[:1000])]).unlabelled.texts
    assert set(snips).isdisjoint(measured)


def test_a_training_names_it_in_place_of_a_file(tmp_path: Path) -> None:
    rows = [f"turn it {way} {i},{way}" for way in ("on", "off") for i in range(20)]
    (tmp_path / "train.csv").write_text("\n".join(["text,intent", *rows]))
    (tmp_path / "other.csv").write_text("text\nwhere is my parcel\n")
    data: TrainingData = from_files(
        tmp_path / "train.csv", transfer=[tmp_path / "other.csv", Path("general")]
    )
    assert data.transfer[0] == "where is my parcel"
    assert len(data.transfer) > 5000
    assert set(data.provenance["transfer"]) == {"other.csv", "general"}
