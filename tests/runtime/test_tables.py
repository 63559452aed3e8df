import gzip
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, time, timedelta
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet
import pytest
from hypothesis import given
from hypothesis import strategies as st

from neuralbits import tables
from neuralbits.tables import (
    BLANK,
    MAX_RECORD_BYTES,
    Row,
    TableError,
    Unreadable,
    format_of,
    open_table,
)

NO_UTF8 = "is no UTF-8 and looks like Windows-1252: save the file as UTF-8"
Write = Callable[[str, bytes], Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def write(name: str, content: bytes) -> Path:
        path = tmp_path / name
        path.write_bytes(content)
        return path

    return write


def read(path: Path) -> list[Row | Unreadable]:
    with open_table(path, format_of(path)) as table:
        return list(table)


def reason(record: Row | Unreadable) -> str:
    assert isinstance(record, Unreadable)
    return record.reason


# CSV and TSV


def test_a_csv_row_has_its_line_and_its_cells_by_the_names_of_the_header(write: Write) -> None:
    path = write("a.csv", b'text,intent\nturn on,on\n"a, ""b""",\n')
    assert read(path) == [
        Row(2, {"text": "turn on", "intent": "on"}),
        Row(3, {"text": 'a, "b"', "intent": ""}),
    ]


def test_tabs_separate_the_cells_of_a_tsv(write: Write) -> None:
    assert read(write("a.tsv", b"text\tn\na, b\t1\n")) == [Row(2, {"text": "a, b", "n": "1"})]


def test_a_record_of_several_lines_counts_as_the_line_on_which_it_starts(write: Write) -> None:
    path = write("a.csv", b'text\n"one\ntwo\r\nthree"\nfour\n')
    assert read(path) == [Row(2, {"text": "one\ntwo\r\nthree"}), Row(5, {"text": "four"})]


def test_byte_order_mark_and_carriage_returns_are_no_part_of_the_cells(write: Write) -> None:
    path = write("a.csv", b"\xef\xbb\xbftext,n\r\nhello,1\r\n")
    assert read(path) == [Row(2, {"text": "hello", "n": "1"})]


def test_the_last_line_needs_no_newline(write: Write) -> None:
    assert read(write("a.csv", b"text\nhello")) == [Row(2, {"text": "hello"})]


def test_a_blank_line_is_reported_and_not_skipped(write: Write) -> None:
    path = write("a.csv", b"text,n\n\nhello,1\n\r\n")
    assert read(path) == [
        Unreadable(2, BLANK, ""),
        Row(3, {"text": "hello", "n": "1"}),
        Unreadable(4, BLANK, ""),
    ]


def test_a_line_that_is_no_utf8_is_unreadable_and_the_next_is_read(write: Write) -> None:
    bad, good = read(write("a.csv", b"text\ncaf\xe9\ncaf\xc3\xa9\n"))
    assert reason(bad) == f"byte 4 of the line, 0xe9, {NO_UTF8}"
    assert bad == Unreadable(2, reason(bad), "caf\\xe9")
    assert good == Row(3, {"text": "café"})


def test_bad_bytes_within_a_quoted_record_cost_the_whole_record(write: Write) -> None:
    bad, good = read(write("a.csv", b'text\n"one\ntw\xff\nthree"\nfour\n'))
    assert bad == Unreadable(2, reason(bad), '"one\ntw\\xff\nthree"')
    assert good == Row(5, {"text": "four"})


@pytest.mark.parametrize("line", [b"one", b"one,2,3"])
def test_a_record_with_too_few_or_too_many_fields_is_unreadable(write: Write, line: bytes) -> None:
    bad, good = read(write("a.csv", b"text,n\n" + line + b"\ntwo,2\n"))
    assert "fields where the header has 2" in reason(bad)
    assert good == Row(3, {"text": "two", "n": "2"})


def test_a_nul_byte_makes_a_record_unreadable(write: Write) -> None:
    bad, good = read(write("a.csv", b"text\nnu\0l\ngood\n"))
    assert "NUL" in reason(bad)
    assert good == Row(3, {"text": "good"})


def test_a_quote_that_is_never_closed_costs_one_line(write: Write) -> None:
    records = read(write("a.csv", b'text,n\na,1\n"b,2\nc,3\nd,4\n'))
    assert records[1] == Unreadable(3, "the quoting is broken: unexpected end of data", '"b,2')
    assert [record.line for record in records if isinstance(record, Row)] == [2, 4, 5]


def test_bad_encoding_is_not_reported_as_bad_quoting(write: Write) -> None:
    bad, good = read(write("a.csv", b'text\n"caf\xe9" au lait\nhello\n'))
    assert reason(bad) == f"byte 5 of the line, 0xe9, {NO_UTF8}"
    assert good == Row(3, {"text": "hello"})


def test_bad_quoting_is_not_reported_as_the_bad_encoding_of_a_later_line(write: Write) -> None:
    first, second, good = read(write("a.csv", b'text\n"hello\ncaf\xe9\nlast\n'))
    assert "quoting is broken" in reason(first)
    assert "no UTF-8" in reason(second)
    assert good == Row(4, {"text": "last"})


def test_a_quote_that_is_closed_by_a_later_stray_one_costs_those_two_lines(write: Write) -> None:
    records = read(write("a.csv", b'text,n\n"b,2\nc,3\n"d",4\n5,"e\nf,6\n'))
    assert [record.line for record in records if isinstance(record, Row)] == [3, 4, 6]


def test_a_missing_quote_in_a_long_file_costs_one_line(write: Write) -> None:
    rows = 3 * MAX_RECORD_BYTES // 8
    path = write("a.csv", b'text,n\n"stray,0\n' + b"hello,1\n" * rows)
    records = read(path)
    assert "is a closing quote missing" in reason(records[0])
    assert len(records) == rows + 1
    assert records[-1] == Row(rows + 2, {"text": "hello", "n": "1"})


def test_a_record_can_be_as_long_as_the_maximum_but_not_longer(write: Write) -> None:
    longest = b"x" * (MAX_RECORD_BYTES - 1)
    good, bad, last = read(write("a.csv", b"text\n" + longest + b"\n" + longest + b"x\nend\n"))
    assert good == Row(2, {"text": longest.decode()})
    assert "longer than" in reason(bad)
    assert isinstance(bad, Unreadable)
    assert len(bad.raw) == 1000
    assert last == Row(4, {"text": "end"})


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", "is empty: its first line must name the columns"),
        (b"\ntext\n", "the header can't be read: the line is blank"),
        (b'"text\n', "the header can't be read: the quoting is broken"),
        ("text\n".encode("utf-16-le"), "looks like UTF-16 without a byte order mark"),
        ("text\n".encode("utf-16-be"), "looks like UTF-16 without a byte order mark"),
        ("text\n".encode("utf-32"), "is in UTF-32: save it as UTF-8"),
        (b"\xff\xfet\0\n\0\0\xd8\n\0", "isn't valid UTF-16: "),
    ],
)
def test_a_file_without_a_usable_header_is_refused(
    write: Write, content: bytes, sentence: str
) -> None:
    path = write("a.csv", content)
    with pytest.raises(TableError) as refused:
        read(path)
    assert str(path) in str(refused.value)
    assert sentence in str(refused.value)


