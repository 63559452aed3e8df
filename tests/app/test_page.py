"""The page, in Chromium, as people meet it: served by a real process, typed into, looked at."""

import base64
import contextlib
import csv
import hashlib
import io
import json
import re
import shutil
import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright import sync_api as playwright

import neuralbits
from neuralbits import artifact, export
from neuralbits.projection import Projection
from neuralbits.text import normalise
from tests.kernel.test_kernel import make
from tests.support.paths import ROOT
from tests.support.requirements import needs_chromium
from tests.support.services import Server, environment, free_port, started
from tests.support.waiting import LIMIT, until

playwright.expect.set_options(timeout=1000 * LIMIT)
CHROMIUM = shutil.which("chromium")

SHIPPED = ROOT / "artifacts" / "home-assistant-en.safetensors"
KEY = "a key of this test's"
TWO_FRAMES = "() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))"
PHONE = {"viewport": {"width": 360, "height": 780}, "device_scale_factor": 2, "has_touch": True}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("server")
    with started(folder, ["-m", "neuralbits.app"], environment(artifact=SHIPPED, port=0)) as server:
        yield server


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A service that asks for a key and takes little at a time."""
    folder = tmp_path_factory.mktemp("guarded")
    settings = environment(
        artifact=SHIPPED,
        port=0,
        api_keys=f"sha256:{hashlib.sha256(KEY.encode()).hexdigest()}",
        max_characters=60,
        max_body=2000,
    )
    with started(folder, ["-m", "neuralbits.app"], settings) as server:
        yield server


@pytest.fixture(scope="module")
def home() -> neuralbits.Classifier:
    return neuralbits.load(SHIPPED)


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"]
        )
        yield browser
        browser.close()


@dataclass
class Visit:
    """A new tab with the page, its requests and its errors."""

    page: Any
    requests: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)
    refused: bool = False
    """Whether the test means requests to fail, which Chromium says on its console."""

    def type(self, text: str) -> None:
        """Type a text key by key, and wait until the page shows the answer to it."""
        self.page.locator("#text").fill("")
        self.page.locator("#text").press_sequentially(text, delay=5)
        self.enter(text)

    def enter(self, text: str) -> None:
        """Enter a text at once, and wait likewise."""
        self.page.locator("#text").fill(text)
        self.page.wait_for_function(
            "text => document.querySelector('#reading').textContent === text", arg=text
        )

    def shown(self, name: str) -> str:
        found = self.page.locator(f"#{name}").text_content()
        assert isinstance(found, str)
        return found

    def wait(self, name: str, pattern: str) -> None:
        playwright.expect(self.page.locator(f"#{name}")).to_have_text(re.compile(pattern))

    def bars(self) -> list[tuple[str, str]]:
        """The intents and their confidences, from the top."""
        rows = self.page.evaluate(
            """[...document.querySelectorAll("#intents li[aria-hidden=false]")]
            .map((row) => [+row.style.getPropertyValue("--rank"), row.id, row.children[0].title,
                           row.lastChild.textContent])"""
        )
        assert self.page.locator("#intents").get_attribute("aria-owns").split() == [
            row for _, row, _, _ in sorted(rows)
        ]
        return [(intent, share) for _, _, intent, share in sorted(rows)]

    def give(self, content: bytes, name: str = "texts.csv") -> None:
        """Choose a table."""
        self.page.locator("#file").set_input_files(
            {"name": name, "mimeType": "text/csv", "buffer": content}
        )

    def score(self, content: bytes, name: str = "texts.csv") -> bytes:
        """Give the page a table, and take what it hands back."""
        self.give(content, name)
        return self.save(name)

    def save(self, name: str = "texts.csv") -> bytes:
        with self.page.expect_download() as download:
            self.page.locator("#result").click()
        assert download.value.suggested_filename == name.replace(".", ".scored.")
        returned: bytes = Path(download.value.path()).read_bytes()
        return returned


Open = Callable[..., Visit]


@pytest.fixture
def visit(chromium: Any, server: Server) -> Iterator[Open]:
    """Open the page; afterwards hold it to having asked no other host, and to no complaint."""
    with contextlib.ExitStack() as tabs:
        visits = []

        def open_page(at: Server = server, script: str = "", **options: Any) -> Visit:
            tab = chromium.new_context(**{"reduced_motion": "reduce"} | options)
            tabs.callback(tab.close)
            made = Visit(tab.new_page())
            made.page.set_default_timeout(1000 * LIMIT)
            made.page.on("request", lambda request: made.requests.append(request.url))
            made.page.on("pageerror", lambda error: made.complaints.append(str(error)))
            made.page.on(
                "console",
                lambda said: said.type == "error" and made.complaints.append(said.text),
            )
            made.page.add_init_script(script)
            made.page.goto(at.url)
            visits.append((made, at))
            return made

        yield open_page
        for made, at in visits:
            assert {httpx.URL(url).copy_with(path="/") for url in made.requests} == {
                httpx.URL(at.url).copy_with(path="/")
            } or not made.requests
            failures = [
                complaint
                for complaint in made.complaints
                if not (made.refused and complaint.startswith("Failed to load resource"))
            ]
            assert failures == []


def percent(confidence: float) -> str:
    return f"{100 * confidence:.1f} %"


def expected_bars(classifier: neuralbits.Classifier, text: str) -> list[tuple[str, str]]:
    prediction = classifier.classify(text, top_k=8)
    return [(each.intent, percent(each.confidence)) for each in prediction.intents]


# ---- What is served ------------------------------------------------------------------------------


def test_the_page_lets_only_its_own_script_and_style_run(server: Server) -> None:
    response = server.get("/")
    assert response.headers["content-type"] == "text/html; charset=utf-8"
    policy = dict(
        directive.split(" ", 1)
        for directive in response.headers["content-security-policy"].split("; ")
    )
    for element in ("script", "style"):
        [content] = re.findall(rf"<{element}\b.*?>(.*?)</{element}>", response.text, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
        assert policy.pop(f"{element}-src").split()[0] == f"'sha256-{digest}'"
    assert policy == {
        "default-src": "'none'",
        "connect-src": "'self'",
        "img-src": "data:",
        "base-uri": "'none'",
        "form-action": "'none'",
        "frame-ancestors": "'none'",
        "require-trusted-types-for": "'script'",
        "trusted-types": "'none'",
    }


@pytest.mark.parametrize("path", ["/", "/neuralbits.mjs", "/model/neuralbits.wasm"])
def test_all_of_it_is_kept_to_itself_and_asked_for_again_only_when_it_changed(
    server: Server, path: str
) -> None:
    response = server.get(path)
    assert response.headers.get_list("x-content-type-options") == ["nosniff"]
    assert response.headers["referrer-policy"] == "no-referrer"
    assert response.headers["cross-origin-opener-policy"] == "same-origin"
    assert "microphone=()" in response.headers["permissions-policy"]
    assert response.headers["cache-control"] == "no-cache"
    tag = response.headers["etag"]
    for known, status in ((tag, 304), (f'"other", W/{tag}', 304), ('"other"', 200)):
        again = server.get(path, headers={"If-None-Match": known})
        assert (again.status_code, again.headers["etag"]) == (status, tag)
        assert again.content == (b"" if status == 304 else response.content)


def test_the_page_and_its_module_can_be_asked_for_by_their_headers_alone(server: Server) -> None:
    for path in ("/", "/neuralbits.mjs"):
        response = httpx.head(server.url + path)
        assert response.headers["etag"] == server.get(path).headers["etag"]


def test_the_model_for_the_browser_is_what_an_export_writes(server: Server, tmp_path: Path) -> None:
    export.export(SHIPPED, "wasm", tmp_path)
    response = server.get("/model/neuralbits.wasm")
    assert response.headers["content-type"] == "application/wasm"
    assert response.content == (tmp_path / f"{SHIPPED.stem}.wasm").read_bytes()
    module = server.get("/neuralbits.mjs")
    assert module.headers["content-type"] == "text/javascript; charset=utf-8"
    assert 'new URL("./model/neuralbits.wasm", import.meta.url)' in module.text


@pytest.fixture(scope="module")
def unfit(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A service whose artifact no browser can run."""
    folder = tmp_path_factory.mktemp("unfit")
    artifact.write(make(first="float", later="float"), folder / "float.safetensors")
    settings = environment(artifact=folder / "float.safetensors", port=0)
    with started(folder, ["-m", "neuralbits.app"], settings) as server:
        yield server


