"""Named data sets: what ``--dataset NAME`` stands for.

``home-assistant`` is sampled on the spot, see home_assistant.py. The others are public benchmarks,
read from the folder that the environment variable ``NEURALBITS_DATA`` names, one folder each
(``clinc150/train.csv`` …) with the columns ``text`` and ``intent``. Where it holds no such folder,
they are fetched once from their public homes and kept in ``~/.cache/neuralbits``, or in
``neuralbits`` in the folder that ``XDG_CACHE_HOME`` names.

The published forms differ (JSON, CSV, parallel text files), and all are converted to the same
CSVs. The checksums are those of the CSVs, so a file is the published one, to the byte, wherever it
came from.
"""

import csv
import hashlib
import io
import json
import os
import tempfile
import urllib.request
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from typing import Any

from .examples import DataError

GITHUB = "https://raw.githubusercontent.com"
TIMEOUT = 30.0  # seconds without an answer

Fetch = Callable[[str], str]
Tables = dict[str, Iterable[tuple[str, str]]]  # the file's stem -> (text, intent)


@dataclass(frozen=True)
class PublicDataset:
    """A benchmark, and how its published form becomes CSVs."""

    name: str
    repository: str
    """On GitHub, with the branch."""
    licence: str
    citation: str
    convert: Callable[[Fetch], Tables]
    checksums: dict[str, str]
    """The SHA-256 of each CSV, by its name."""

    @property
    def provenance(self) -> dict[str, Any]:
        """What an artifact and its model card say about the data."""
        return {
            "name": self.name,
            "source": f"https://github.com/{self.repository.rpartition('/')[0]}",
            "licence": self.licence,
            "citation": self.citation,
            "sha256": dict(self.checksums),
        }


def _clinc150(fetch: Fetch) -> Tables:
    data = json.loads(fetch("data/data_full.json"))
    published = {"validation": "val", "oos_validation": "oos_val"}
    stems = ("train", "validation", "test", "oos_train", "oos_validation", "oos_test")
    return {stem: [(t, i) for t, i in data[published.get(stem, stem)]] for stem in stems}


def _banking77(fetch: Fetch) -> Tables:
    tables: Tables = {}
    for stem in ("train", "test"):
        rows = csv.DictReader(io.StringIO(fetch(f"banking_data/{stem}.csv"), newline=""))
        tables[stem] = [(row["text"], row["category"]) for row in rows]
    return tables


def _snips(fetch: Fetch) -> Tables:
    tables: Tables = {}
    for stem, published in (("train", "train"), ("validation", "valid"), ("test", "test")):
        texts, intents = (
            [line.strip() for line in fetch(f"data/snips/{published}/{file}").strip().split("\n")]
            for file in ("seq.in", "label")
        )
        tables[stem] = zip(texts, intents, strict=True)
    return tables


PUBLIC = {
    dataset.name: dataset
    for dataset in (
        PublicDataset(
            name="clinc150",
            repository="clinc/oos-eval/master",
            licence="CC BY 3.0",
            citation=(
                "Larson et al. 2019, An Evaluation Dataset for Intent Classification and "
                "Out-of-Scope Prediction, EMNLP-IJCNLP"
            ),
            convert=_clinc150,
            checksums={
                "train.csv": "2a9d68a5aa8eced57aa55b4d27b3a7742e63d7e0c48e1c194b36e0b3f0555e40",
                "validation.csv": (
                    "445adacc61faa90f94ea6190721b2b821a29aa11b48ed6c62f04d3e13a21ac23"
                ),
                "test.csv": "511c3ecc91a5bbc79193347e16eb492c81379580a6d30a2a37e3e3e4deaf91d2",
                "oos_train.csv": "82af2f46d8b7adb2e1a2e18142c426b5fd0fb9137de6b818357e46dc48da62dc",
                "oos_validation.csv": (
                    "ac290eea08a4bf9b3dcd01b674dcf9ee57e3d2abca2fbe04eacd7a7e34dbb1eb"
                ),
                "oos_test.csv": "1987edbc546299d122fd70c0a76a413db03eac0d7d39a6cb0f56537270ba8b26",
            },
        ),
        PublicDataset(
            name="banking77",
            repository="PolyAI-LDN/task-specific-datasets/master",
            licence="CC BY 4.0",
            citation=(
                "Casanueva et al. 2020, Efficient Intent Detection with Dual Sentence Encoders, "
                "Workshop on NLP for Conversational AI"
            ),
            convert=_banking77,
            checksums={
                "train.csv": "216c63f128d02c8800c1461b48014058ddd20a1c44caa45b1d3e81fa08f1b9d7",
                "test.csv": "734896f38063f6b49f381f2953e5116c640507558c5fcbe539860a420db326b2",
            },
        ),
        PublicDataset(
            name="snips",
            repository="MiuLab/SlotGated-SLU/master",
            licence="CC0",
            citation=(
                "Coucke et al. 2018, Snips Voice Platform, arXiv:1805.10190, in the split of "
                "Goo et al. 2018, Slot-Gated Modeling, NAACL"
            ),
            convert=_snips,
            checksums={
                "train.csv": "8b45b0b886ab560a64d2c080131f5d6f9cb14cf6e0689de87d54ade021c3ac58",
                "validation.csv": (
                    "ebba748b26e2d903dadce92d40560a45d72b8ba10344b58d04057dd43a4356a2"
                ),
                "test.csv": "95b75c636ede770421e9e39d30d97660452253cf7a93115033bee9f0ceb25888",
            },
        ),
    )
}
HOME_ASSISTANT = "home-assistant"
NAMES = (HOME_ASSISTANT, *PUBLIC)