# Delimiters, encodings, line ends and quotes: docs/tables.md

TABLE = "text,intent\nturn on,on\ncaf\u00e9,off\n"
ROWS = [Row(2, {"text": "turn on", "intent": "on"}), Row(3, {"text": "caf\u00e9", "intent": "off"})]


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("name", ["a.csv", "a.tsv", "a.txt"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_a_table_is_the_same_in_any_delimiter_encoding_and_line_end(
    write: Write, delimiter: str, name: str, encoding: str, end: str
) -> None:
    text = TABLE.replace(",", delimiter).replace("\n", end)
    path = write(name, text.encode(encoding))
    assert read(path) == ROWS
    with open_table(path, format_of(path)) as table:
        assert table.dialect
        assert table.dialect.preamble == ("" if encoding == "utf-8" else "\ufeff")


def test_big_endian_utf16_is_read_by_its_mark(write: Write) -> None:
    assert read(write("a.csv", b"\xfe\xff" + TABLE.encode("utf-16-be"))) == ROWS


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_a_first_line_names_the_delimiter(write: Write, delimiter: str, mark: str) -> None:
    rows = TABLE.replace(",", delimiter).encode()
    path = write("a.csv", f"{mark}sep={delimiter}\r\n".encode() + rows)
    assert read(path) == [Row(each.line + 1, each.values) for each in ROWS]
    with open_table(path, "csv") as table:
        assert table.dialect
        assert table.dialect.preamble == f"{mark}sep={delimiter}\n"
        assert table.dialect.lines == 2


def test_a_delimiter_within_quotes_is_text(write: Write) -> None:
    assert read(write("a.csv", b'"a;b;c",d\n1,2\n')) == [Row(2, {"a;b;c": "1", "d": "2"})]


@pytest.mark.parametrize(
    ("text", "encoding", "title"),
    [
        ("caf\u00e9 au lait", "cp1252", "Windows-1252"),
        ("f\u00fcr \u201eSie\u201c", "cp1252", "Windows-1252"),
        ("\u0432\u043a\u043b\u044e\u0447\u0438 \u0441\u0432\u0435\u0442", "cp1251", "Windows-1251"),
        ("\u660e\u304b\u308a\u3092\u3064\u3051\u3066", "shift_jis", "Shift JIS"),
        ("\u6253\u5f00\u706f", "gb18030", "GB 18030"),
    ],
)
def test_another_encoding_is_named(write: Write, text: str, encoding: str, title: str) -> None:
    [bad] = read(write("a.csv", b"text\n" + text.encode(encoding) + b"\n"))
    assert f"is no UTF-8 and looks like {title}: save the file as UTF-8" in reason(bad)


@pytest.mark.parametrize("name", ["a.csv", "a.tsv", "a.jsonl", "a.parquet", "a.xlsx"])
@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (b"PK\x03\x04" + bytes(26) + b"xl/workbook.xml", "an Excel workbook"),
        (b"PK\x03\x04" + bytes(26) + b"texts.csv", "a ZIP archive"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1", "an old Excel or Word file"),
        (b"%PDF-1.7\n", "a PDF"),
        (b"\x89PNG\r\n\x1a\n", "an image (PNG)"),
        (b"\xff\xd8\xff\xe0", "an image (JPEG)"),
        (b"<!DOCTYPE html>\n<html>", "a web page or XML"),
        (b"SQLite format 3\0", "an SQLite database"),
        (b"\x1f\x8b\x08", "compressed by gzip"),
    ],
)
def test_a_file_of_another_kind_is_named_by_its_first_bytes(
    write: Write, name: str, content: bytes, kind: str
) -> None:
    with pytest.raises(TableError) as refused:
        read(write(name, content))
    assert f"{name} is {kind}" in str(refused.value)


def test_parquet_under_another_name_is_named(tmp_path: Path) -> None:
    pyarrow.parquet.write_table(pyarrow.table({"text": ["a"]}), tmp_path / "a.csv")
    with pytest.raises(TableError, match=r"a\.csv is a Parquet file: end its name in \.parquet"):
        read(tmp_path / "a.csv")


def compressed(path: Path, content: bytes) -> Path:
    if path.suffix == ".gz":
        path.write_bytes(gzip.compress(content[:20]) + gzip.compress(content[20:]))
    else:
        sink = pyarrow.BufferOutputStream()
        with pyarrow.CompressedOutputStream(sink, "zstd") as stream:
            stream.write(content)
        path.write_bytes(sink.getvalue())
    return path


@pytest.mark.parametrize("compression", [".gz", ".zst"])
def test_a_compressed_table_is_read_by_its_ending(tmp_path: Path, compression: str) -> None:
    assert read(compressed(tmp_path / f"a.csv{compression}", TABLE.encode())) == ROWS
    assert read(compressed(tmp_path / f"b.tsv{compression}", TABLE.encode("utf-16"))) == ROWS
    pyarrow.parquet.write_table(pyarrow.table({"n": [1]}), tmp_path / "a.parquet")
    content = (tmp_path / "a.parquet").read_bytes()
    assert read(compressed(tmp_path / f"a.parquet{compression}", content)) == [Row(1, {"n": 1})]


@pytest.mark.parametrize("compression", [".gz", ".zst"])
def test_reading_a_compressed_table_resumes_from_a_position(
    tmp_path: Path, compression: str
) -> None:
    path = compressed(tmp_path / f"a.csv{compression}", TABLE.encode())
    with open_table(path, "csv") as table:
        records, position = next(table.chunks(1))
    with open_table(path, "csv") as table:
        assert table.skip_to(position)
        assert as_list(records) + list(table) == ROWS


@pytest.mark.parametrize("compression", [".gz", ".zst"])
@pytest.mark.parametrize("damage", ["cut", "altered", "plain"])
def test_a_damaged_compressed_table_is_refused(
    tmp_path: Path, compression: str, damage: str
) -> None:
    noise = "".join(f"{place * 7919 % 10007},{place}\n" for place in range(20_000))
    path = compressed(tmp_path / f"a.csv{compression}", ("text,n\n" + noise).encode())
    content = path.read_bytes()
    middle = len(content) // 2
    path.write_bytes(
        {
            "cut": content[:middle],
            "altered": content[:middle] + bytes(64) + content[middle + 64 :],
            "plain": noise.encode(),
        }[damage]
    )
    with pytest.raises(TableError, match=rf"a\.csv\{compression} "):
        read(path)


STRAY = b'text,intent\n"play jazz,music\nstop it,stop\nsay ",talk\nhalt,stop\n'


def test_a_quotation_mark_that_may_be_stray_is_refused_with_its_lines(write: Write) -> None:
    bad, good = read(write("a.csv", STRAY))
    assert bad.line == 2
    assert reason(bad).startswith("a quotation mark opens on line 2 and closes on line 4, but each")
    assert good == Row(5, {"text": "halt", "intent": "stop"})


def test_between_tabs_a_quotation_mark_that_may_be_stray_is_text(write: Write) -> None:
    assert read(write("a.tsv", STRAY.replace(b",", b"\t"))) == [
        Row(2, {"text": '"play jazz', "intent": "music"}),
        Row(3, {"text": "stop it", "intent": "stop"}),
        Row(4, {"text": 'say "', "intent": "talk"}),
        Row(5, {"text": "halt", "intent": "stop"}),
    ]


@pytest.mark.parametrize(
    ("line", "text"),
    [
        (b'"hello" he said\tgreet', '"hello" he said'),
        (b'say "hi"\tgreet', 'say "hi"'),
        (b'5" screen\tgreet', '5" screen'),
        (b'"quoted whole"\tgreet', "quoted whole"),
        (b'"two ""marks"""\tgreet', 'two "marks"'),
        (b'"never closed\tgreet', '"never closed'),
    ],
)
def test_between_tabs_a_quotation_mark_that_quotes_nothing_is_text(
    write: Write, line: bytes, text: str
) -> None:
    good, last = read(write("a.tsv", b"text\tintent\n" + line + b"\nlast\tx\n"))
    assert good == Row(2, {"text": text, "intent": "greet"})
    assert last == Row(3, {"text": "last", "intent": "x"})


@pytest.mark.parametrize("quoted", ['"a, b",x', '"the ""lamp""",x'])
@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_in_a_file_with_quoting_the_lines_within_quotes_are_one_record(
    write: Write, quoted: str, delimiter: str
) -> None:
    """As in BANKING77, whose texts hold commas and now and then end with a line end."""
    content = f'text,intent\n"use, it\n",card\n{quoted}\n'.replace(",", delimiter)
    first, second = read(write("a.csv", content.encode()))
    assert first == Row(2, {"text": f"use{delimiter} it\n", "intent": "card"})
    assert second.line == 4


def test_a_text_of_several_lines_is_one_record(write: Write) -> None:
    path = write("a.csv", b'text,intent\n"Dear John,\n\nthanks",letter\nhello,greet\n')
    assert read(path) == [
        Row(2, {"text": "Dear John,\n\nthanks", "intent": "letter"}),
        Row(5, {"text": "hello", "intent": "greet"}),
    ]


# JSONL


def test_a_json_line_keeps_the_types_of_its_values(write: Write) -> None:
    content = b'{"text": "a", "n": 1, "x": 1.5, "b": true, "z": null, "l": [{"k": "v"}]}\n'
    assert read(write("a.jsonl", content)) == [Row(1, json.loads(content))]


@pytest.mark.parametrize(
    ("line", "why"),
    [
        (b"", BLANK),
        (b"  ", BLANK),
        (b'{"text": "a"', "the JSON is broken: Expecting ',' delimiter at column 13"),
        (b'["text"]', "the line holds JSON, but no object"),
        (b'{"text": "a", "text": "b"}', "the JSON object holds a key twice"),
        (b'{"text": NaN}', "NaN is no JSON"),
        (
            b'{"text": "a"}\r{"text": "b"}',
            "lines end in a bare carriage return: save the file with newlines",
        ),
        (rb'{"text": "\ud83d"}', "the JSON holds half of a surrogate pair, which is no text"),
        (b'{"text": "\xff"}', f"byte 11 of the line, 0xff, {NO_UTF8}"),
        (b'{"n": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", "the JSON is nested too deeply"),
        (b'{"text": "a\0"}', "the line holds a NUL byte"),
    ],
)
def test_a_line_that_holds_no_json_object_is_unreadable(
    write: Write, line: bytes, why: str
) -> None:
    bad, good = read(write("a.jsonl", line + b'\n{"text": "good"}\n'))
    assert bad == Unreadable(1, why, line.decode(errors="backslashreplace"))
    assert good == Row(2, {"text": "good"})


def test_an_escaped_surrogate_pair_is_one_character(write: Write) -> None:
    assert read(write("a.jsonl", rb'{"text": "\ud83d\ude00"}')) == [Row(1, {"text": "😀"})]


def test_the_columns_of_jsonl_are_the_keys_of_its_first_lines(write: Write) -> None:
    path = write("a.jsonl", b'{"text": "a"}\nbroken\n{"n": 1, "text": "b"}\n')
    with open_table(path, "jsonl") as table:
        assert table.columns == ("text", "n")
        assert len(list(table)) == 3


@pytest.mark.parametrize("content", [b"", b"\n\n", b"[]\n", b"text,intent\na,b\n"])
def test_a_file_without_a_json_object_is_refused(write: Write, content: bytes) -> None:
    with pytest.raises(TableError, match="holds no JSON object"):
        read(write("a.jsonl", content))


# Parquet


def test_a_parquet_row_has_its_number_and_its_values(tmp_path: Path) -> None:
    values: list[dict[str, Any]] = [{"text": "a", "n": 1}, {"text": None, "n": 2}]
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(values), tmp_path / "a.parquet")
    assert read(tmp_path / "a.parquet") == [Row(1, values[0]), Row(2, values[1])]


def test_values_that_python_cannot_hold_become_text_or_bytes(tmp_path: Path) -> None:
    damaged = pyarrow.Array.from_buffers(
        pyarrow.string(),
        1,
        [None, pyarrow.py_buffer(b"\0\0\0\0\x01\0\0\0"), pyarrow.py_buffer(b"\xff")],
    )
    table = pyarrow.table({"when": pyarrow.array([1], pyarrow.timestamp("ns")), "text": damaged})
    pyarrow.parquet.write_table(table, tmp_path / "a.parquet")
    assert read(tmp_path / "a.parquet") == [
        Row(1, {"when": "1970-01-01 00:00:00.000000001", "text": b"\xff"})
    ]


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (pyarrow.timestamp("ns"), datetime(1970, 1, 1, 0, 0, 0, 7)),
        (pyarrow.timestamp("ns", "UTC"), datetime(1970, 1, 1, 0, 0, 0, 7, UTC)),
        (pyarrow.duration("ns"), timedelta(microseconds=7)),
        (pyarrow.time64("ns"), time(0, 0, 0, 7)),
    ],
    ids=str,
)
def test_times_are_of_pythons_types_with_and_without_pandas(
    kind: Any, value: object, tmp_path: Path
) -> None:
    table = pyarrow.table({"when": pyarrow.array([7000], kind)})
    pyarrow.parquet.write_table(table, tmp_path / "a.parquet")
    (row,) = read(tmp_path / "a.parquet")
    assert isinstance(row, Row)
    assert row.values["when"] == value
    assert type(row.values["when"]) is type(value)


