import datetime
import decimal
import io
import math
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet
import pytest
from hypothesis import given
from hypothesis import strategies as st

from neuralbits.table_writers import (
    CsvWriter,
    JsonLinesWriter,
    ParquetWriter,
    TableWriter,
    streams_to_parquet,
)
from neuralbits.tables import Format, Row, open_table

TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20)
NAMES = st.lists(TEXT.filter(bool), min_size=1, max_size=4, unique=True)
NUMBERS = st.integers() | st.floats(allow_nan=False, allow_infinity=False)
VALUES = st.recursive(
    st.none() | st.booleans() | NUMBERS | TEXT,
    lambda values: st.lists(values, max_size=3) | st.dictionaries(TEXT, values, max_size=3),
    max_leaves=8,
)


def read_back(folder: Path, content: bytes, format: Format) -> list[dict[str, Any]]:
    path = folder / f"encoded.{format}"
    path.write_bytes(content)
    with open_table(path, format) as table:
        rows = list(table)
    assert all(isinstance(row, Row) for row in rows)
    return [row.values for row in rows if isinstance(row, Row)]


def encoded(writer: TableWriter, rows: list[dict[str, Any]], cut: int) -> bytes:
    return writer.header + writer.encode(rows[:cut]) + writer.encode(rows[cut:])


@given(data=st.data(), columns=NAMES, delimiter=st.sampled_from([",", "\t"]), cut=st.integers(0))
def test_csv_and_tsv_read_back_as_they_were(
    tmp_path_factory: pytest.TempPathFactory,
    data: st.DataObject,
    columns: list[str],
    delimiter: str,
    cut: int,
) -> None:
    rows = data.draw(st.lists(st.fixed_dictionaries(dict.fromkeys(columns, TEXT))))
    content = encoded(CsvWriter(columns, delimiter), rows, cut)
    format: Format = "csv" if delimiter == "," else "tsv"
    # A header that begins with a byte-order mark isn't one: the mark belongs to the encoding. A
    # cell that holds both a delimiter and a line end may be taken for a stray quotation mark.
    cells = [cell for row in rows for cell in row.values()]
    if not columns[0].startswith("\ufeff") and not any(
        delimiter in cell and set(cell) & set("\r\n") for cell in cells
    ):
        assert read_back(tmp_path_factory.getbasetemp(), content, format) == rows


@given(rows=st.lists(st.dictionaries(TEXT, VALUES, max_size=4), min_size=1), cut=st.integers(0))
def test_json_lines_read_back_as_they_were(
    tmp_path_factory: pytest.TempPathFactory, rows: list[dict[str, Any]], cut: int
) -> None:
    content = encoded(JsonLinesWriter(), rows, cut)
    assert read_back(tmp_path_factory.getbasetemp(), content, "jsonl") == rows


SCHEMA = pyarrow.schema(
    [
        ("text", pyarrow.string()),
        ("whole", pyarrow.int64()),
        ("real", pyarrow.float64()),
        ("flag", pyarrow.bool_()),
    ]
)
PARQUET_ROW = st.fixed_dictionaries(
    {
        "text": st.none() | TEXT,
        "whole": st.none() | st.integers(-(2**63), 2**63 - 1),
        "real": st.none() | st.floats(allow_nan=False),
        "flag": st.none() | st.booleans(),
    }
)


@given(rows=st.lists(PARQUET_ROW), cut=st.integers(0))
def test_parquet_reads_back_as_it_was(
    tmp_path_factory: pytest.TempPathFactory, rows: list[dict[str, Any]], cut: int
) -> None:
    file = io.BytesIO()
    streams_to_parquet(io.BytesIO(encoded(ParquetWriter(SCHEMA), rows, cut)), file)
    assert pyarrow.parquet.read_schema(io.BytesIO(file.getvalue())) == SCHEMA
    assert read_back(tmp_path_factory.getbasetemp(), file.getvalue(), "parquet") == rows


def test_csv_writes_other_values_than_text_as_json_and_dates_as_iso_8601() -> None:
    row = {
        "nothing": None,
        "true": True,
        "whole": 7,
        "real": 0.1,
        "infinite": math.inf,
        "nested": {"a": ["é", None]},
        "time": datetime.datetime(2024, 1, 2, 3, 4, 5, tzinfo=datetime.UTC),
        "price": decimal.Decimal("1.50"),
    }
    cells = ',true,7,0.1,inf,"{""a"": [""é"", null]}",2024-01-02T03:04:05+00:00,1.50\n'
    assert CsvWriter(list(row), ",").encode([row]).decode() == cells


def test_json_lines_hold_dates_and_decimals_as_strings() -> None:
    row = {"day": datetime.date(2024, 1, 2), "price": decimal.Decimal("1.50")}
    assert JsonLinesWriter().encode([row]) == b'{"day": "2024-01-02", "price": "1.50"}\n'


def test_a_parquet_column_of_text_has_other_values_as_json(tmp_path: Path) -> None:
    writer = ParquetWriter(pyarrow.schema([("any", pyarrow.string())]))
    rows = [{"any": value} for value in ("text", 1, True, {"a": [1.5]}, None)]
    file = io.BytesIO()
    streams_to_parquet(io.BytesIO(writer.encode(rows)), file)
    values = [row["any"] for row in read_back(tmp_path, file.getvalue(), "parquet")]
    assert values == ["text", "1", "true", '{"a": [1.5]}', None]


