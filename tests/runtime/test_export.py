"""Exports, run by a C compiler, in Node, and in a browser."""

import functools
import http.server
import json
import math
import os
import queue
import shutil
import subprocess
import sys
import threading
import zipfile
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

import neuralbits
from neuralbits import artifact, export
from neuralbits.c_source import identifier
from neuralbits.errors import ForeignFileError
from neuralbits.projection import Projection
from tests.kernel.test_kernel import make
from tests.support.builds import STRICT
from tests.support.commands import refusal, run
from tests.support.homes import UTTERANCES, make_artifact
from tests.support.paths import ROOT
from tests.support.requirements import (
    needs,
    needs_chromium,
    needs_compiler,
    needs_kernel,
    require,
)
from tests.support.waiting import LIMIT
from tools import make_kernel_wasm

SHIPPED = [ROOT / "artifacts" / f"{name}.safetensors" for name in ("home-assistant-en", "clinc150")]
TEXTS = [
    *(text for texts in UTTERANCES.values() for text in texts),
    *("", " ", "?", "…", "?!", "'", "\t", "\x7f\x01", '"\\"', "20%", "İstanbul STRASSE ﬁn"),
    *("💡", "turn off the 💡 👩‍👩‍👧", "켜 주세요", "चालू करो", "\u202eturn on", "\ufdfa", "e\u0301"),
    *("turn on the lamp " * 500, "x" * 20_000, "💡" * 5000),
]
ALL_INTENTS = 1000

needs_node = needs("node", package="nodejs")
needs_make = needs("make", package="make")


def written(model: artifact.Artifact, path: Path) -> Path:
    artifact.write(model, path)
    return path


def expected(path: Path, texts: Sequence[str], top_k: int) -> list[Any]:
    """Return the predictions of Python as JSON."""
    predictions = neuralbits.load(path).classify_batch(texts, top_k)
    return json.loads(json.dumps([asdict(each) for each in predictions]))  # type: ignore[no-any-return]


def assert_alike(answers: list[Any], wanted: list[Any], **tolerance: float) -> None:
    """Check that predictions are equal, up to the last digits of the confidences."""
    assert len(answers) == len(wanted)
    for one, other in zip(answers, wanted, strict=True):
        assert one.keys() == other.keys()
        assert one["intent"] == other["intent"]
        assert one["in_scope"] is other["in_scope"]
        assert [each["intent"] for each in one["intents"]] == [
            each["intent"] for each in other["intents"]
        ]
        for each, its in zip([one, *one["intents"]], [other, *other["intents"]], strict=True):
            assert math.isclose(each["confidence"], its["confidence"], **tolerance)


# ---- C -------------------------------------------------------------------------------------------


def compiled(folder: Path, compiler: str = "cc", optimised: str = "-O0") -> Path:
    """Compile an export by the command in main.c, with warnings as errors."""
    program = folder / "classify"
    sources = sorted(folder.glob("*.c"))
    subprocess.run([compiler, *STRICT, optimised, *sources, "-o", program], check=True)
    return program


@pytest.mark.parametrize(("path", "compiler"), [(SHIPPED[0], "cc"), (SHIPPED[1], "clang")])
def test_the_c_export_answers_as_python_does(path: Path, compiler: str, tmp_path: Path) -> None:
    require(compiler, package="gcc libc6-dev" if compiler == "cc" else "clang libc6-dev")
    export.export(path, "c", tmp_path / "c")
    program = compiled(tmp_path / "c", compiler, "-O2")
    ran = subprocess.run([program, *TEXTS], capture_output=True, text=True, check=True)
    lines = ran.stdout.splitlines()
    answers = [json.loads(line) for line in lines]
    assert [each.pop("text") for each in answers] == TEXTS
    assert_alike(answers, expected(path, TEXTS, top_k=3), abs_tol=1e-9)
    # The lines are those of `neuralbits classify --json`, down to how a number is written.
    assert lines == [json.dumps(json.loads(line), ensure_ascii=False) for line in lines]
    printed = run("classify", path, "turn of teh lamp", "--json")
    assert list(json.loads(printed)) == list(json.loads(lines[0]))

    complete = [text for text in TEXTS if "\n" not in text]
    ran = subprocess.run([program], input="\n".join(complete), capture_output=True, text=True)
    assert [json.loads(line)["text"] for line in ran.stdout.splitlines()] == complete


