"""The page and the command line read the same tables alike: docs/tables.md."""

import json
import random
import shutil
import subprocess
from base64 import b64encode
from pathlib import Path
from typing import Any

import pytest

from neuralbits.tables import Row, TableError, open_table
from tests.support.paths import ROOT

pytestmark = pytest.mark.skipif(not shutil.which("node"), reason="Node isn't installed")

READER = """
import { readFileSync } from "node:fs";
class Trouble extends Error {}
const count = (number) => String(number);
const many = (number, thing) => `${number} ${thing}${number === 1 ? "" : "s"}`;
%s
for (const { name, content } of JSON.parse(readFileSync(0))) {
  const bytes = Buffer.from(content, "base64");
  const file = { name, arrayBuffer: async () => Uint8Array.from(bytes).buffer };
  let told;
  try {
    const { columns, rows, aside, mark } = tableOf(name, await textOf(file));
    told = {
      columns, mark,
      rows: rows.map(({ line, cells }) => [line, cells]),
      aside: aside.map(({ line, problem }) => [line, problem]),
    };
  } catch (error) {
    if (!(error instanceof Trouble)) throw error;
    told = { error: error.message };
  }
  console.log(JSON.stringify(told));
}
"""


def read_by_the_page(folder: Path, tables: list[tuple[str, bytes]]) -> list[dict[str, Any]]:
    """Read tables with the code of the page."""
    page = (ROOT / "app" / "page.html").read_text(encoding="utf-8")
    _, _, code = page.partition("// ---- Tables -")
    code, found, _ = code.partition("  let table, scoring;\n")
    assert found
    script = folder / "read.mjs"
    script.write_text(READER % code.partition("\n")[2], encoding="utf-8")
    given = [{"name": name, "content": b64encode(content).decode()} for name, content in tables]
    done = subprocess.run(
        ["node", script], input=json.dumps(given), capture_output=True, text=True, check=True
    )
    return [json.loads(line) for line in done.stdout.splitlines()]


def read_here(folder: Path, name: str, content: bytes) -> dict[str, Any]:
    path = folder / name
    path.write_bytes(content)
    try:
        with open_table(path, "tsv" if name.endswith(".tsv") else "csv") as table:
            records = list(table)
            assert table.dialect
            return {
                "columns": list(table.columns),
                "mark": table.dialect.preamble,
                "rows": [
                    [each.line, list(each.values.values())]
                    for each in records
                    if isinstance(each, Row)
                ],
                "aside": [each.line for each in records if not isinstance(each, Row)],
            }
    except TableError as error:
        return {"error": str(error)}


TABLES: dict[str, bytes] = {
    "commas": b"text,n\nlights on,1\n",
    "semicolons, a mark, CRLF": b'\xef\xbb\xbftext;n\r\n"on; please";1\r\nlamp off;2\r\n',
    "tabs, no last line end": b"n\ttext\n1\tlights on\n2\tlamp, off",
    "a line sep=": b"sep=;\r\ntext;n\r\na;1\r\nb;2\r\n",
    "old line ends": b"text,n\rlights on,1\rlamp off,2\r",
    "line ends in cells": b'n,text\r\n1,"a\r\nb\nc"\r\n2,"\n"\r\n',
    "UTF-16": "text,n\ncafé,1\n".encode("utf-16"),
    "big-endian UTF-16": b"\xfe\xff" + "text,n\r\ncafé,1\r\n".encode("utf-16-be"),
    "UTF-16 without a mark": "text,n\n".encode("utf-16-le"),
    "UTF-32": "text,n\n".encode("utf-32"),
    "not UTF-8": b"text,n\nfine,1\nk\xfcche,2\n",
    "unnamed and repeated columns": b"a,text,,a,\n1,2,3,4,5\n",
    "ragged": b"text,n\na\nb,1,2\nc,3\n\nd,4\n",
    "a stray mark": b'text,label\n"play jazz,music\nstop it,stop\nsay ",talk\nhalt,stop\n',
    "a stray mark between tabs": b'text\tlabel\n"play\tmusic\nstop\tstop\nsay "\ttalk\nhalt\tx\n',
    "a stray mark where the writer quotes": b'text,label\n"use, it\n",card\n"a, b",x\n',
    "a mark that is never closed": b'text,n\na,1\n"b,2\nc,3\n',
    "text after a mark": b'text,n\n"a" b,1\nc,2\n',
    "text after a mark between tabs": b'text\tn\n"a" b\t1\nc\t2\n',
    "doubled marks": b'text,n\n"say ""hi""",1\n',
    "a bare return": b"text,n\na\rb,1\nc,2\n",
    "one column": b'text\n"a\nb"\nc\n',
    "an empty file": b"",
    "an image": b"\x89PNG\r\n\x1a\n",
    "a web page": b"<!DOCTYPE html><html>",
    "an Excel workbook": b"PK\x03\x04" + bytes(26) + b"xl/workbook.xml",
    "gzip": b"\x1f\x8b\x08\x00",
}


def scrambled(pick: random.Random) -> bytes:
    """Make a small table of pieces that mean something to a reader."""
    delimiter = pick.choice([",", ";", "\t"])
    end = pick.choice(["\n", "\r\n", "\r"])
    pieces = ["a", "b", '"', '""', " ", delimiter, delimiter, end, end, '"x' + delimiter + 'y"']
    body = "".join(pick.choice(pieces) for _ in range(pick.randrange(30)))
    return f"text{delimiter}n{end}{body}".encode()


@pytest.mark.parametrize("name", ["a.csv", "a.tsv"])
def test_the_page_reads_what_the_command_line_reads(name: str, tmp_path: Path) -> None:
    contents = {
        **TABLES,
        **{f"scrambled {seed}": scrambled(random.Random(seed)) for seed in range(400)},
    }
    told = read_by_the_page(tmp_path, [(name, content) for content in contents.values()])
    for (what, content), page in zip(contents.items(), told, strict=True):
        here = read_here(tmp_path, name, content)
        if "error" in page:
            # The page refuses a table without a single good row, too.
            assert "error" in here or not here["rows"], (what, content, page, here)
            continue
        assert "error" not in here, (what, content, page, here)
        page["aside"] = [line for line, _ in page["aside"]]
        if b"\n" not in content:  # the command line gives the line ends within quotes as \n
            page = json.loads(json.dumps(page).replace("\\r", "\\n"))
        for each in (page, here):
            each["mark"] = each["mark"].replace("\r\n", "\n")
        assert page == here, (what, content)