def test_a_model_that_the_kernel_cannot_read_is_not_there_for_browsers(unfit: Server) -> None:
    response = unfit.get("/model/neuralbits.wasm")
    assert response.status_code == 404
    assert response.headers["content-type"] == "application/problem+json"
    assert response.json()["detail"].startswith("The model can't run in a browser: ")


# ---- Typing --------------------------------------------------------------------------------------


@needs_chromium
def test_each_text_moves_the_bars(visit: Open, home: neuralbits.Classifier) -> None:
    tab = visit()
    for text in ("turn of teh lamp", "turn on teh lamp", "what's the weather"):
        tab.type(text)
        prediction = home.classify(text)
        assert tab.bars() == expected_bars(home, text)
        assert tab.shown("intent") == prediction.intent
        assert tab.shown("confidence") == percent(prediction.confidence)
    assert re.search(r"\d ms there and back", tab.shown("latency"))


@needs_chromium
def test_an_intent_keeps_its_row_as_it_moves(visit: Open) -> None:
    tab = visit()
    tab.enter("turn of teh lamp")
    assert tab.bars()[0][0] == "HassTurnOff"
    row = tab.page.evaluate_handle(
        "document.querySelector('#intents [title=HassTurnOff]').parentNode"
    )
    tab.enter("turn on teh lamp")
    rank = [intent for intent, _ in tab.bars()].index("HassTurnOff")
    assert rank > 0
    assert row.evaluate("row => [row.isConnected, +row.style.getPropertyValue('--rank')]") == [
        True,
        rank,
    ]
    top, slid = tab.page.evaluate(
        """row => [row.parentNode, row].map((each) => each.getBoundingClientRect().top)""", row
    )
    assert slid - top == pytest.approx(32 * rank, abs=1)


def type_here(tab: Visit, text: str) -> None:
    """Type by the page's own clock, so that the pauses are short however busy the machine is."""
    tab.page.evaluate(
        """async (text) => {
            const field = document.querySelector("#text");
            field.value = "";
            for (const key of text) {
                field.value += key;
                field.dispatchEvent(new InputEvent("input"));
                await new Promise((resolve) => setTimeout(resolve, 10));
            }
        }""",
        text,
    )


