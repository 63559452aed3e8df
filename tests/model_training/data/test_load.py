import hashlib
import json
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from neuralbits.model_training.data import (
    DataError,
    DataFile,
    DataOptions,
    Examples,
    Finding,
    from_files,
    from_name,
    home_assistant,
    load_file,
    splits,
)
from neuralbits.text import tokens

HOME = [
    ("turn on the lamp", "on"),
    ("lamp on please", "on"),
    ("switch on the fan", "on"),
    ("turn off the lamp", "off"),
    ("lamp off please", "off"),
    ("switch off the fan", "off"),
]


def write_csv(path: Path, rows: list[tuple[str, str]]) -> Path:
    lines = [f'"{text}",{intent}' for text, intent in rows]
    path.write_text("\n".join(["text,intent", *lines]) + "\n", encoding="utf-8")
    return path


def finding(findings: tuple[Finding, ...], what: str) -> Finding:
    return next(finding for finding in findings if finding.what.startswith(what))


class TestReadingAFile:
    @pytest.mark.parametrize("ending", ["csv", "tsv", "jsonl", "parquet"])
    def test_all_formats_give_the_same_examples(self, ending: str, tmp_path: Path) -> None:
        path = tmp_path / f"home.{ending}"
        texts, intents = zip(*HOME, strict=True)
        if ending == "parquet":
            table = pyarrow.table({"utterance": texts, "label": intents, "other": range(6)})
            pyarrow.parquet.write_table(table, path)
        elif ending == "jsonl":
            objects = [{"utterance": text, "label": intent} for text, intent in HOME]
            path.write_text("".join(json.dumps(item) + "\n" for item in objects))
        else:
            mark = "," if ending == "csv" else "\t"
            rows = [("utterance", "label"), *HOME]
            path.write_text("".join(f"{mark.join(row)}\n" for row in rows))
        file = load_file(path, "utterance", "label")
        assert file.examples.texts == texts
        assert file.examples.intents == intents
        first = {"csv": 2, "tsv": 2}.get(ending, 1)
        assert file.examples.lines == tuple(range(first, first + 6))
        assert len(file.sha256) == 64
        assert not file.findings

    def test_a_missing_column_is_refused_with_the_columns_of_the_table(
        self, tmp_path: Path
    ) -> None:
        path = write_csv(tmp_path / "home.csv", HOME)
        with pytest.raises(
            DataError, match=r"no column 'label', only 'text', 'intent'.*--label-column"
        ):
            load_file(path, "text", "label")
        with pytest.raises(DataError, match=r"no column 'utterance'.*--text-column"):
            load_file(path, "utterance", "intent")

    @pytest.mark.parametrize(
        "content",
        ["text, Intent\nturn on,on\n", "text;intent\nturn on;on\n", "sep=|\ntext|intent\na|on"],
    )
    def test_columns_are_found_whatever_the_delimiter_and_the_case(
        self, content: str, tmp_path: Path
    ) -> None:
        path = tmp_path / "home.csv"
        path.write_text(content)
        assert load_file(path).examples.intents == ("on",)

    @pytest.mark.parametrize(
        "content",
        [b"text;intent\nturn on;on\n", b'{"text": "turn on", "intent": "on"}\n', b"parquet"],
    )
    def test_a_dash_is_standard_input_of_any_format(self, content: bytes) -> None:
        if content == b"parquet":
            sink = pyarrow.BufferOutputStream()
            table = pyarrow.table({"text": ["turn on"], "intent": ["on"]})
            pyarrow.parquet.write_table(table, sink)
            content = sink.getvalue().to_pybytes()
        script = (
            "from pathlib import Path; from neuralbits.model_training.data import load_file;"
            "file = load_file(Path('-')); print(file.examples.intents, file.sha256)"
        )
        done = subprocess.run([sys.executable, "-c", script], input=content, capture_output=True)
        assert done.stdout.decode() == f"('on',) {hashlib.sha256(content).hexdigest()}\n"

    def test_columns_without_a_name_do_no_harm(self, tmp_path: Path) -> None:
        path = tmp_path / "messages.csv"
        path.write_text("v1,v2,,,\nham,Fine by me...,,,\nspam,Free tickets,,,\n")
        file = load_file(path, "v2", "v1")
        assert file.examples.intents == ("ham", "spam")
        assert file.examples.texts == ("Fine by me...", "Free tickets")

    def test_records_over_several_lines_are_reported(self, tmp_path: Path) -> None:
        path = tmp_path / "home.csv"
        path.write_text('text,intent\n"turn\non",on\nturn off,off\n"so\n\nlong",bye\n')
        found = finding(load_file(path).findings, "records over several lines")
        assert (found.lines, found.first) == ((2, 5), "lines 2 to 3")

    def test_a_stray_quotation_mark_is_refused_with_its_lines(self, tmp_path: Path) -> None:
        path = tmp_path / "home.csv"
        path.write_text('text,intent\n"play jazz,music\nstop it,stop\nsay ",talk\nhalt,stop\n')
        with pytest.raises(DataError, match="line 2: a quotation mark opens on line 2 and closes"):
            load_file(path)

    @pytest.mark.parametrize("ending", ["jsonl", "parquet"])
    def test_whole_numbers_that_became_floats_are_whole_numbers(
        self, ending: str, tmp_path: Path
    ) -> None:
        rows: list[dict[str, Any]] = [
            {"text": f"text {n}", "intent": float(n)} for n in range(20)
        ] + [{"text": "no label", "intent": None}]
        path = tmp_path / f"home.{ending}"
        if ending == "parquet":
            pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), path)
        else:
            path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        file = load_file(path)
        assert file.examples.intents == tuple(str(n) for n in range(20))
        assert finding(file.findings, "rows without intent").lines == (21,)

    @pytest.mark.parametrize("character", ["\0", "\x1b", "\x85", "\u2028", "\u202e"])
    def test_an_intent_with_a_control_character_is_refused(
        self, character: str, tmp_path: Path
    ) -> None:
        path = tmp_path / "home.jsonl"
        rows = [{"text": "turn on", "intent": "on"}, {"text": "off", "intent": f"o{character}ff"}]
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        with pytest.raises(DataError) as refused:
            load_file(path)
        assert f"on line 2 holds a control character, U+{ord(character):04X}: remove it" in str(
            refused.value
        )
        assert character not in str(refused.value)

    def test_an_error_is_short_whatever_a_file_holds(self, tmp_path: Path) -> None:
        path = tmp_path / "home.jsonl"
        long = "x" * 500_000
        path.write_text(json.dumps({long: 1, "text": "a", "intent": 1.5}) + "\n")
        for options in ({}, {"text_column": long}, {"label_column": "none"}):
            with pytest.raises(DataError) as refused:
                load_file(path, **options)
            assert len(str(refused.value)) < 500

    def test_rows_that_cant_be_used_are_left_out_and_reported_by_line(self, tmp_path: Path) -> None:
        path = tmp_path / "home.csv"
        rows = [f"text {n},on".encode() for n in range(50)]
        rows[3] = b"caf\xe9,on"
        rows[5] = b" ,on"
        rows[8] = b""
        rows[9] = b"turn on,"
        rows[11] = b"turn on,on,now"
        path.write_bytes(b"text,intent\n" + b"\n".join(rows))
        file = load_file(path)
        assert len(file.examples) == 45
        assert finding(file.findings, "unreadable rows").lines == (5, 13)
        assert "UTF-8" in finding(file.findings, "unreadable rows").first
        assert finding(file.findings, "rows without text").lines == (7,)
        assert finding(file.findings, "blank lines").lines == (10,)
        assert finding(file.findings, "rows without intent").lines == (11,)
        assert str(finding(file.findings, "unreadable rows")).startswith(
            f"{path}: unreadable rows: 2 (lines 5, 13), first: byte 4"
        )

    def test_a_file_with_too_many_unusable_rows_stops_the_job(self, tmp_path: Path) -> None:
        path = write_csv(tmp_path / "home.csv", [*HOME, ("", "on")])
        with pytest.raises(DataError, match=r"1 of 7 rows can't be used \(line 8: no text\)"):
            load_file(path)

    @pytest.mark.parametrize("content", ["", "text,intent\n", "text,intent\n\n\n"])
    def test_an_empty_file_stops_the_job(self, content: str, tmp_path: Path) -> None:
        path = tmp_path / "home.csv"
        path.write_text(content)
        with pytest.raises(DataError, match=r"home\.csv (is empty|holds no examples)"):
            load_file(path)

    @pytest.mark.parametrize("name", ["home.xlsx", "missing.csv"])
    def test_a_file_that_cant_be_read_is_a_data_error(self, name: str, tmp_path: Path) -> None:
        with pytest.raises(DataError, match=name):
            load_file(tmp_path / name)

    def test_numbers_may_be_intents_but_not_texts(self, tmp_path: Path) -> None:
        path = tmp_path / "home.jsonl"
        rows: list[dict[str, object]] = [{"text": f"text {n}", "intent": n % 2} for n in range(20)]
        rows[4] = {"text": 12, "intent": 1}
        rows[6] = {"text": "text 6", "intent": [1]}
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        file = load_file(path)
        assert set(file.examples.intents) == {"0", "1"}
        unreadable = finding(file.findings, "unreadable rows")
        assert (unreadable.lines, unreadable.first) == (
            (5, 7),
            "the text is of type int: write it as a string",
        )

    @pytest.mark.parametrize("value", [0, False, [], {}, 1.5, True])
    def test_what_is_no_string_is_no_text_however_empty_it_is(
        self, value: object, tmp_path: Path
    ) -> None:
        path = tmp_path / "home.jsonl"
        rows = [{"text": f"text {n}", "intent": "on"} for n in range(20)]
        path.write_text("".join(json.dumps(row) + "\n" for row in [*rows, {"text": value}]))
        [unreadable] = load_file(path).findings
        assert unreadable.what == "unreadable rows"
        assert (
            unreadable.first == f"the text is of type {type(value).__name__}: write it as a string"
        )

    @pytest.mark.parametrize(
        ("value", "reason"),
        [
            (True, 'the boolean true: write it as a string, "true"'),
            (False, 'the boolean false: write it as a string, "false"'),
            (1.5, 'the number 1.5: write it as a string, "1.5"'),
            ({}, "of type dict: write it as a string"),
        ],
    )
    def test_what_is_no_name_is_no_intent(self, value: object, reason: str, tmp_path: Path) -> None:
        path = tmp_path / "home.jsonl"
        rows: list[dict[str, object]] = [{"text": f"text {n}", "intent": "on"} for n in range(20)]
        rows[4]["intent"] = value
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        file = load_file(path)
        assert set(file.examples.intents) == {"on"}
        assert str(*file.findings) == (
            f"{path}: unreadable rows: 1 (line 5), first: the intent is {reason}"
        )