@needs_compiler
def test_intents_of_any_name_become_c_strings(tmp_path: Path) -> None:
    labels = ('say "no"', "what??/ now??'", "größe1", "한국어", "back\\slash", "%s7")
    path = written(replace(make_artifact(), labels=labels), tmp_path / "odd.safetensors")
    export.export(path, "c", tmp_path / "c")
    ran = subprocess.run(
        [compiled(tmp_path / "c"), *TEXTS], capture_output=True, text=True, check=True
    )
    answers = [json.loads(line)["intent"] for line in ran.stdout.splitlines()]
    assert answers == [each["intent"] for each in expected(path, TEXTS, top_k=1)]
    assert set(labels) == set(answers)


@needs_compiler
def test_the_header_has_the_size_of_the_scratch_buffer(tmp_path: Path) -> None:
    projections = [
        Projection(functions=1, dimensions=1, stride=1, code_bits=1),
        Projection(functions=16, dimensions=64, stride=4, removed=(0, 3, 4, 15)),
        Projection(functions=24, dimensions=33, stride=8),
        Projection(functions=32, dimensions=5, stride=8, code_bits=1, blocks=True, removed=(31,)),
    ]
    paths = [
        *SHIPPED,
        *(
            written(make(projection, layers=layers), tmp_path / f"{place}{layers}.safetensors")
            for place, projection in enumerate(projections)
            for layers in (1, 3)
        ),
    ]
    checks, folder = "", tmp_path / "c"
    for path in paths:
        export.export(path, "c", folder)
        name = identifier(path.stem)
        checks += f"""
            if (neuralbits_open(&model, {name}_model, sizeof {name}_model) ||
                neuralbits_scratch_size(&model, 255) != {name.upper()}_SCRATCH)
                return 1;
        """
    headers = "".join(f'#include "{header.name}"\n' for header in folder.glob("*.h"))
    headers = headers.replace('#include "unicode.h"\n', "")
    (folder / "main.c").write_text(
        f"{headers}int main(void) {{ neuralbits_model model; {checks} return 0; }}"
    )
    subprocess.run([compiled(folder)], check=True)


@pytest.mark.parametrize(
    ("stem", "name"),
    [
        *(("home-assistant-en", "home_assistant_en"), ("2 Größen", "m2_gr__en"), ("int", "int")),
        *(("neuralbits", "m_neuralbits"), ("한국어", "m___")),
    ],
)
def test_a_file_name_becomes_a_c_identifier(stem: str, name: str) -> None:
    assert identifier(stem) == name


@needs_compiler
@pytest.mark.parametrize("stem", ["neuralbits", "Neuralbits-model", "unicode", "main"])
def test_no_identifier_of_an_artifact_clashes_with_the_kernels(stem: str, tmp_path: Path) -> None:
    path = written(make_artifact(), tmp_path / f"{stem}.safetensors")
    export.export(path, "c", tmp_path / "c")
    ran = subprocess.run([compiled(tmp_path / "c"), *TEXTS[:3]], capture_output=True, check=True)
    answers = [json.loads(line)["intent"] for line in ran.stdout.splitlines()]
    assert answers == [each["intent"] for each in expected(path, TEXTS[:3], top_k=1)]


