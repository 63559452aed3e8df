import gzip
import io
import os
import pickle
import struct
from pathlib import Path

import numpy as np
import pytest
import torch

from reproductions.examples import (
    ArrayUnpickler,
    DataSetError,
    Examples,
    Split,
    coloured,
    idx,
    load,
)


def test_digits_need_no_file_and_share_no_image_between_splits() -> None:
    digits = load("digits")
    assert digits.shape == (1, 8, 8)
    assert [len(digits.train), len(digits.validation), len(digits.test)] == [1077, 270, 450]
    assert all(len(torch.unique(part.labels)) == 10 for part in (digits.train, digits.test))
    everything = torch.cat([digits.train.inputs, digits.validation.inputs, digits.test.inputs])
    assert len(torch.unique(everything, dim=0)) == 1797


def test_texts_become_rows_of_words() -> None:
    texts = load("texts")
    assert texts.shape == (32, 1, 12)
    assert set(torch.unique(texts.train.inputs).tolist()) == {-1.0, 0.0, 1.0}
    first_word = texts.train.inputs[:, :, 0, 0]
    assert bool((first_word != 0).all())


def test_an_idx_file_is_read_by_its_shape() -> None:
    array = np.arange(24, dtype=np.uint8).reshape(2, 3, 4)
    content = b"\0\0\x08\x03" + struct.pack(">3I", *array.shape) + array.tobytes()
    np.testing.assert_array_equal(idx(content), array)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\0\0\x08",
        b"\0\0\x08\x03\0\0",
        b"\0\0\x0d\x01" + struct.pack(">I", 1) + b"\0" * 4,  # floats
        b"\0\0\x08\x01" + struct.pack(">I", 9) + b"cut off",
        b"\0\0\x08\x04" + struct.pack(">4I", *[2**32 - 1] * 4),  # a product beyond 64 bits
    ],
)
def test_what_is_no_idx_file_is_refused(content: bytes) -> None:
    with pytest.raises(DataSetError, match="IDX"):
        idx(content)


def test_a_pickle_of_arrays_is_read() -> None:
    batch = {b"data": np.arange(6, dtype=np.uint8).reshape(2, 3), b"fine_labels": [3, 4]}
    read = ArrayUnpickler(io.BytesIO(pickle.dumps(batch, protocol=4))).load()
    np.testing.assert_array_equal(read[b"data"], batch[b"data"])
    assert read[b"fine_labels"] == [3, 4]


class _Command:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, ("true",)


@pytest.mark.parametrize("value", [_Command(), np.save, np.dtype, pickle.loads, Path])
def test_a_pickle_that_names_anything_else_is_refused(value: object) -> None:
    if value is np.dtype:
        value = np.load
    with pytest.raises(DataSetError, match="only arrays are read"):
        ArrayUnpickler(io.BytesIO(pickle.dumps(value, protocol=4))).load()


def test_a_file_with_another_checksum_is_refused(tmp_path: Path) -> None:
    (tmp_path / "train-images-idx3-ubyte.gz").write_bytes(gzip.compress(b"another"))
    with pytest.raises(DataSetError, match=r"train-images-idx3-ubyte\.gz: MD5 is"):
        load("mnist", tmp_path)


def test_a_set_without_its_file_says_how_to_name_it() -> None:
    with pytest.raises(DataSetError, match="--file"):
        load("cifar100")
    with pytest.raises(DataSetError, match="choose digits"):
        load("imagenet")


def test_colours_keep_the_drawing() -> None:
    drawing = torch.tensor([[0.0, 1.0], [0.5, 0.0]]).view(1, 1, 2, 2)
    split = Split(drawing.repeat(3, 1, 1, 1), torch.zeros(3, dtype=torch.int64))
    images = coloured(Examples("drawing", 1, split, split, split)).train.inputs
    assert images.shape == (3, 3, 2, 2)
    paper, ink = images[..., 0, 0], images[..., 0, 1]
    torch.testing.assert_close(images[..., 1, 0], (paper + ink) / 2)
    assert len(torch.unique(ink, dim=0)) == 3