class TestChecking:
    def test_names_that_differ_little_are_reported_with_their_lines(self, tmp_path: Path) -> None:
        intents = ["Turn On", "turn on", "turn_on", "Turn  On", "caf\u00e9", "cafe\u0301", "off"]
        rows = [(f"text {n} {k}", each) for k in range(3) for n, each in enumerate(intents)]
        found = from_files(write_csv(tmp_path / "home.csv", rows)).report.findings
        alike = finding(
            found, "intents whose names differ only by case, blanks, _, - or Unicode form"
        )
        assert alike.lines == (2, 3, 4, 5, 6, 7)
        assert alike.first == (
            "'Turn On' on line 2, 'turn on' on line 3, 'turn_on' on line 4, 'Turn  On' on line 5"
        )

    def test_names_that_probably_mean_out_of_scope_are_reported(self, tmp_path: Path) -> None:
        rows = [*HOME, ("what is love", "OOS"), ("sing", "out_of_scope"), ("dance", "oos")]
        found = from_files(write_csv(tmp_path / "home.csv", rows)).report.findings
        what = "intents that probably mean out-of-scope texts, which are labelled 'oos'"
        assert finding(found, what).first == "'OOS' on line 8"
        assert finding(found, what).lines == (8, 9)

    def test_names_that_a_spreadsheet_runs_are_reported(self, tmp_path: Path) -> None:
        rows = [*HOME, ("click", '=HYPERLINK("http://example.com")'), ("cold", "-5")]
        found = from_files(write_csv(tmp_path / "home.csv", rows)).report.findings
        what = "intents that a spreadsheet runs as formulas, unless scored with --safe-csv"
        assert finding(found, what).lines == (8,)

    def test_repeated_texts_are_reported_with_their_lines(self, tmp_path: Path) -> None:
        rows = [*HOME, ("Turn on the LAMP!", "on"), ("switch off the fan", "on")]
        data = from_files(write_csv(tmp_path / "home.csv", rows))
        duplicate = finding(data.report.findings, "duplicates")
        assert duplicate.lines == (8,)
        assert duplicate.first == "'Turn on the LAMP!' also stands on line 2"
        contradiction = finding(data.report.findings, "contradictory labels")
        assert contradiction.lines == (9,)
        assert contradiction.first == "'switch off the fan' is on here and off on line 7"

    def test_texts_of_the_test_that_training_has_seen_are_reported(self, tmp_path: Path) -> None:
        train = write_csv(tmp_path / "train.csv", HOME)
        test = write_csv(tmp_path / "test.csv", [("kill the lights", "off"), HOME[1]])
        leak = finding(from_files(train, test=test).report.findings, "texts seen before")
        assert (leak.file, leak.lines) == (str(test), (3,))
        assert leak.first == f"'lamp on please' is line 3 of {train}"

    def test_rows_of_an_intent_that_training_lacks_are_left_out_and_reported(
        self, tmp_path: Path
    ) -> None:
        train = write_csv(tmp_path / "train.csv", HOME)
        held_out = write_csv(tmp_path / "test.csv", [*HOME, ("play some jazz", "play")])
        data = from_files(train, held_out, held_out)
        assert data.unseen == {"validation": 1, "test": 1}
        for split in (data.validation, data.test):
            assert split is not None
            assert set(split.intents) == {"on", "off"}
        lacking = [each for each in data.report.findings if "lacks" in each.what]
        assert [(each.file, each.lines, each.first) for each in lacking] == [
            (str(held_out), (8,), "'play'")
        ] * 2

    def test_one_intent_stops_the_job(self, tmp_path: Path) -> None:
        path = write_csv(tmp_path / "home.csv", HOME[:3])
        with pytest.raises(DataError, match="has 1 intent, and a classifier needs at least 2"):
            from_files(path)

    def test_an_intent_with_one_example_is_trained_on_and_reported(self, tmp_path: Path) -> None:
        path = write_csv(tmp_path / "home.csv", [("play some jazz", "play"), *HOME])
        data = from_files(path)
        assert data.labels == ("off", "on", "play")
        assert "play" in data.train.intents
        assert finding(data.report.findings, "intents with a single example").lines == (2,)
        unmeasured = finding(data.report.findings, "intents without an example for validation")
        assert (unmeasured.count, unmeasured.first) == (1, "play")

    def test_intents_too_rare_for_a_promise_are_reported(self, tmp_path: Path) -> None:
        rows = [(f"{intent} number {n}", intent) for intent in "abc" for n in range(30)]
        train = write_csv(tmp_path / "train.csv", [*rows, *((f"rare {n}", "d") for n in range(5))])
        rare = finding(
            from_files(train).report.findings,
            "intents with fewer than 20 examples, which may be rejected too often",
        )
        assert (rare.count, rare.first) == (1, "d, 5 examples")

    def test_single_examples_alone_leave_nothing_to_validate_on(self, tmp_path: Path) -> None:
        path = write_csv(tmp_path / "home.csv", [HOME[0], HOME[3], ("Turn off the lamp", "off")])
        with pytest.raises(DataError, match=r"a single text for each intent.*--validation"):
            from_files(path)

    def test_the_report_is_short_as_text_and_has_every_line(self, tmp_path: Path) -> None:
        rows = [*HOME, *[HOME[0]] * 30]
        report = from_files(write_csv(tmp_path / "home.csv", rows)).report
        assert str(report).splitlines()[0].startswith("home.csv: 2 intents; examples: ")
        assert "duplicates: 30 (lines 8, 9, 10, 11, 12 and 25 more)" in str(report)
        assert report.findings[0].lines == tuple(range(8, 38))