def test_a_second_artifact_with_the_same_name_in_c_is_refused(tmp_path: Path) -> None:
    first = written(make_artifact(), tmp_path / "a-b.safetensors")
    second = written(make(), tmp_path / "a_b.safetensors")
    export.export(first, "c", tmp_path / "c")
    before = contents(tmp_path / "c")
    with pytest.raises(export.ExportError, match=r"a-b\.safetensors with the same name in C, a_b"):
        export.export(second, "c", tmp_path / "c")
    assert contents(tmp_path / "c") == before
    export.export(second, "wasm", tmp_path / "c")  # a_b.wasm: no clash
    export.export(written(make(), first), "c", tmp_path / "c")  # the same artifact, retrained
    assert contents(tmp_path / "c")["a_b_model.c"] != before["a_b_model.c"]


# ---- WebAssembly in Node -------------------------------------------------------------------------

DRIVER = """
import { readFileSync } from "node:fs";
const [module, topK] = process.argv.slice(1);
const { load } = await import(module);
const classifier = await load();
const texts = JSON.parse(readFileSync(0, "utf8"));
console.log(JSON.stringify(texts.map((text) => classifier.classify(text, Number(topK)))));
"""


def node(script: str, *arguments: object, given: object = None) -> str:
    """Run a module in Node; return what it prints."""
    command = ["node", "--input-type=module", "--eval", script, *map(str, arguments)]
    ran = subprocess.run(command, input=json.dumps(given), capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


def answers_in_node(path: Path, texts: Sequence[str], top_k: int, folder: Path) -> list[Any]:
    """Export an artifact as WebAssembly, and classify with it."""
    export.export(path, "wasm", folder)
    (module,) = folder.glob("*.mjs")
    return json.loads(node(DRIVER, module.as_uri(), top_k, given=texts))  # type: ignore[no-any-return]


@needs_node
@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_in_node_it_answers_as_python_does(path: Path, tmp_path: Path) -> None:
    texts = [*TEXTS, "a\nb", "a\0b", "\ud800 lamp \udfff", "turn on " * 100_000]
    for top_k in (1, 3):
        answers = answers_in_node(path, texts, top_k, tmp_path / str(top_k))
        assert_alike(answers, expected(path, texts, top_k), abs_tol=1e-9)


EXPLAINER = DRIVER.replace("classifier.classify(text, Number(topK))", "classifier.explain(text)")


@needs_node
@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_in_node_it_explains_as_python_does(path: Path, tmp_path: Path) -> None:
    varied = [text for text in TEXTS if len(text) < 1000]
    texts = [*varied, "turn on the lamp " * 588, "x" * 10_000, "a\0b", "\ud800 lamp \udfff"]
    assert_explained_in_node(path, texts, tmp_path)


@needs_node
def test_in_node_any_projection_is_explained(tmp_path: Path) -> None:
    projections = [
        Projection(functions=1, dimensions=1, stride=1, code_bits=1),
        Projection(16, 33, stride=4, families=("characters", "skip_bigrams"), removed=(0, 3)),
        Projection(functions=32, dimensions=5, stride=8, code_bits=1, blocks=True, removed=(31,)),
    ]
    for place, projection in enumerate(projections):
        path = written(make(projection), tmp_path / f"{place}.safetensors")
        assert_explained_in_node(path, TEXTS[:40], tmp_path / str(place))


def assert_explained_in_node(path: Path, texts: Sequence[str], folder: Path) -> None:
    export.export(path, "wasm", folder)
    (module,) = folder.glob("*.mjs")
    answers = json.loads(node(EXPLAINER, module.as_uri(), given=texts))
    classifier = neuralbits.load(path)
    for text, one in zip(texts, answers, strict=True):
        other = json.loads(json.dumps(asdict(classifier.explain(text))))
        assert list(one) == list(other)
        ngrams, its = one.pop("ngrams"), other.pop("ngrams")
        assert one == other
        assert all(list(each) == ["ngram", "family", "influence"] for each in ngrams)
        sizes = [abs(each["influence"]) for each in ngrams]
        assert sizes == sorted(sizes, reverse=True)
        # Influences that differ in the last digit can be in another order.
        by_name = {(each["family"], each["ngram"]): each["influence"] for each in ngrams}
        assert len(by_name) == len(ngrams)
        assert by_name == pytest.approx(
            {(each["family"], each["ngram"]): each["influence"] for each in its},
            rel=1e-9,
            abs=1e-9,
        )


# Of all intents, and to the last digits but three: a score that differs by 1 would show.
@needs_node
def test_in_node_the_vectors_give_every_score_of_the_kernel(tmp_path: Path) -> None:
    vectors = ROOT / "tests" / "vectors"
    lines = (vectors / "vectors.jsonl").read_text().splitlines()
    texts = [json.loads(line)["text"] for line in lines]
    for name, chosen in json.loads((vectors / "projections.json").read_text()).items():
        projection = Projection(**{**chosen, "families": tuple(chosen["families"])})
        path = written(make(projection), tmp_path / f"{name}.safetensors")
        answers = answers_in_node(path, texts, ALL_INTENTS, tmp_path / name)
        assert_alike(answers, expected(path, texts, ALL_INTENTS), rel_tol=1e-12)


@needs_node
def test_in_node_clinc150_is_answered_as_by_the_kernel(data_folder: Path, tmp_path: Path) -> None:
    lines = (data_folder / "clinc150" / "test.csv").read_text().splitlines()
    answers = answers_in_node(SHIPPED[1], lines, 5, tmp_path / "web")
    assert len(answers) > 4500
    assert_alike(answers, expected(SHIPPED[1], lines, 5), rel_tol=1e-12)


@needs_node
def test_every_network_that_the_kernel_reads_answers_alike_in_node(tmp_path: Path) -> None:
    for precision in ("binary", "ternary", "int4", "int8"):
        for zeros in (0.0, 0.97):
            model = make(first=precision, later=precision, zeros=zeros, layers=4)
            path = written(model, tmp_path / f"{precision}{zeros}.safetensors")
            answers = answers_in_node(path, TEXTS, ALL_INTENTS, tmp_path / path.stem)
            assert_alike(answers, expected(path, TEXTS, ALL_INTENTS), rel_tol=1e-12)


@needs_node
def test_a_file_of_any_name_is_found_by_its_module(tmp_path: Path) -> None:
    path = written(make_artifact(), tmp_path / "50% of #2? 'é'.safetensors")
    (answers,) = answers_in_node(path, ["lights on"], 1, tmp_path / "web")
    assert answers["intent"] == "turn_on"


@needs_node
def test_the_module_loads_bytes_and_lists_the_intents(tmp_path: Path) -> None:
    export.export(SHIPPED[0], "wasm", tmp_path)
    script = """
        import { readFileSync } from "node:fs";
        const [module, wasm] = process.argv.slice(1);
        const classifier = await (await import(module)).load(readFileSync(wasm));
        console.log(JSON.stringify(classifier.labels));
    """
    module = (tmp_path / "home-assistant-en.mjs").as_uri()
    labels = json.loads(node(script, module, tmp_path / "home-assistant-en.wasm"))
    assert tuple(labels) == neuralbits.load(SHIPPED[0]).manifest.labels


@needs_node
@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        ("c.classify(7)", "TypeError: the text is of type number, not a string"),
        ("c.classify('x', 0)", "RangeError: topK is 0; ask for at least 1 intent"),
        ("c.classify('x', 1.5)", "RangeError: topK is 1.5; ask for at least 1 intent"),
        (
            "c.classify('ß'.repeat(2 ** 24))",
            "RangeError: a text of 33554432 bytes is longer than the kernel takes",
        ),
        ("c.explain(null)", "TypeError: the text is of type object, not a string"),
        (
            "c.explain('ß'.repeat(2 ** 24))",
            "RangeError: a text of 33554432 bytes is longer than the kernel takes",
        ),
        (
            "c.explain(Array.from({ length: 500 }, (_, n) => `${n}`).join(' '))",
            "RangeError: the text has more than 2,048 different n-grams; explain a shorter text",
        ),
        ("await load(new URL('none.wasm', module))", "ENOENT"),
        ("await load(readFileSync(kernel))", "Error: the .wasm file has no section neuralbits"),
        ("await load(damaged)", "Error: the model in the .wasm file is damaged; export it again"),
    ],
)
def test_the_module_says_what_is_wrong(call: str, sentence: str, tmp_path: Path) -> None:
    export.export(SHIPPED[0], "wasm", tmp_path)
    script = f"""
        import {{ readFileSync }} from "node:fs";
        const [module, kernel, wasm] = process.argv.slice(1);
        const {{ load }} = await import(module), c = await load();
        const damaged = readFileSync(wasm);
        damaged[damaged.indexOf("neuralbits.model") + 16 + 20] ^= 255;
        try {{ {call}; }} catch (error) {{ console.log(String(error)); }}
        console.log(c.classify("turn of teh lamp").intent);
    """
    module = (tmp_path / "home-assistant-en.mjs").as_uri()
    bare = ROOT / "neuralbits" / "exported" / "kernel.wasm"
    error, after = node(script, module, bare, tmp_path / "home-assistant-en.wasm").splitlines()
    assert sentence in error
    assert after == "HassTurnOff"