@needs_chromium
def test_keys_in_quick_succession_ask_once(visit: Open) -> None:
    tab = visit()
    tab.enter("lights on")
    before = len(tab.requests)
    type_here(tab, "lights on please")
    tab.wait("reading", "^lights on please$")
    assert len(tab.requests) == before + 1


@needs_chromium
@pytest.mark.parametrize("aborts", [True, False], ids=["aborted", "arriving all the same"])
def test_the_latest_answer_wins_though_an_earlier_one_comes_later(
    visit: Open, home: neuralbits.Classifier, aborts: bool
) -> None:
    tab = visit(script="" if aborts else "AbortController.prototype.abort = () => {};")
    tab.enter("lights on")
    held: list[Any] = []

    def hold_the_first(route: Any) -> None:
        if held:
            route.continue_()
        else:
            held.append(route)

    tab.page.route("**/classify", hold_the_first)
    with tab.page.expect_request("**/classify") as earlier:
        tab.page.locator("#text").fill("turn on the fan")
    tab.enter("what's the weather")
    with contextlib.suppress(playwright.Error):  # an aborted request can't be continued
        held[0].continue_()
    answer = earlier.value.response()  # waits for it
    assert (answer is None) == aborts
    if answer:
        answer.finished()
    tab.page.evaluate(TWO_FRAMES)
    assert tab.bars() == expected_bars(home, "what's the weather")


@needs_chromium
def test_the_grid_shows_the_neural_bits(visit: Open, home: neuralbits.Classifier) -> None:
    settings = home.manifest.projection
    projection = Projection(**{**settings, "families": tuple(settings["families"]), "removed": ()})
    tab = visit()
    before = None
    for text in ("turn of teh lamp", "turn of teh lamps"):
        tab.enter(text)
        first, second = projection.project(projection.features(text)).astype(int)
        codes = 2 * first + second
        found = tab.page.evaluate(
            """([functions, dimensions]) => {
                const canvas = document.querySelector("#bits canvas");
                const pen = canvas.getContext("2d");
                const style = getComputedStyle(document.documentElement);
                const shade = (code) => style.getPropertyValue(`--bit-${code}`)
                    .match(/\\d+/g).map(Number).join();
                const shades = [0, 1, 2, 3].map(shade);
                const cell = Math.round(canvas.width / dimensions);
                return Array.from({ length: functions * dimensions }, (_, index) => {
                    const x = index % dimensions * cell + 1;
                    const y = Math.floor(index / dimensions) * cell + 1;
                    return shades.indexOf(pen.getImageData(x, y, 1, 1).data.slice(0, 3).join());
                });
            }""",
            [projection.functions, projection.dimensions],
        )
        assert found == codes.tolist()
        if before is not None:
            flips = int(((first != before[0]).sum()) + (second != before[1]).sum())
            assert tab.shown("flipped") == f"{flips:,} flipped"
        before = first, second
    assert tab.shown("shape") == "8,192 neural bits: 64 functions of 64"


@needs_chromium
def test_flipped_bits_flash_unless_motion_is_unwelcome(visit: Open) -> None:
    colours = """() => {
        const canvas = document.querySelector("#bits canvas");
        return new Set(new Uint32Array(
            canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data.buffer,
        )).size;
    }"""
    for motion in ("reduce", "no-preference"):
        tab = visit(reduced_motion=motion)
        clock = tab.page.clock
        clock.install(time=0)
        tab.page.reload()
        tab.enter("lights on")
        clock.pause_at(3_600_000)  # from now on the page's time only passes when this test says so
        assert tab.page.evaluate(colours) == 5  # four shades on transparent
        tab.page.locator("#text").fill("open the garage")
        clock.run_for(1000)  # milliseconds, in which the page asks
        tab.wait("reading", "^open the garage$")
        clock.run_for(20)  # a frame
        assert (tab.page.evaluate(colours) > 5) == (motion == "no-preference")
        clock.run_for(10_000)
        assert tab.page.evaluate(colours) == 5


@needs_chromium
def test_the_ngrams_that_spoke_for_and_against_the_winner_are_shown(
    visit: Open, server: Server
) -> None:
    tab = visit()
    text = "turn of teh lamp"
    tab.enter(text)
    answer = server.post("/classify", json={"text": text, "explain": True}).json()
    assert tab.shown("winner") == answer["intent"]
    for side, sign in (("for", 1), ("against", -1)):
        spoke = [each for each in answer["explanation"]["ngrams"] if each["influence"] * sign > 0]
        found = tab.page.locator(f"#{side} li").evaluate_all(
            "rows => rows.map(row => [row.querySelector('bdi').textContent, "
            "row.querySelector('.much').textContent])"
        )
        assert found == [
            [each["ngram"].replace(" ", "␣"), f"{each['influence']:+.2f}".replace("-", "−")]
            for each in spoke[:10]
        ]
    assert "characters" in tab.shown("for")