class TestOutOfScope:
    def test_rows_labelled_oos_are_held_apart(self, tmp_path: Path) -> None:
        train = write_csv(tmp_path / "train.csv", [*HOME, ("who won the match", "oos")])
        test = write_csv(tmp_path / "test.csv", [*HOME, ("how old are you", "oos")])
        data = from_files(train, test=test)
        assert data.labels == ("off", "on")
        assert data.out_of_scope_train.texts == ("who won the match",)
        assert data.out_of_scope_train.lines == (8,)
        assert data.out_of_scope_test.texts == ("how old are you",)
        assert "oos" not in data.train.intents + data.validation.intents

    def test_a_file_of_them_needs_no_labels(self, tmp_path: Path) -> None:
        outside = tmp_path / "outside.csv"
        outside.write_text("text\nwho won the match\n")
        data = from_files(write_csv(tmp_path / "train.csv", HOME), out_of_scope=[outside])
        assert data.out_of_scope_train.texts == ("who won the match",)
        assert data.report.examples["out-of-scope train"] == 1
        assert set(data.provenance["out_of_scope"]) == {"outside.csv"}

    def test_files_of_them_go_with_a_named_data_set_too(
        self, data_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("NEURALBITS_DATA", str(data_folder))
        files = []
        for name in ("one", "two"):
            files.append(tmp_path / f"{name}.csv")
            files[-1].write_text(f"text\nsaid number {name}\n")
        options = DataOptions(
            dataset="snips", out_of_scope=tuple(files), unlabelled=(files[0],), label_column="no"
        )
        data = options.load()
        outside = data.out_of_scope_train + data.out_of_scope_validation
        assert {"said number one", "said number two"} <= set(outside.texts)
        assert data.unlabelled == ("said number one",)
        assert set(data.provenance["out_of_scope"]) == {"one.csv", "two.csv"}
        assert options.words[:4] == ["--out-of-scope", "one.csv", "--out-of-scope", "two.csv"]

    def test_several_files_of_them_keep_their_names_as_kinds(self, tmp_path: Path) -> None:
        for name in ("sports", "songs", "jokes"):
            (tmp_path / f"{name}.csv").write_text(f"text\ntell me about {name}\n")
        sports, songs, jokes = (tmp_path / f"{n}.csv" for n in ("sports", "songs", "jokes"))
        train = write_csv(tmp_path / "train.csv", HOME)
        data = from_files(train, out_of_scope=[sports, songs], out_of_scope_test=[jokes])
        assert data.out_of_scope_train.intents == ("sports", "songs")
        assert data.out_of_scope_test.intents == ("jokes",)
        with pytest.raises(DataError, match="two out-of-scope files are named sports"):
            from_files(train, out_of_scope=[sports, sports])

    def test_the_home_data_takes_such_files_beside_its_own(self, tmp_path: Path) -> None:
        outside = tmp_path / "outside.csv"
        outside.write_text("text\nwho won the match of the century\n")
        data = from_name("home-assistant", "nl", out_of_scope=[outside])
        assert {"near", "far", "ambiguous", "conversations", "outside"} == set(
            data.out_of_scope_train.intents
        )
        assert set(data.provenance["out_of_scope"]) == {"outside.csv"}

    def test_a_tenth_of_them_is_set_aside_unless_validation_has_its_own(
        self, tmp_path: Path
    ) -> None:
        outside = [(f"who won match {n // 2}", "oos") for n in range(40)]
        train = write_csv(tmp_path / "train.csv", [*HOME, *outside])
        data = from_files(train)
        assert len(data.out_of_scope_train) == 36
        assert len(data.out_of_scope_validation) == 4
        trained, validated = data.out_of_scope_train.texts, data.out_of_scope_validation.texts
        assert not set(trained) & set(validated)
        validation = write_csv(tmp_path / "validation.csv", [*HOME, ("how old are you", "oos")])
        data = from_files(train, validation)
        assert len(data.out_of_scope_train) == 40
        assert data.out_of_scope_validation.texts == ("how old are you",)

    def test_a_test_file_of_them_alone_stops_the_job(self, tmp_path: Path) -> None:
        outside = write_csv(tmp_path / "test.csv", [("who won the match", "oos")])
        with pytest.raises(
            DataError, match=r"test\.csv has no example of an intent that .*train.csv has"
        ):
            from_files(write_csv(tmp_path / "train.csv", HOME), test=outside)

    def test_a_validation_file_of_them_alone_leaves_the_intents_to_be_carved_out(
        self, tmp_path: Path
    ) -> None:
        outside = write_csv(tmp_path / "validation.csv", [("who won the match", "oos")])
        data = from_files(write_csv(tmp_path / "train.csv", HOME), outside)
        assert set(data.validation.intents) == {"on", "off"}
        assert len(data.train) + len(data.validation) == len(HOME)
        assert len(data.out_of_scope_validation) == 1


class TestUnlabelledTexts:
    def test_they_need_no_labels_and_make_no_intents(self, tmp_path: Path) -> None:
        file = tmp_path / "log.csv"
        file.write_text("text\nput it on\nwarmer please\n")
        data = from_files(write_csv(tmp_path / "train.csv", HOME), unlabelled=[file])
        assert data.unlabelled == ("put it on", "warmer please")
        assert data.labels == ("off", "on")
        assert data.report.examples["unlabelled"] == 2
        assert set(data.provenance["unlabelled"]) == {"log.csv"}

    def test_labels_that_they_have_are_not_looked_at(self, tmp_path: Path) -> None:
        file = write_csv(tmp_path / "log.csv", [("put it on", "another intent"), ("x y", "")])
        data = from_files(write_csv(tmp_path / "train.csv", HOME), unlabelled=[file])
        assert data.unlabelled == ("put it on", "x y")
        assert len(data.out_of_scope_train) == len(data.out_of_scope_validation) == 0

    def test_one_that_is_tested_on_is_reported(self, tmp_path: Path) -> None:
        file = tmp_path / "log.csv"
        file.write_text("text\nMake it dark\n")
        test = write_csv(tmp_path / "test.csv", [("make it dark", "off")])
        train = write_csv(tmp_path / "train.csv", HOME)
        leak = finding(
            from_files(train, test=test, unlabelled=[file]).report.findings, "texts seen before"
        )
        assert leak.file == str(test)
        assert "line 2 of" in leak.first
        assert "log.csv" in leak.first


class TestTransferTexts:
    def test_they_are_kept_apart_from_unlabelled_ones(self, tmp_path: Path) -> None:
        log, other = (write_csv(tmp_path / f"{n}.csv", [(f"said in {n}", "x")]) for n in "ab")
        train = write_csv(tmp_path / "train.csv", HOME)
        data = from_files(train, unlabelled=[log], transfer=[other])
        assert (data.unlabelled, data.transfer) == (("said in a",), ("said in b",))
        assert data.report.examples["transfer"] == 1
        assert set(data.provenance["transfer"]) == {"b.csv"}

    @pytest.mark.parametrize("option", ["unlabelled", "transfer"])
    def test_those_that_are_measured_with_are_reported_by_line(
        self, option: str, tmp_path: Path
    ) -> None:
        file = tmp_path / "other.csv"
        file.write_text("text\nan innocent text\nMake it DARK\nwho won\nturn it on\n")
        test = write_csv(tmp_path / "test.csv", [("make it dark", "off"), ("who won", "oos")])
        train = write_csv(tmp_path / "train.csv", [*HOME, ("turn it on", "on")])
        data = from_files(train, test=test, **{option: [file]})
        found = finding(data.report.findings, "texts that validation or test has")
        assert (found.file, found.lines) == (str(file), (3, 4))
        assert found.first == f"'Make it DARK' is line 2 of {test}"


class TestCarvingOutValidation:
    def test_every_intent_is_validated_in_proportion(self, tmp_path: Path) -> None:
        rows = [(f"turn on lamp {n}", "on") for n in range(150)]
        rows += [(f"turn off lamp {n}", "off") for n in range(50)]
        data = from_files(write_csv(tmp_path / "home.csv", rows))
        assert Counter(data.validation.intents) == {"on": 15, "off": 5}
        assert Counter(data.train.intents) == {"on": 135, "off": 45}

    def test_a_seed_gives_one_split_and_another_seed_another(self, tmp_path: Path) -> None:
        rows = [(f"turn {way} lamp {n}", way) for n in range(30) for way in ("on", "off")]
        path = write_csv(tmp_path / "home.csv", rows)
        first, again, other = (from_files(path, seed=seed) for seed in (1, 1, 2))
        assert first.validation == again.validation
        assert first.validation != other.validation

    @settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    @given(
        rows=st.lists(
            st.tuples(
                st.sampled_from(["a", "A", "b", "b!", "c", "d", "e f", "E  F", "g"]),
                st.sampled_from(["x", "y", "z"]),
            ),
            min_size=1,
            max_size=40,
        ),
        seed=st.integers(0, 2**32 - 1),
    )
    def test_nothing_is_lost_and_equal_texts_stay_together(
        self, rows: list[tuple[str, str]], seed: int
    ) -> None:
        texts, intents = zip(*rows, strict=True)
        examples = Examples(texts, intents, tuple(range(len(rows))))
        try:
            train, validation = splits.carve(DataFile("home.csv", "", examples), seed)
        except DataError:
            distinct = {(tuple(tokens(text))) for text in texts}
            assert len(distinct) <= 3  # at most one text an intent
            return
        assert len(validation)
        # Of contradictory rows, as are refused before, the first says which intent a text has.
        of_text = {tuple(tokens(text)): intent for text, intent in reversed(rows)}
        assert set(train.intents) >= set(of_text.values())
        assert sorted(train.lines + validation.lines) == list(range(len(rows)))
        assert list(train.lines) == sorted(train.lines)
        held_out = {tuple(tokens(text)) for text in validation.texts}
        assert held_out.isdisjoint(tuple(tokens(text)) for text in train.texts)


def test_of_rare_intents_a_tenth_of_all_texts_is_carved_out_not_one_of_each() -> None:
    texts = tuple(f"text {chr(97 + i)} {chr(97 + j)}" for i in range(20) for j in range(6))
    examples = Examples(texts, tuple(text.split()[1] for text in texts), tuple(range(120)))
    train, validation = splits.carve(DataFile("home.csv", "", examples), seed=0)
    assert (len(train), len(validation)) == (108, 12)
    assert set(train.intents) == set(examples.intents)


class TestNamedDataSets:
    def test_home_assistant_comes_in_the_language_asked_for(self) -> None:
        data = from_name("home-assistant", language="gu", seed=3)
        assert data.name == "home-assistant-gu"
        assert data.provenance["licence"] == "Apache-2.0"
        assert data.provenance["seed"] == 3
        assert data.test is not None
        assert data.report.examples["train"] == len(data.train)

    def test_sentences_that_two_intents_claim_are_reported(self) -> None:
        report = from_name("home-assistant", language="lv").report
        claimed = finding(report.findings, "sentences left out, as several intents claim them")
        assert claimed.count > 0
        assert "HassCancelTimer and HassPauseTimer" in claimed.first

    def test_sentences_that_an_earlier_split_has_are_reported(self) -> None:
        report = from_name("home-assistant", language="bg").report
        repeated = finding(report.findings, "sentences left out of a split, as an earlier one")
        left_out = home_assistant.load("bg").repeated
        assert (repeated.count, repeated.first) == (len(left_out), repr(left_out[0]))

    def test_an_unknown_name_or_language_is_refused_with_those_there_are(self) -> None:
        with pytest.raises(DataError, match="home-assistant, clinc150, banking77, snips"):
            from_name("atis")
        with pytest.raises(DataError, match="'tlh'; choose one of af, ar"):
            from_name("home-assistant", language="tlh")

    def test_clinc150_has_its_out_of_scope_examples_apart(
        self, data_folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("NEURALBITS_DATA", str(data_folder))
        data = from_name("clinc150")
        assert data.test is not None
        assert (len(data.train), len(data.validation), len(data.test)) == (15000, 3000, 4500)
        assert len(data.labels) == 150
        assert len(data.out_of_scope_train) == 100
        assert len(data.out_of_scope_validation) == 100
        assert len(data.out_of_scope_test) == 1000
        assert str(data_folder) not in repr(data.report)

    def test_banking77_gets_a_validation_split_of_its_training_file(
        self, data_folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("NEURALBITS_DATA", str(data_folder))
        data = from_name("banking77")
        assert len(data.train) + len(data.validation) == 10003
        assert set(data.validation.intents) == set(data.labels)
        assert finding(data.report.findings, "contradictory labels").count == 1


def test_examples_are_told_by_the_places_of_their_labels(tmp_path: Path) -> None:
    file = tmp_path / "train.csv"
    file.write_text("text,intent\n" + "".join(f"{i} b,b\n{i} a,a\n" for i in range(20)))
    loaded = from_files(file)
    places = loaded.label_indices(loaded.train).tolist()
    assert tuple(loaded.labels[place] for place in places) == loaded.train.intents
    assert list(loaded.measured_splits) == ["validation"]
    assert list(from_files(file, test=file).measured_splits) == ["validation", "test"]