# ---- The kernel as WebAssembly -------------------------------------------------------------------


def built_of() -> dict[str, str]:
    """Return the build record in the last section of the committed module."""
    content = (ROOT / "neuralbits" / "exported" / "kernel.wasm").read_bytes()
    return json.loads(content[content.rindex(b"built{") + 5 :])  # type: ignore[no-any-return]


def test_the_committed_module_is_built_from_the_current_kernel() -> None:
    assert built_of()["sources"] == make_kernel_wasm.sources_digest(), (
        "the kernel has changed; run: "
        "python tools/make_kernel_wasm.py > neuralbits/exported/kernel.wasm"
    )


@needs("clang", "wasm-ld", package="clang lld")
def test_the_build_of_the_module_is_reproducible() -> None:
    if make_kernel_wasm.compiler() != built_of()["compiler"]:
        pytest.skip(f"kernel.wasm was built by another clang: {built_of()['compiler']}")
    script = ROOT / "tools" / "make_kernel_wasm.py"
    printed = subprocess.run([sys.executable, script], capture_output=True, check=True).stdout
    assert printed == (ROOT / "neuralbits" / "exported" / "kernel.wasm").read_bytes()


# ---- WebAssembly in a browser --------------------------------------------------------------------


class Handler(http.server.SimpleHTTPRequestHandler):
    """Serves a folder, and puts the bodies that its pages post into a queue."""

    posted: "queue.Queue[Any]"

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(204)
        self.end_headers()
        self.posted.put(json.loads(body))

    def log_message(self, *arguments: Any) -> None:
        pass