def tints(text: str, ngrams: list[dict[str, Any]]) -> list[float]:
    """Share each n-gram's influence out among the characters of a text that it is made of."""
    joined, places = " ", [-1]
    for place, character in enumerate(text):
        for each in normalise(character):
            if (each, joined[-1]) != (" ", " "):
                joined, places = joined + each, [*places, place]
    if joined[-1] != " ":
        joined, places = joined + " ", [*places, -1]
    shares = [0.0] * len(text)
    for each in ngrams:
        ngram = re.escape(each["ngram"])
        if each["family"] == "word_bigrams" and each["ngram"][0] == " ":
            ngram = f"^{ngram}(?= )"
        elif each["family"] == "word_bigrams" and each["ngram"][-1] == " ":
            ngram = f"(?<= ){ngram}$"
        elif each["family"] != "characters":
            ngram = f"(?<= ){ngram}(?= )"
        occurrences = [
            [places[at] for at in range(*found.span(1)) if joined[at] != " "]
            for found in re.finditer(f"(?=({ngram}))", joined)
        ]
        for occurrence in occurrences:
            for place in occurrence:
                shares[place] += each["influence"] / len(occurrences) / len(occurrence)
    return shares


@needs_chromium
def test_the_text_is_tinted_by_what_its_ngrams_say_in_sum(visit: Open, server: Server) -> None:
    tab = visit()
    text = "Turn  ÖFF the lamp, turn!"
    tab.enter(text)
    answer = server.post("/classify", json={"text": text, "explain": True}).json()
    shares = tints(text, answer["explanation"]["ngrams"])
    most = max(map(abs, shares))
    found = tab.page.locator("#reading span").evaluate_all(
        """spans => spans.map(span => span.style.getPropertyValue("--weight")
            * (span.style.getPropertyValue("--side") === "var(--for)" ? 1 : -1))"""
    )
    assert found == pytest.approx([share / most for share in shares], abs=1e-6)


@needs_chromium
def test_a_text_that_is_too_long_to_explain_is_answered_all_the_same(
    visit: Open, home: neuralbits.Classifier
) -> None:
    text = " ".join(f"word{n}" for n in range(700))
    with pytest.raises(ValueError, match="different n-grams"):
        home.explain(text)
    tab = visit()
    tab.refused = True
    for place in ("server", "browser"):
        tab.page.locator(f"[value={place}]").check()
        tab.page.locator("#text").fill("lights on")
        tab.wait("reading", "^lights on$")
        assert tab.page.locator("#for li").count() > 0
        assert tab.page.locator("#unexplained").is_hidden()
        tab.page.locator("#text").fill(text)
        tab.wait("reading", "^word0 ")
        assert tab.bars() == expected_bars(home, text)
        assert tab.page.locator("#for li").count() == 0
        assert tab.page.locator("#unexplained").is_visible()


# ---- The verdict ---------------------------------------------------------------------------------

OUTSIDE = "who won the match"
GAUGE = 3  # how many times the threshold the whole gauge is


def spoken(classifier: neuralbits.Classifier, text: str) -> str:
    """What the page says of a text."""
    said = classifier.classify(text)
    scope = "in scope" if said.in_scope else "out of scope"
    return f"{said.intent}, {100 * said.confidence:.0f} %, {scope}."


@needs_chromium
@pytest.mark.parametrize("text", ["set the temperature to 20 degrees", OUTSIDE])
def test_the_verdict_and_the_lead_against_the_threshold(
    visit: Open, home: neuralbits.Classifier, text: str
) -> None:
    tab = visit()
    tab.enter(text)
    scores = home.scores([text])[0]
    lead, threshold = int((scores.max() - scores).sum()), home.manifest.threshold
    assert tab.shown("scope") == ("in scope" if lead >= threshold else "out of scope")
    words = "sure enough" if lead >= threshold else "not sure enough"
    assert tab.shown("margin") == f"{words}: {int(10 * lead / threshold) / 10:.1f} × the threshold"
    share, line = tab.page.evaluate(
        """(() => {
            const [, bar, line] = document.querySelector(".gauge").children;
            const width = bar.getBoundingClientRect().width;
            const clipped = getComputedStyle(bar).clipPath.match(/([\\d.]+)%/);
            const from = bar.getBoundingClientRect().left;
            const middle = line.getBoundingClientRect();
            return [1 - clipped[1] / 100, (middle.left + middle.width / 2 - from) / width];
        })()"""
    )
    assert line == pytest.approx(1 / GAUGE, rel=0.01)
    assert share / line == pytest.approx(min(lead / threshold, GAUGE), rel=0.01)


@needs_chromium
def test_a_settled_verdict_is_spoken_once_and_not_each_key(
    visit: Open, home: neuralbits.Classifier
) -> None:
    tab = visit()
    tab.wait("said", spoken(home, "turn of teh lamp"))
    tab.page.evaluate(
        """globalThis.heard = [];
        new MutationObserver(([{ target }]) => heard.push(target.textContent))
            .observe(document.querySelector("#said"), { childList: true });"""
    )
    type_here(tab, OUTSIDE)
    tab.wait("said", "out of scope")
    assert tab.page.evaluate("heard") == [spoken(home, OUTSIDE)]
    assert tab.page.locator("#said").get_attribute("role") == "status"