def folder(dataset: PublicDataset, home: str = GITHUB) -> Path:
    """Return the folder that holds the data set's CSVs, checked; fetch them where missing.

    Raises:
        DataError: they can't be fetched or kept, or aren't the published ones.
    """
    path = place(dataset)
    if not path.is_dir():
        _download(dataset, path, home)
    for name, expected in dataset.checksums.items():
        if not (path / name).is_file():
            raise DataError(
                f"{path} has no {name}: remove the folder, and {dataset.name} is downloaded again"
            )
        found = hashlib.sha256((path / name).read_bytes()).hexdigest()
        if found != expected:
            raise DataError(
                f"{path / name} isn't the published {dataset.name} (its SHA-256 is {found}, not "
                f"{expected}): remove the folder to download it again, or train on the file "
                "as your own with --train"
            )
    return path


def place(dataset: PublicDataset) -> Path:
    """Return the folder that has the data set's CSVs, or gets them once they are fetched."""
    if (root := os.environ.get("NEURALBITS_DATA")) and (Path(root) / dataset.name).is_dir():
        return Path(root) / dataset.name
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(cache) / "neuralbits" / dataset.name


def _download(dataset: PublicDataset, path: Path, home: str) -> None:
    """Fetch a data set and convert it; ``path`` comes into being whole or not at all."""

    def fetch(file: str) -> str:
        url = f"{home}/{dataset.repository}/{file}"
        try:
            with urllib.request.urlopen(url, timeout=TIMEOUT) as answer:
                content: bytes = answer.read()
        except (OSError, HTTPException) as error:
            raise DataError(
                f"{dataset.name} can't be downloaded from {url} ({error}): go online, or put its "
                f"files ({', '.join(dataset.checksums)}) into the folder {dataset.name} in the "
                "folder that the environment variable NEURALBITS_DATA names"
            ) from None
        return content.decode()

    try:
        tables = {stem: _csv(rows) for stem, rows in dataset.convert(fetch).items()}
    except DataError:
        raise
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise DataError(_changed(dataset, home, f"{type(error).__name__}: {error}")) from None
    for name, expected in dataset.checksums.items():
        found = hashlib.sha256(tables[Path(name).stem]).hexdigest()
        if found != expected:
            detail = f"the SHA-256 of its {name} is {found}, not {expected}"
            raise DataError(_changed(dataset, home, detail))

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".", dir=path.parent) as temporary:
            whole = Path(temporary) / dataset.name
            whole.mkdir()
            for stem, content in tables.items():
                (whole / f"{stem}.csv").write_bytes(content)
            whole.rename(path)
    except OSError as error:
        if path.is_dir():  # another process has just done the same work
            return
        raise DataError(
            f"{dataset.name} can't be kept in {path.parent} ({error}): set XDG_CACHE_HOME to a "
            "folder that can be written"
        ) from None


def _changed(dataset: PublicDataset, home: str, detail: str) -> str:
    return (
        f"what {home}/{dataset.repository} holds isn't the published {dataset.name} ({detail}): "
        "try again, or get its files elsewhere and point NEURALBITS_DATA at them"
    )


def _csv(rows: Iterable[tuple[str, str]]) -> bytes:
    buffer = io.StringIO(newline="")
    csv.writer(buffer).writerows([("text", "intent"), *rows])
    return buffer.getvalue().encode()
