"""Graphs over texts: read, found, and drawn by their weights."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from neuralbits.model_training.data import TrainingData
from neuralbits.model_training.views.graph import Graph, GraphError, nearest, read


def write(folder: Path, *rows: str) -> Path:
    (folder / "graph.csv").write_text("\n".join(rows))
    return folder / "graph.csv"


def test_its_ends_are_texts_or_lines(homes: TrainingData, tmp_path: Path) -> None:
    data = replace(homes, unlabelled=("brighter",), transfer=("where is my parcel",))
    count, first = len(data.train), data.train
    path = write(
        tmp_path,
        f'"{first.texts[3].upper()}",Brighter,3',
        f"{first.lines[5]},where is my parcel,1",
    )
    graph = read(path, data)
    assert graph.ends.tolist() == [[3, count], [5, count + 1]]
    assert graph.weights == pytest.approx([0.75, 0.25])


def test_texts_held_out_for_validation_are_left_out(homes: TrainingData, tmp_path: Path) -> None:
    train, held_out = homes.train.texts, homes.validation
    path = write(
        tmp_path,
        f'"{train[0]}","{held_out.texts[0]}",1',
        f"{held_out.lines[1]},{homes.train.lines[1]},1",
        f'"{train[2]}","{train[1]}",1',
    )
    assert read(path, homes).ends.tolist() == [[2, 1]]


@pytest.mark.parametrize(
    ("row", "sentence"),
    [
        ("one,two", "line 2: write two texts and a weight"),
        ("one,two,heavy", "line 2: write two texts and a weight"),
        ("one,two,-1", "line 2: write two texts and a weight"),
        ("nowhere to be seen,turn on the lamp,1", "line 2: 'nowhere to be seen' is no text"),
        ("999999,turn on the lamp,1", "line 2: '999999' is no text or line"),
    ],
)
def test_a_row_that_cannot_be_used_is_named(
    row: str, sentence: str, homes: TrainingData, tmp_path: Path
) -> None:
    good = f'"{homes.train.texts[0]}","{homes.train.texts[1]}",1'
    with pytest.raises(GraphError, match=sentence):
        read(write(tmp_path, good, row), homes)


def test_a_file_without_an_edge_is_refused(homes: TrainingData, tmp_path: Path) -> None:
    with pytest.raises(GraphError, match="joins no texts"):
        read(write(tmp_path), homes)
    with pytest.raises(GraphError, match="can't be read"):
        read(tmp_path / "none.csv", homes)


def test_each_of_the_first_texts_is_joined_to_its_nearest() -> None:
    angles = np.array([0.0, 0.1, 1.5, 1.6, 0.05])
    embeddings = np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)
    graph = nearest(embeddings, joined=4, count=1)
    assert graph.ends.tolist() == [[0, 4], [1, 4], [2, 3], [3, 2]]
    assert graph.weights.sum() == pytest.approx(1)
    all_others = nearest(embeddings, joined=1, count=99).ends
    assert sorted(all_others[:, 1]) == [1, 2, 3, 4]


def test_edges_are_drawn_by_their_weights() -> None:
    graph = Graph(np.array([[0, 1], [2, 3]]), np.array([0.9, 0.1]))
    first, second = graph.draw(1000, np.random.default_rng(0))
    assert set(zip(first.tolist(), second.tolist(), strict=True)) == {(0, 1), (2, 3)}
    assert 0.85 < np.mean(first == 0) < 0.95