@needs_chromium
@pytest.mark.parametrize("device", [{}, PHONE], ids=["desk", "phone"])
def test_nothing_on_the_page_shifts_as_bars_move(visit: Open, device: dict[str, Any]) -> None:
    tab = visit(reduced_motion="no-preference", **device)
    tab.enter("lights")
    tab.page.evaluate(
        """globalThis.shifts = [];
        // The rows of the bars move by design; sometimes the browser also lists a text in them,
        // whose rectangle is the same before and after.
        const moved = ({ sources }) => sources.map(({ node }) => node)
            .filter((node) => !document.querySelector("#intents").contains(node))
            .map((node) => node?.id ?? node?.parentElement?.outerHTML);
        globalThis.note = (entries) => shifts.push(...entries.flatMap(moved));
        globalThis.observer = new PerformanceObserver((list) => note(list.getEntries()));
        observer.observe({ type: "layout-shift" });"""
    )
    tab.type(OUTSIDE)
    assert tab.shown("scope") == "out of scope"
    tab.type("set the temperature to 20 degrees")
    tab.page.evaluate(  # until the bars have moved
        "Promise.allSettled(document.getAnimations().map(({ finished }) => finished))"
    )
    tab.page.evaluate(TWO_FRAMES)
    tab.page.evaluate("note(observer.takeRecords())")
    assert tab.page.evaluate("shifts") == []


@needs_chromium
def test_the_model_is_described(visit: Open, home: neuralbits.Classifier) -> None:
    tab = visit()
    tab.wait("card", "digest")
    card, manifest = tab.shown("card"), home.manifest
    assert manifest.digest in card
    assert f"{manifest.size:,} bytes" in card
    assert f"{manifest.threshold:,.0f}" in card
    assert f"accuracy {100 * manifest.provenance['metrics']['test']['accuracy']:.2f} %" in card
    assert manifest.provenance["command"] in card
    tab.page.locator("#card summary").click()
    assert tab.page.locator("#card li").all_text_contents() == list(manifest.labels)


@needs_chromium
def test_another_model_is_described_once_it_is_served(visit: Open, tmp_path: Path) -> None:
    path = tmp_path / "served.safetensors"
    shutil.copy(SHIPPED, path)
    with started(tmp_path, ["-m", "neuralbits.app"], environment(artifact=path, port=0)) as server:
        tab = visit(server)
        tab.wait("card", re.escape(neuralbits.load(path).manifest.digest))
        shutil.copy(SHIPPED.with_stem("clinc150"), path)
        server.process.send_signal(signal.SIGHUP)
        until(lambda: server.get("/readyz").json()["reload"])
        tab.page.evaluate("const now = performance.now(); performance.now = () => now + 11_000;")
        tab.enter("how do you say hello in french")
        other = neuralbits.load(path)
        tab.wait("card", re.escape(other.manifest.digest))
        assert tab.bars() == expected_bars(other, "how do you say hello in french")
        assert tab.shown("margin").endswith(" × the threshold")


@needs_chromium
@pytest.mark.parametrize("text", ["turn of teh lamp", "x" * 60])
def test_nothing_scrolls_sideways_at_320_pixels(visit: Open, text: str) -> None:
    tab = visit(viewport={"width": 320, "height": 640})
    tab.enter(text)
    tab.page.locator("#fragments").evaluate("fragments => { fragments.open = true; }")
    assert tab.page.evaluate("document.documentElement.scrollWidth") <= 320


@needs_chromium
def test_while_a_key_is_asked_for_there_is_nothing_empty(visit: Open, guarded: Server) -> None:
    tab = visit(guarded)
    tab.refused = True
    tab.page.locator("#unlock").wait_for()
    assert tab.page.locator("h2:visible, h3:visible").count() == 0
    tab.page.locator("#key").fill(KEY)
    tab.page.locator("#unlock button").click()
    tab.page.locator("#ngrams h2").wait_for()
    assert tab.page.locator("#answer").is_visible()


@needs_chromium
def test_words_explain_the_answer_first_and_fragments_on_demand(visit: Open) -> None:
    tab = visit()
    tab.enter("turn off the lamp")
    words = tab.page.locator("#words bdi").all_text_contents()
    assert sorted(words) == ["lamp", "off", "the", "turn"]
    assert not tab.page.locator("#for").is_visible()
    tab.page.locator("#fragments summary").click()
    assert tab.page.locator("#for").is_visible()


# ---- Faults --------------------------------------------------------------------------------------


@needs_chromium
def test_a_service_with_keys_is_unlocked_by_one(visit: Open, guarded: Server) -> None:
    tab = visit(guarded)
    tab.refused = True
    tab.wait("trouble", "^The service asks for an API key.$")
    playwright.expect(tab.page.locator("#key")).to_be_focused()
    tab.page.keyboard.type("not this one")
    tab.page.keyboard.press("Enter")
    tab.wait("trouble", "^The service doesn't take this API key.$")
    tab.page.keyboard.type(KEY)
    tab.page.keyboard.press("Enter")
    tab.wait("intent", "HassTurnOff")
    playwright.expect(tab.page.locator("#unlock")).to_be_hidden()
    playwright.expect(tab.page.locator("#text")).to_be_focused()
    assert tab.shown("trouble") == ""
    tab.page.reload()
    tab.wait("intent", "HassTurnOff")
    assert tab.page.evaluate("localStorage.length") == 0


@needs_chromium
def test_a_key_is_taken_though_nothing_can_be_stored(visit: Open, guarded: Server) -> None:
    forbid = "get() { throw new DOMException('forbidden', 'SecurityError'); }"
    tab = visit(
        guarded,
        script="".join(
            f"Object.defineProperty(globalThis, '{storage}', {{ {forbid} }});"
            for storage in ("localStorage", "sessionStorage")
        ),
    )
    tab.refused = True
    tab.page.locator("#key").fill(KEY)
    tab.page.keyboard.press("Enter")
    tab.wait("intent", "HassTurnOff")