def test_a_file_that_is_no_parquet_is_refused(write: Write) -> None:
    with pytest.raises(TableError, match=r"a\.parquet isn't a valid Parquet file"):
        read(write("a.parquet", b"text\nhello\n"))


def test_a_damaged_parquet_file_is_refused_with_the_row(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    texts = pyarrow.table({"text": [f"text {number}" for number in range(5000)]})
    pyarrow.parquet.write_table(texts, path, row_group_size=1000, use_dictionary=False)
    content = bytearray(path.read_bytes())
    content[len(content) // 2 : len(content) // 2 + 4000] = bytes(4000)
    path.write_bytes(content)
    with pytest.raises(TableError, match=r"a\.parquet is damaged after row [1-4]000"):
        read(path)


# Any format


def test_the_ending_names_the_format() -> None:
    assert format_of("a.csv") == "csv"
    assert format_of(Path("b.c/a.JSONL")) == "jsonl"
    assert [format_of(f"a.tsv.{each}") for each in ("gz", "zst", "GZ")] == ["tsv"] * 3
    assert format_of("a.txt") == "csv"
    for name in ("a.xlsx", "a", "a.gz", "csv"):
        with pytest.raises(TableError, match=r"a table's name must end in \.csv, \.tsv,"):
            format_of(name)


@pytest.mark.parametrize(
    ("header", "wanted", "found"),
    [
        ("text,intent", "text", "text"),
        (" Text ,intent", "text", " Text "),
        ("Text,text,intent", "text", "text"),
        ("v1,v2,,,", "v2", "v2"),
        ("a,a,text", "text", "text"),
        (",,text", "column 2", "column 2"),
        ("a,,a,a (3)", "a (3)", "a (3)"),
    ],
)
def test_a_column_is_found_by_its_name(write: Write, header: str, wanted: str, found: str) -> None:
    with open_table(write("a.csv", header.encode()), "csv") as table:
        assert tables.find_column(table, wanted, "--option") == found
        assert len(set(table.columns)) == header.count(",") + 1
        assert table.dialect
        assert list(table.dialect.header) == header.split(",")


@pytest.mark.parametrize(
    ("header", "sentence"),
    [
        ("a, b", "a.csv has no column 'text', only 'a', ' b': name the right one by --option"),
        ("Text, text", "has no column 'text', only 'Text', ' text'"),
        ("text,text", "two columns are named 'text': rename one of them"),
        ("text|intent", "the only column is 'text|intent': use commas, semicolons or tabs"),
        (",".join(f"c{place}" for place in range(1000)), "'c18', 'c19' and 980 more: name"),
        ("x" * 100_000, f"only '{'x' * 80}…': name the right one"),
    ],
)
def test_a_missing_column_is_refused_with_the_columns_of_the_table(
    write: Write, header: str, sentence: str
) -> None:
    with (
        open_table(write("a.csv", header.encode()), "csv") as table,
        pytest.raises(TableError) as refused,
    ):
        tables.find_column(table, "text", "--option")
    assert sentence in str(refused.value)
    assert len(str(refused.value)) < 500


def test_an_unknown_format_is_refused(write: Write) -> None:
    with (
        pytest.raises(TableError, match="'xml' is no format: name csv"),
        open_table(write("a.csv", b"text\n"), "xml"),  # type: ignore[arg-type]
    ):
        pass


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(TableError, match=r"none\.csv can't be read: No such file"):
        read(tmp_path / "none.csv")


def test_without_pyarrow_only_parquet_is_refused(write: Write) -> None:
    script = (
        "import sys; sys.modules['pyarrow'] = None\n"
        "from pathlib import Path; from neuralbits import tables\n"
        "with tables.open_table(Path(sys.argv[1]), 'csv') as table: print(len(list(table)))\n"
        "with tables.open_table(Path(sys.argv[1]), 'parquet'): pass\n"
    )
    path = write("a.csv", b"text\nhello\n")
    run = subprocess.run(
        [sys.executable, "-c", script, str(path)], capture_output=True, text=True, check=False
    )
    assert run.stdout == "1\n"
    assert "pip install 'neuralbits[parquet]'" in run.stderr


LINES = st.sampled_from(
    [
        b"a,b",
        b"",
        b'"',
        b'"x',
        b'y"',
        b'"a","b"',
        b'c,"d',
        b"\xff,e",
        b"f\0,g",
        b"h",
        b"\r",
        b"i,j\r",
    ]
)


@given(lines=st.lists(LINES), chunk=st.integers(1, 5))
def test_reading_any_csv_loses_no_byte_and_resumes_from_every_position(
    tmp_path_factory: pytest.TempPathFactory, lines: list[bytes], chunk: int
) -> None:
    path = tmp_path_factory.getbasetemp() / "any.csv"
    path.write_bytes(b"\n".join([b"text,n", *lines]))
    with open_table(path, "csv") as table:
        chunks = list(table.chunks(chunk))
    records = [record for records, _ in chunks for record in as_list(records)]
    assert records == read(path)
    assert [record.line for record in records] == sorted({record.line for record in records})
    if chunks:
        assert chunks[-1][1].offset == path.stat().st_size
    for done, (_, position) in enumerate(chunks, 1):
        with open_table(path, "csv") as table:
            assert table.skip_to(position)
            assert [records for records, _ in table.chunks(chunk)] == [c for c, _ in chunks[done:]]


@given(content=st.binary(max_size=200))
@pytest.mark.parametrize("name", ["any.csv", "any.tsv", "any.jsonl", "any.parquet"])
def test_any_bytes_are_read_or_refused_without_a_crash(
    tmp_path_factory: pytest.TempPathFactory, name: str, content: bytes
) -> None:
    path = tmp_path_factory.getbasetemp() / name
    path.write_bytes(content)
    try:
        records = read(path)
    except TableError:
        return
    assert all(isinstance(record, Row | Unreadable) for record in records)


def test_reading_parquet_resumes_from_a_position_in_the_same_batches(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    numbers = pyarrow.table({"n": range(100)})
    pyarrow.parquet.write_table(numbers, path, row_group_size=30)
    with open_table(path, "parquet") as table:
        chunks = [(as_list(batch), position) for batch, position in table.chunks(20)]
    assert [len(rows) for rows, _ in chunks] == [20, 10, 20, 10, 20, 10, 10]
    for done, (_, position) in enumerate(chunks, 1):
        with open_table(path, "parquet") as table:
            assert table.skip_to(position)
            rest = [as_list(batch) for batch, _ in table.chunks(20)]
        assert rest == [rows for rows, _ in chunks[done:]]
    pyarrow.parquet.write_table(numbers.slice(0, 99), path, row_group_size=30)
    with open_table(path, "parquet") as table:
        assert not table.skip_to(chunks[0][1])


def test_reading_a_pipe_resumes_from_a_position_if_it_begins_as_before() -> None:
    content = b'text\none\n"two\nlines"\n\nthree\nfour\n'
    with open_pipe(content) as table:
        records, position = next(table.chunks(2))
    with open_pipe(content) as table:
        assert table.skip_to(position)
        assert as_list(records) + list(table) == list(read_pipe(content))
    for other in (content.replace(b"one", b"two"), content[:8]):
        with open_pipe(other) as table:
            assert not table.skip_to(position)


def test_parquet_is_read_from_a_pipe_too(tmp_path: Path) -> None:
    pyarrow.parquet.write_table(pyarrow.table({"text": ["a"]}), tmp_path / "a.parquet")
    assert read_pipe((tmp_path / "a.parquet").read_bytes(), "parquet") == [Row(1, {"text": "a"})]


def as_list(chunk: tables.Chunk) -> list[Row | Unreadable]:
    return list(chunk.rows() if isinstance(chunk, tables.Batch) else chunk)


@contextmanager
def open_pipe(content: bytes, format: tables.Format = "csv") -> Iterator[tables.Table]:
    readable, writable = os.pipe()
    with os.fdopen(writable, "wb") as pipe:
        pipe.write(content)  # all of it fits into the pipe's buffer
    with os.fdopen(readable, "rb") as source, open_table(source, format) as table:
        yield table


def read_pipe(content: bytes, format: tables.Format = "csv") -> list[Row | Unreadable]:
    with open_pipe(content, format) as table:
        return list(table)


PEAK = """
import sys
from pathlib import Path
from neuralbits.tables import format_of, open_table
path = Path(sys.argv[1])
with open_table(path, format_of(path)) as table:
    count = sum(1 for record in table)
status = Path("/proc/self/status").read_text().split()
print(count, int(status[status.index("VmHWM:") + 1]) // 1024)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads the peak from /proc")
@pytest.mark.parametrize(
    ("name", "head", "repeated", "records"),
    [
        ("quote.csv", b'text\n"never closed\n', b"x" * 4095 + b"\n", 16_385),
        ("line.jsonl", b'{"text": "a"}\n{"text": "', b"x" * 4096, 2),
        ("rows.jsonl", b"", b'{"text": "' + b"x" * 4083 + b'"}\n', 16_384),
    ],
)
def test_reading_takes_little_memory_for_any_file(
    tmp_path: Path, name: str, head: bytes, repeated: bytes, records: int
) -> None:
    with (tmp_path / name).open("wb") as file:
        file.write(head)
        for _ in range(16_384):
            file.write(repeated)
    run = subprocess.run(
        [sys.executable, "-c", PEAK, str(tmp_path / name)],
        capture_output=True,
        text=True,
        check=True,
    )
    count, mebibytes = map(int, run.stdout.split())
    assert count == records
    assert mebibytes < 60  # of which Python and NumPy take 30; the file has 64