def report_of(page: str, folder: Path) -> Any:
    """Serve a folder, open a page in Chromium, and return what the page posts."""
    posted: queue.Queue[Any] = queue.Queue()
    handler = functools.partial(type("H", (Handler,), {"posted": posted}), directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        browser = subprocess.Popen(
            [
                *("chromium", "--headless", "--no-sandbox", "--disable-gpu"),
                *("--no-first-run", f"--user-data-dir={folder / 'profile'}"),
                f"http://127.0.0.1:{server.server_port}/{page}",
            ],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            return posted.get(timeout=LIMIT)
        finally:
            browser.terminate()
            browser.wait(LIMIT)
            server.shutdown()
            thread.join()


@needs_chromium
def test_in_a_browser_it_answers_as_python_does(tmp_path: Path) -> None:
    export.export(SHIPPED[0], "wasm", tmp_path)
    texts = [*TEXTS, "\ud800 lamp"]
    (tmp_path / "page.html").write_text(
        f"""<!doctype html><script type="module">
        import {{ load }} from "./home-assistant-en.mjs";
        const classifier = await load();
        const answers = {json.dumps(texts)}.map((text) => classifier.classify(text, 3));
        await fetch("/", {{ method: "POST", body: JSON.stringify(answers) }});
        </script>"""
    )
    answers = report_of("page.html", tmp_path)
    assert_alike(answers, expected(SHIPPED[0], texts, top_k=3), abs_tol=1e-9)


# ---- The examples --------------------------------------------------------------------------------


def make_example(name: str, *goals: str, build: Path) -> str:
    """Build an example by its Makefile; return what it prints."""
    program = build.parent / "neuralbits"
    program.write_text(
        f"#!{sys.executable}\nimport sys\nsys.path.insert(0, {str(ROOT)!r})\n"
        "from neuralbits.cli import main\nmain()\n"
    )
    program.chmod(0o755)
    variables = [f"NEURALBITS={program}", f"BUILD={build}", "CFLAGS=-std=c99 -O0"]
    # Within another make, which passes its flags on, -s alone does not silence this one.
    command = ["make", "-s", "--no-print-directory", *goals, *variables]
    ran = subprocess.run(command, cwd=ROOT / "examples" / name, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


@needs_compiler
@needs_make
def test_the_lamp_in_c_listens(tmp_path: Path) -> None:
    printed = make_example("c", "all", "run", build=tmp_path / "build")
    assert printed.endswith(
        "HassTurnOn: the lamp is on\n"
        "nothing that I know: the lamp is on\n"
        "HassTurnOff: the lamp is off\n"
    )
    assert printed.splitlines()[-3:] == [
        line for line in (ROOT / "examples/c/README.md").read_text().splitlines() if ": the" in line
    ]
    program = tmp_path / "build" / "classify"
    ran = subprocess.run([program, "turn of teh lamp"], capture_output=True, text=True, check=True)
    assert json.loads(ran.stdout)["intent"] == "HassTurnOff"


@needs_chromium
@needs_make
def test_the_page_shows_other_bars_with_each_key_and_asks_no_other_host(tmp_path: Path) -> None:
    make_example("browser", build=tmp_path / "build")
    (tmp_path / "build" / "watch.html").write_text(
        """<!doctype html><iframe src="index.html"></iframe><script type="module">
        const frame = document.querySelector("iframe");
        const shown = () => [...frame.contentDocument.querySelectorAll("li")]
          .sort((a, b) => a.style.getPropertyValue("--rank") - b.style.getPropertyValue("--rank"))
          .slice(0, 3).map((row) => [row.firstChild.data, row.lastChild.value]);
        while (!frame.contentDocument.querySelector("output")?.value) {
          await new Promise((resolve) => setTimeout(resolve, 20));
        }
        const text = frame.contentDocument.querySelector("input"), seen = [[text.value, shown()]];
        for (const key of " on") {
          text.value += key;
          text.dispatchEvent(new InputEvent("input"));
          seen.push([text.value, shown()]);
        }
        text.value = "i feel sad";
        text.dispatchEvent(new InputEvent("input"));
        const note = frame.contentDocument.getElementById("note").textContent;
        const asked = frame.contentWindow.performance.getEntriesByType("resource");
        const hosts = [...new Set(asked.map((each) => new URL(each.name).host))];
        const report = { seen, note, own: hosts.length === 1 && hosts[0] === location.host };
        await fetch("/", { method: "POST", body: JSON.stringify(report) });
        </script>"""
    )
    report = report_of("watch.html", tmp_path / "build")
    texts = [text for text, _ in report["seen"]]
    assert texts == [f"turn of teh lamp{more}" for more in ("", " ", " o", " on")]
    wanted = expected(SHIPPED[0], texts, top_k=3)
    for (_, bars), prediction in zip(report["seen"], wanted, strict=True):
        assert bars == [
            [each["intent"], f"{100 * each['confidence']:.1f} %"] for each in prediction["intents"]
        ]
    assert len({str(bars) for _, bars in report["seen"]}) >= 3
    assert report["note"].startswith("Out of scope")
    assert report["own"]


# ---- The folder ----------------------------------------------------------------------------------


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_the_command_names_what_it_wrote(artifact_path: Path, tmp_path: Path) -> None:
    printed = run("export", artifact_path, "--format", "wasm", "--output", tmp_path / "web")
    names = ["home.wasm", "home.mjs", "home.d.mts"]
    assert printed.splitlines() == [f"wrote {tmp_path / 'web' / name}" for name in names]
    assert contents(tmp_path / "web").keys() == {*names, export.RECORD}


@pytest.mark.parametrize("form", ["c", "wasm"])
def test_an_earlier_export_is_replaced_and_other_files_stay(
    form: export.Format, artifact_path: Path, tmp_path: Path
) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    export.export(artifact_path, form, tmp_path)
    before = contents(tmp_path)
    path = written(make_artifact(threshold=0.5), tmp_path / "home.safetensors")
    export.export(path, form, tmp_path)
    after = contents(tmp_path)
    assert {name for name in before if before[name] != after[name]} == {
        export.RECORD,
        *(["home_model.c", "home_model.h"] if form == "c" else ["home.wasm"]),
    }
    export.export(artifact_path, form, tmp_path)
    path.unlink()
    assert contents(tmp_path) == before


@pytest.mark.parametrize("form", ["c", "wasm"])
def test_one_folder_may_hold_several_exports(
    form: export.Format, artifact_path: Path, tmp_path: Path
) -> None:
    files = [export.export(path, form, tmp_path) for path in (artifact_path, SHIPPED[0])]
    export.export(artifact_path, form, tmp_path)
    assert {path.name for each in files for path in each} | {export.RECORD} == contents(
        tmp_path
    ).keys()


@pytest.mark.parametrize("name", ["main.c", "neuralbits.h", export.RECORD])
def test_a_file_that_no_export_wrote_is_kept(
    name: str, artifact_path: Path, tmp_path: Path
) -> None:
    (tmp_path / name).write_text("mine")
    with pytest.raises(ForeignFileError, match=f"{name} isn't as neuralbits wrote it"):
        export.export(artifact_path, "c", tmp_path)
    assert contents(tmp_path) == {name: b"mine"}


def test_an_exported_file_that_was_edited_is_kept(artifact_path: Path, tmp_path: Path) -> None:
    export.export(artifact_path, "c", tmp_path)
    (tmp_path / "main.c").write_text("mine")
    before = contents(tmp_path)
    with pytest.raises(ForeignFileError, match=r"main\.c isn't as neuralbits wrote it"):
        export.export(SHIPPED[0], "c", tmp_path)
    assert contents(tmp_path) == before


def test_the_same_command_completes_an_export_that_was_killed(
    artifact_path: Path, tmp_path: Path
) -> None:
    export.export(artifact_path, "c", tmp_path)
    complete = contents(tmp_path)
    for name in ("main.c", "home_model.c", export.RECORD):
        (tmp_path / name).unlink()
    export.export(artifact_path, "c", tmp_path)
    assert contents(tmp_path) == complete


def test_a_folder_at_the_path_of_a_file_is_kept(artifact_path: Path, tmp_path: Path) -> None:
    (tmp_path / "main.c").mkdir()
    with pytest.raises(ForeignFileError, match=r"main\.c is a folder"):
        export.export(artifact_path, "c", tmp_path)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["none.safetensors", "--output", "OUT"], "can't read the artifact none.safetensors"),
        ([__file__, "--output", "OUT"], "it is no safetensors file"),
        (
            ["FLOAT", "--output", "OUT"],
            "made.safetensors: it has float weights; train it with at",
        ),
        (["DEEP", "--output", "OUT"], "it has 5 layers; train it with at most 4"),
        (["ARTIFACT", "--output", "OUT/a/b"], "a; make it"),
        (["ARTIFACT", "--output", __file__], "test_export.py is a file; --output names a folder"),
    ],
)
def test_an_export_error_that_a_user_can_fix_is_one_line(
    arguments: list[str], sentence: str, artifact_path: Path, tmp_path: Path
) -> None:
    made = {
        "FLOAT": make(first="float", later="float"),
        "DEEP": make(layers=5),
    }
    words = {"ARTIFACT": artifact_path, "OUT": tmp_path / "out", "OUT/a/b": tmp_path / "a" / "b"}
    if arguments[0] in made:
        words[arguments[0]] = written(made[arguments[0]], tmp_path / "made.safetensors")
    error = refusal("export", *[words.get(each, each) for each in arguments], "--format", "c")
    assert error.startswith("neuralbits: ")
    assert sentence in error
    assert error.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_an_unknown_export_format_is_refused(artifact_path: Path, tmp_path: Path) -> None:
    error = run("export", artifact_path, "--format", "java", "--output", tmp_path / "x", code=2)
    assert "'java' is not one of 'c', 'wasm'" in error