@needs_chromium
def test_what_the_service_refuses_is_said_in_one_sentence(visit: Open, guarded: Server) -> None:
    tab = visit(guarded, script=f"sessionStorage.setItem('key', {json.dumps(KEY)});")
    tab.refused = True
    tab.wait("intent", "HassTurnOff")
    tab.page.locator("#text").fill("x" * 61)
    tab.wait("trouble", r"^The body doesn't fit at #/text: it must have .* at most 60\.")
    tab.page.locator("#text").fill("x" * 2000)
    tab.wait("trouble", r"^The body is larger than 2,000 bytes; send less at a time\.$")
    tab.enter("lights on")
    assert tab.shown("trouble") == ""
    assert tab.page.locator("#trouble").get_attribute("role") == "status"


@needs_chromium
def test_a_busy_service_is_asked_again_when_it_says(visit: Open) -> None:
    tab = visit()
    tab.refused = True
    tab.enter("lights on")
    busy = {"status": 503, "headers": {"Retry-After": "1"}, "json": {"detail": "It's busy."}}
    tab.page.route("**/classify", lambda route: route.fulfill(**busy), times=1)
    tab.page.locator("#text").fill("lights off")
    tab.wait("trouble", r"^The service is busy\. Trying again in 1 s\.$")
    tab.wait("reading", "^lights off$")
    assert tab.shown("trouble") == ""


@needs_chromium
def test_a_service_that_is_gone_is_waited_for(visit: Open, tmp_path: Path) -> None:
    settings = environment(artifact=SHIPPED, port=free_port())
    with started(tmp_path, ["-m", "neuralbits.app"], settings) as server:
        tab = visit(server)
        tab.refused = True
        tab.wait("intent", "HassTurnOff")
    tab.page.locator("#text").fill("lights on")
    tab.wait("trouble", r"^The service can't be reached\. Trying again in 2 s\.$")
    with started(tmp_path, ["-m", "neuralbits.app"], settings):
        tab.wait("reading", "^lights on$")
        assert tab.shown("trouble") == ""


# ---- In the browser ------------------------------------------------------------------------------


@needs_chromium
def test_the_model_runs_in_the_browser_and_the_network_is_idle(
    visit: Open, home: neuralbits.Classifier
) -> None:
    tab = visit()
    texts = ["turn of teh lamp", "hello there my friend", "éteins la lumière", "20 %"]
    answers = {}
    for text in texts:
        tab.enter(text)
        answers[text] = everything_shown(tab)
    tab.page.locator("[value=browser]").check()
    tab.wait("place", "the network is idle")
    before = len(tab.requests)
    for text in texts:
        tab.enter(text)
        assert everything_shown(tab) == answers[text]
        assert tab.bars() == expected_bars(home, text)
    scored = rows_of(tab.score("text\n{}\n".format("\n".join(texts)).encode()))
    assert [row[0] for row in scored[1:]] == texts
    for row, prediction in zip(scored[1:], home.classify_batch(texts), strict=True):
        assert row[1] == prediction.intent
        assert float(row[2]) == pytest.approx(prediction.confidence, abs=1e-9)
    assert len(tab.requests) == before
    assert re.search(r"\d ms of computing; .*; 0 requests since the switch", tab.shown("latency"))

    tab.page.locator("[value=server]").check()
    tab.wait("latency", "there and back")
    assert len(tab.requests) > before


def everything_shown(tab: Visit) -> list[Any]:
    """All that an answer changes, but for the times and the number of flips."""
    names = ("intent", "confidence", "scope", "margin", "shape", "winner", "for", "against")
    grid = tab.page.evaluate("document.querySelector('#bits canvas').toDataURL()")
    return [tab.bars(), grid, *map(tab.shown, names)]


@needs_chromium
def test_a_key_opens_the_model_for_the_browser_too(visit: Open, guarded: Server) -> None:
    tab = visit(guarded, script=f"sessionStorage.setItem('key', {json.dumps(KEY)});")
    tab.wait("intent", "HassTurnOff")
    tab.page.locator("[value=browser]").check()
    tab.wait("place", "the network is idle")
    tab.enter("lights on")


@needs_chromium
def test_a_model_that_cannot_run_in_the_browser_stays_on_the_server(
    visit: Open, unfit: Server
) -> None:
    tab = visit(unfit)
    tab.refused = True
    tab.wait("card", "digest")
    tab.page.locator("[value=browser]").click()
    tab.wait("place", "^The model can't run in a browser: .* float weights; train it")
    assert tab.page.locator("[value=browser]").is_disabled()
    assert tab.page.locator("[value=server]").is_checked()
    before = tab.shown("latency")
    tab.page.locator("#text").fill("lights on")
    tab.page.wait_for_function(
        "before => document.querySelector('#latency').textContent !== before", arg=before
    )


# ---- Tables --------------------------------------------------------------------------------------


def rows_of(content: bytes, delimiter: str = ",") -> list[list[str]]:
    return list(
        csv.reader(io.StringIO(content.decode("utf-8-sig"), newline=""), delimiter=delimiter)
    )


def assert_scored(
    content: bytes, returned: bytes, classifier: neuralbits.Classifier, delimiter: str = ","
) -> None:
    """Check that each row comes back as it was, with the classifier's answer to its ``text``."""
    (header, *rows), (new_header, *new_rows) = (
        rows_of(each, delimiter) for each in (content, returned)
    )
    assert new_header == [*header, "intent", "confidence", "in_scope"]
    assert [row[: len(header)] for row in new_rows] == rows
    answers = [
        (intent, float(confidence), in_scope)
        for intent, confidence, in_scope in (row[len(header) :] for row in new_rows)
    ]
    column = header.index("text")
    assert answers == [
        (each.intent, each.confidence, str(each.in_scope).lower())
        for each in classifier.classify_batch([row[column] for row in rows])
    ]