@pytest.mark.parametrize(
    ("writer", "row", "reason"),
    [
        (CsvWriter(["a"], ","), {"a": "", "b": ""}, "has a column 'b' that the first records"),
        (CsvWriter(["a"], ","), {"a": b"x"}, "of type bytes can't be written as text"),
        (JsonLinesWriter(), {"a": math.nan}, "not JSON compliant"),
        (JsonLinesWriter(), {"a": [b"x"]}, "of type bytes can't be written as text"),
        (ParquetWriter(SCHEMA), {"b": ""}, "has a column 'b' that the first records"),
        (
            ParquetWriter(SCHEMA),
            {"whole": 1.5},
            "column 'whole' has 1.5, but the first records have int64",
        ),
        (
            ParquetWriter(SCHEMA),
            {"whole": "1"},
            "column 'whole' has '1', but the first records have int64",
        ),
        (
            ParquetWriter(SCHEMA),
            {"real": True},
            "column 'real' has True, but the first records have double",
        ),
        (
            ParquetWriter(SCHEMA),
            {"flag": 1},
            "column 'flag' has 1, but the first records have bool",
        ),
        (ParquetWriter(SCHEMA), {"whole": 2**63}, "the column 'whole': "),
        (ParquetWriter(SCHEMA), {"real": 2**63 + 1}, "the column 'real': "),
    ],
)
def test_a_row_that_the_format_cannot_hold_is_refused(
    writer: TableWriter, row: dict[str, Any], reason: str
) -> None:
    with pytest.raises(ValueError, match=reason):
        writer.encode([row])


def test_columns_are_added_to_a_batch_without_touching_the_others() -> None:
    batch = pyarrow.record_batch(
        {
            "when": pyarrow.array([1, None], pyarrow.timestamp("ns", "UTC")),
            "kind": pyarrow.array(["a", "b"]).dictionary_encode(),
            "nested": pyarrow.array([{"x": 1}, None]),
        }
    )
    schema = batch.schema.append(pyarrow.field("flag", pyarrow.bool_())).with_metadata({"k": "v"})
    writer = ParquetWriter(schema)
    other = batch.set_column(1, "kind", pyarrow.array(["c", "a"]).dictionary_encode())
    streams = writer.header + b"".join(
        writer.extend(part, [0, 1], [{"flag": True}, {"flag": None}]) for part in (batch, other)
    )
    file = io.BytesIO()
    streams_to_parquet(io.BytesIO(streams), file)
    table = pyarrow.parquet.read_table(io.BytesIO(file.getvalue()))
    assert table.schema.equals(schema, check_metadata=True)
    assert table["when"].cast("int64").to_pylist() == [1, None] * 2
    assert table["kind"].to_pylist() == ["a", "b", "c", "a"]
    assert table["nested"].to_pylist() == [{"x": 1}, None] * 2
    assert table["flag"].to_pylist() == [True, None] * 2


@pytest.mark.parametrize(
    "kind",
    [
        pyarrow.string(),
        pyarrow.large_string(),
        pyarrow.string_view(),
        pyarrow.dictionary(pyarrow.int8(), pyarrow.string()),
        pyarrow.dictionary(pyarrow.int32(), pyarrow.large_string()),
        pyarrow.binary_view(),
        pyarrow.list_(pyarrow.string_view()),
        pyarrow.struct([("x", pyarrow.string_view()), ("y", pyarrow.int8())]),
    ],
    ids=str,
)
def test_rows_are_left_out_of_a_batch_of_every_type(kind: pyarrow.DataType) -> None:
    values: list[Any] = ["a", None, "c"]
    if pyarrow.types.is_list(kind):
        values = [["a"], None, ["c", None]]
    elif pyarrow.types.is_struct(kind):
        values = [{"x": "a", "y": 1}, None, {"x": "c", "y": None}]
    elif kind == pyarrow.binary_view():
        values = [b"a", None, b"c"]
    batch = pyarrow.record_batch({"column": pyarrow.array(values, kind)})
    schema = batch.schema.append(pyarrow.field("flag", pyarrow.bool_()))
    writer = ParquetWriter(schema)
    streams = writer.header + writer.extend(batch, [0, 2], [{"flag": True}, {"flag": False}])
    file = io.BytesIO()
    streams_to_parquet(io.BytesIO(streams), file)
    table = pyarrow.parquet.read_table(io.BytesIO(file.getvalue()))
    assert table["column"].to_pylist() == [values[0], values[2]]
    assert table["column"].type == kind or pyarrow.types.is_dictionary(kind)


def test_safe_csv_turns_formulas_into_text() -> None:
    cells = ["=HYPERLINK(1)", "+1+2", "-5", "+49 30 123", "@a", "\t=1", "a=1", "", "-", "-1e-05"]
    rows = [{"cell": cell} for cell in cells]
    safe = CsvWriter(["cell"], ",", safe=True).encode(rows).decode().splitlines()
    assert safe == [
        "'=HYPERLINK(1)",
        "'+1+2",
        "-5",
        "+49 30 123",
        "'@a",
        "'\t=1",
        "a=1",
        '""',
        "'-",
        "-1e-05",
    ]


def test_a_header_with_another_delimiter_is_quoted() -> None:
    assert CsvWriter(["a;b", "c"], ",").header == b'"a;b","c"\n'
    assert CsvWriter(["sep=;"], ",").header == b'"sep=;"\n'


def test_unnamed_and_repeated_columns_keep_their_names() -> None:
    writer = CsvWriter(["a", "column 2", "a (3)"], ";", header=["a", "", "a"], preamble="\ufeff")
    assert writer.header.decode() == "\ufeffa;;a\n"