@needs_kernel
def test_exporting_needs_neither_numpy_nor_torch(artifact_path: Path, tmp_path: Path) -> None:
    script = (
        "import sys; from pathlib import Path; from neuralbits import export;"
        f"export.export(Path({str(artifact_path)!r}), 'c', Path({str(tmp_path / 'c')!r}));"
        "print(sorted({name.partition('.')[0] for name in sys.modules}))"
    )
    imported = run(command=[sys.executable, "-c", script])
    assert "'numpy'" not in imported
    assert "'torch'" not in imported


# ---- The package ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Install a wheel that was built from a source distribution; return the folder."""
    folder = tmp_path_factory.mktemp("package")
    pytest.importorskip("setuptools", "77", reason="setuptools 77 or newer isn't installed")
    names = ("kernel", "neuralbits", "app", "model_training", "artifacts")
    for name in names:
        ignored = shutil.ignore_patterns("*.so", "__pycache__")
        shutil.copytree(ROOT / name, folder / "source" / name, symlinks=True, ignore=ignored)
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, folder / "source")
    # Without a compiler: these tests check the other files of the package.
    environment = os.environ | {"CC": "false"}
    script = (
        "import sys; from setuptools import build_meta as b; getattr(b, sys.argv[1])('../made')"
    )

    def build(what: str, source: Path) -> Path:
        command = [sys.executable, "-c", script, what]
        subprocess.run(command, cwd=source, env=environment, capture_output=True, check=True)
        (made,) = (source.parent / "made").iterdir()
        return made

    shutil.unpack_archive(build("build_sdist", folder / "source"), folder / "unpacked")
    (source,) = (folder / "unpacked").iterdir()
    with zipfile.ZipFile(build("build_wheel", source)) as wheel:
        wheel.extractall(folder / "installed")
    return folder / "installed"