@needs_chromium
def test_a_table_comes_back_with_every_row_scored(visit: Open, home: neuralbits.Classifier) -> None:
    verbs, things = ("turn on", "turn off", "dim", 'say "hi" to'), ("lamp", "fan", "Küche 💡", "TV")
    texts = [
        f"{verbs[n % 4]} the {things[n // 4 % 4]}" + (",\nplease" if n % 7 == 0 else f" {n % 90} %")
        for n in range(3000)
    ]
    table = io.StringIO()
    csv.writer(table, lineterminator="\n").writerows(
        [["id", "text", "note"], *([n, text, "a, b"] for n, text in enumerate(texts))]
    )
    content = table.getvalue().encode()
    tab = visit()
    returned = tab.score(content)
    assert_scored(content, returned, home)
    outside = sum(not each.in_scope for each in home.classify_batch(texts))
    tab.wait("outcome", rf"^3,000 rows in [\d.]+ s, {outside:,} of them out of scope\.$")
    assert not tab.page.locator("#progress").is_visible()


DIALECTS = {
    "semicolons, a mark, CRLF": (b'\xef\xbb\xbftext;n\r\n"on; please";1\r\nlamp off;2\r\n', ";"),
    "tabs, no last line end": (b"n\ttext\n1\tlights on\n2\tlamp, off", "\t"),
    "quotes where none are needed": (b'"text","n"\n"lamp ""on""","1"\n"","2"\n', ","),
    "old line ends": (b"text,n\rlights on,1\rlamp off,2\r", ","),
    "line ends in cells": (b'n,text\r\n1,"a\r\nb\nc"\r\n2,"\n"\r\n', ","),
}


@needs_chromium
def test_a_table_keeps_its_dialect(visit: Open, home: neuralbits.Classifier) -> None:
    tab = visit()
    for content, delimiter in DIALECTS.values():
        returned = tab.score(content)
        assert_scored(content, returned, home, delimiter)
        added = f"{delimiter}intent{delimiter}confidence{delimiter}in_scope"
        added += rf"|{delimiter}\w+{delimiter}[\d.e-]+{delimiter}(true|false)"
        left = re.sub(rf"({added})(?=[\r\n]|$)", "", returned.decode())
        assert left.encode() == content


@needs_chromium
def test_a_table_in_utf_16_comes_back_in_utf_8_with_a_mark(visit: Open) -> None:
    returned = visit().score("text\nlights on\nküche\n".encode("utf-16"))
    assert returned.startswith(b"\xef\xbb\xbftext,intent")
    assert [row[:1] for row in rows_of(returned)] == [["text"], ["lights on"], ["küche"]]


@needs_chromium
def test_the_column_can_be_chosen_where_none_is_called_text(
    visit: Open, home: neuralbits.Classifier
) -> None:
    tab = visit()
    content = b"id,utterance\n1,lights on\n2,lamp off\n"
    tab.give(content)
    tab.wait("outcome", "^texts.csv has no column text: say which one holds the texts.$")
    tab.page.locator("#column").select_option("utterance")
    tab.page.locator("#go").click()
    rows = rows_of(tab.save())
    assert [row[2] for row in rows[1:]] == [
        home.classify(text).intent for text in ("lights on", "lamp off")
    ]


@needs_chromium
def test_a_table_can_be_dropped(visit: Open) -> None:
    tab = visit()
    tab.page.evaluate(
        """() => {
            const dataTransfer = new DataTransfer();
            dataTransfer.items.add(new File(["text\\nlights on\\n"], "dropped.csv"));
            document.querySelector("#drop").dispatchEvent(
                new DragEvent("drop", { dataTransfer, bubbles: true, cancelable: true }));
        }"""
    )
    tab.wait("result", "^Save dropped.scored.csv$")


UNREADABLE = {
    b"": "texts.csv is empty: its first line must name the columns.",
    b'"text\n': "Line 1 must name the columns, but opens a quotation mark that is never closed.",
    b"text\n\n": "texts.csv has no row that can be read: line 2 is blank.",
    b"text\nk\xfcche\n": (
        "texts.csv has no row that can be read: line 2 isn't UTF-8 and looks like Windows-1252."
    ),
    b"\x89PNG\r\n\x1a\n": "texts.csv is an image (PNG), no table: save it as CSV.",
    b"text,intent\nlamp,x\n": "Line 1: there is a column intent already; rename or remove it.",
}


@needs_chromium
def test_a_table_that_cannot_be_read_is_refused_with_the_line(visit: Open) -> None:
    tab = visit()
    for content, sentence in UNREADABLE.items():
        tab.give(content)
        tab.wait("outcome", f"^{re.escape(sentence)}$")


@needs_chromium
def test_lines_that_cannot_be_read_are_set_aside_with_their_reasons(
    visit: Open, home: neuralbits.Classifier
) -> None:
    tab = visit()
    good = b"text,n\nlights on,1\nlamp off,2\n"
    content = b'text,n\nlights on,1\none field\n\n"a"b,1\nk\xfcche,2\nlamp off,2\n'
    assert_scored(good, tab.score(content), home)
    tab.wait(
        "outcome",
        r"^2 rows .* Set aside: line 3 has 1 field where the header has 2; line 4 is blank; "
        r"line 5 goes on after a closing quotation mark; .*; and 1 more\.$",
    )


