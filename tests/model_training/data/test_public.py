import csv
import json
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from neuralbits.model_training.data import public
from neuralbits.model_training.data.public import PUBLIC, DataError, folder


class QuietHandler(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture(scope="module")
def upstream(data_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The data sets as their authors publish them, rebuilt from the CSVs."""
    root = tmp_path_factory.mktemp("upstream")

    def rows(dataset: str, stem: str) -> list[tuple[str, str]]:
        with (data_folder / dataset / f"{stem}.csv").open(encoding="utf-8", newline="") as file:
            return [(row["text"], row["intent"]) for row in csv.DictReader(file)]

    clinc = root / PUBLIC["clinc150"].repository / "data" / "data_full.json"
    clinc.parent.mkdir(parents=True)
    published = {
        stem.replace("validation", "val"): rows("clinc150", stem)
        for stem in ("oos_validation", "validation", "train", "oos_test", "test", "oos_train")
    }
    clinc.write_text(json.dumps(published, indent=4), encoding="utf-8")

    banking = root / PUBLIC["banking77"].repository / "banking_data"
    banking.mkdir(parents=True)
    for stem in ("train", "test"):
        with (banking / f"{stem}.csv").open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerows([("text", "category"), *rows("banking77", stem)])

    snips = root / PUBLIC["snips"].repository / "data" / "snips"
    for stem, name in (("train", "train"), ("validation", "valid"), ("test", "test")):
        (snips / name).mkdir(parents=True)
        texts, intents = zip(*rows("snips", stem), strict=True)
        (snips / name / "seq.in").write_text("\n".join(texts) + "\n", encoding="utf-8")
        (snips / name / "label").write_text("\n".join(intents) + "\n", encoding="utf-8")
    return root


@pytest.fixture
def home(upstream: Path) -> Iterator[str]:
    """The address of a real HTTP server in the place of GitHub."""
    with ThreadingHTTPServer(
        ("127.0.0.1", 0), partial(QuietHandler, directory=str(upstream))
    ) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv("NEURALBITS_DATA", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "neuralbits"


@pytest.mark.parametrize("name", PUBLIC)
def test_the_published_form_is_converted_to_the_very_same_bytes(
    name: str, home: str, cache: Path, data_folder: Path
) -> None:
    found = folder(PUBLIC[name], home)
    assert found == cache / name
    files = sorted(PUBLIC[name].checksums)
    assert sorted(path.name for path in found.iterdir()) == files
    for file in files:
        assert (found / file).read_bytes() == (data_folder / name / file).read_bytes()
    assert [path.name for path in cache.iterdir()] == [name]  # and nothing temporary


def test_a_data_set_is_downloaded_once(home: str) -> None:
    first = folder(PUBLIC["snips"], home)
    assert folder(PUBLIC["snips"], "http://127.0.0.1:1") == first


def test_the_folder_of_neuralbits_data_goes_first(
    data_folder: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NEURALBITS_DATA", str(data_folder))
    assert folder(PUBLIC["clinc150"], "http://127.0.0.1:1") == data_folder / "clinc150"
    assert not cache.exists()


def test_without_a_network_one_sentence_says_what_to_do(cache: Path) -> None:
    with pytest.raises(DataError) as failure:
        folder(PUBLIC["banking77"], "http://127.0.0.1:1")
    message = str(failure.value)
    assert "banking77 can't be downloaded from http://127.0.0.1:1/PolyAI-LDN/" in message
    assert "NEURALBITS_DATA" in message
    assert not cache.exists()


@pytest.mark.parametrize(
    ("name", "file", "content"),
    [
        ("snips", "data/snips/test/label", b"GetWeather\n"),
        ("snips", "data/snips/valid/seq.in", b"\xff\xfe\n"),
        ("clinc150", "data/data_full.json", b"<html>please log in</html>"),
        ("clinc150", "data/data_full.json", b'{"train": 5}'),
        ("banking77", "banking_data/test.csv", b"text,category\nwhere is my card?,card_arrival\n"),
        ("banking77", "banking_data/train.csv", b"text,label\nwhere is my card?,card_arrival\n"),
    ],
)
def test_a_download_that_isnt_the_published_file_is_refused_and_leaves_nothing(
    name: str, file: str, content: bytes, upstream: Path, home: str, cache: Path
) -> None:
    path = upstream / PUBLIC[name].repository / file
    whole = path.read_bytes()
    path.write_bytes(content)
    try:
        with pytest.raises(DataError, match=f"isn't the published {name}"):
            folder(PUBLIC[name], home)
    finally:
        path.write_bytes(whole)
    assert not cache.exists()


def test_a_file_missing_upstream_is_refused(home: str, upstream: Path) -> None:
    path = upstream / PUBLIC["snips"].repository / "data/snips/test/label"
    moved = path.rename(path.with_name("gone"))
    try:
        with pytest.raises(DataError, match=r"label .*404"):
            folder(PUBLIC["snips"], home)
    finally:
        moved.rename(path)


def test_an_altered_file_of_ones_own_folder_is_refused_by_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NEURALBITS_DATA", str(tmp_path))
    (tmp_path / "snips").mkdir()
    with pytest.raises(DataError, match=r"snips has no train\.csv"):
        folder(PUBLIC["snips"])
    (tmp_path / "snips" / "train.csv").write_text("text,intent\nplay,PlayMusic\n")
    with pytest.raises(DataError, match=r"train\.csv isn't the published snips"):
        folder(PUBLIC["snips"])


def test_a_cache_that_cant_be_written_is_named(
    home: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    with pytest.raises(DataError, match="set XDG_CACHE_HOME"):
        folder(PUBLIC["snips"], home)


def test_each_data_set_says_where_it_comes_from_and_under_which_licence() -> None:
    assert public.NAMES == ("home-assistant", "clinc150", "banking77", "snips")
    for dataset in PUBLIC.values():
        provenance = dataset.provenance
        assert provenance["source"].startswith("https://github.com/")
        assert provenance["source"].count("/") == 4
        assert provenance["licence"].startswith("CC")
        assert "20" in provenance["citation"]
        assert all(len(checksum) == 64 for checksum in provenance["sha256"].values())