def test_an_installed_package_has_the_page(installed: Path) -> None:
    page = "neuralbits/app/page.html"
    assert (installed / page).read_bytes() == (ROOT / page).read_bytes()


def test_an_installed_package_has_one_name_and_the_shipped_artifacts(installed: Path) -> None:
    names = {each.name for each in installed.iterdir()}
    assert {name for name in names if not name.endswith(".dist-info")} == {"neuralbits"}
    for file in (ROOT / "artifacts").glob("*.safetensors"):
        shipped = installed / "neuralbits" / "shipped" / file.name
        assert shipped.read_bytes() == file.read_bytes()


@pytest.mark.parametrize("form", ["c", "wasm"])
def test_an_installed_package_exports_the_same(
    form: export.Format, installed: Path, artifact_path: Path, tmp_path: Path
) -> None:
    export.export(artifact_path, form, tmp_path / "here")
    script = (
        f"import sys; sys.path.insert(0, {str(installed)!r}); import neuralbits.export as e;"
        f"assert e.__file__.startswith({str(installed)!r});"
        "from neuralbits.cli import main; main()"
    )
    run(
        *("export", artifact_path, "--format", form, "--output", tmp_path / "there"),
        command=[sys.executable, "-c", script],
    )
    assert contents(tmp_path / "there") == contents(tmp_path / "here")