@needs_chromium
def test_a_service_that_takes_little_gets_little_at_a_time(
    visit: Open, guarded: Server, home: neuralbits.Classifier
) -> None:
    tab = visit(guarded, script=f"sessionStorage.setItem('key', {json.dumps(KEY)});")
    tab.refused = True
    tab.wait("intent", "HassTurnOff")
    content = b"text\n" + b"".join(b"turn off lamp number %d\n" % n for n in range(300))
    assert_scored(content, tab.score(content), home)
    tab.give(b'text\n"a\nb"\n%s\n' % (b"x" * 61))
    tab.wait("outcome", "^Line 4: its text can't be scored; it must have .* at most 60.$")


@needs_chromium
def test_scoring_can_be_stopped(visit: Open) -> None:
    tab = visit()
    tab.wait("intent", "HassTurnOff")
    tab.page.route("**/classify/batch", lambda route: None)  # no answer ever comes
    tab.give(b"text\n" + b"lamp\n" * 1000)
    tab.wait("outcome", "^Scoring 1,000 rows of texts.csv.$")
    tab.page.locator("#stop").click()
    tab.wait("outcome", "^Stopped; texts.csv wasn't scored.$")
    assert not tab.page.locator("#result").is_visible()
    assert sum(url.endswith("/batch") for url in tab.requests) == 1


@needs_chromium
def test_another_table_takes_the_place_of_one_that_is_being_scored(
    visit: Open, home: neuralbits.Classifier
) -> None:
    tab = visit()

    def answer_the_second(route: Any) -> None:
        # Not by their order: the request of the first is withdrawn, perhaps before it gets here.
        if "lights on" in route.request.post_data:
            route.continue_()

    tab.page.route("**/classify/batch", answer_the_second)
    tab.give(b"text\n" + b"lamp\n" * 1000, "first.csv")
    tab.wait("outcome", "^Scoring 1,000 rows of first.csv.$")
    content = b"text\nlights on\n"
    assert_scored(content, tab.score(content), home)
    tab.wait("outcome", "^1 row in")


# ---- For everybody -------------------------------------------------------------------------------


@needs_chromium
@pytest.mark.parametrize("look", ["light", "dark", "phone"])
def test_axe_finds_nothing(visit: Open, look: str) -> None:
    scheme = "dark" if "dark" in look else "light"
    tab = visit(color_scheme=scheme, **(PHONE if "phone" in look else {}))
    tab.page.locator("#card summary").click()
    tab.enter("lights on in the kitchen")
    assert Axe().run(tab.page).generate_snapshot() == ""
    tab.enter("hello there my friend")
    tab.score(b"text\nlights on\n")
    tab.page.evaluate("document.querySelector('#unlock').hidden = false")
    tab.page.evaluate("document.querySelector('#trouble').textContent = 'It is busy.'")
    assert Axe().run(tab.page).generate_snapshot() == ""


@needs_chromium
def test_the_page_fits_a_phone(visit: Open) -> None:
    tab = visit(**PHONE)
    tab.enter("set the temperature in the kitchen to 20 degrees")
    assert tab.page.evaluate("document.documentElement.scrollWidth <= innerWidth")


@needs_chromium
def test_everything_can_be_done_by_keyboard_and_the_focus_is_seen(visit: Open) -> None:
    tab = visit()
    press = tab.page.keyboard.press
    tab.wait("card", "digest")
    tab.page.locator("nav a").focus()
    walked = []
    for _ in range(7):
        name, outline = tab.page.evaluate(
            """(() => {
                const focused = document.activeElement;
                const hidden = focused.matches("#file, [type=radio]");
                const marked = hidden ? focused.closest("label") : focused;
                return [focused.value || focused.id || focused.textContent.slice(0, 20),
                        getComputedStyle(marked).outlineStyle];
            })()"""
        )
        assert outline == "solid", name
        walked.append(name)
        press("Tab")
    fragments = "The fragments of wor"
    assert walked == ["API", "theme", "server", "turn of teh lamp", fragments, "file", "42"]

    press("Shift+Tab")
    press("Enter")
    assert tab.page.locator("#card details").get_attribute("open") is not None
    for _ in range(3):
        press("Shift+Tab")
    tab.page.keyboard.type("lights on")  # into a text that is selected
    tab.wait("reading", "^lights on$")
    press("Shift+Tab")
    press("ArrowRight")
    tab.wait("place", "the network is idle")
    press("Shift+Tab")
    press("Enter")
    assert tab.page.locator("html").get_attribute("data-theme") == "dark"


@needs_chromium
def test_the_colours_can_be_chosen_and_stay_chosen(visit: Open) -> None:
    tab = visit(color_scheme="dark")
    ground = "getComputedStyle(document.documentElement).backgroundColor"
    tab.wait("intent", "HassTurnOff")
    dark = tab.page.evaluate(ground)
    tab.page.get_by_role("button", name="Light colours").click()
    light = tab.page.evaluate(ground)
    assert light != dark
    tab.page.reload()
    tab.wait("intent", "HassTurnOff")
    assert tab.page.evaluate(ground) == light
