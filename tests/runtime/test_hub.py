"""Artifacts on the Hugging Face Hub: tested with the real client against a small server."""

import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import neuralbits
from neuralbits.hub import Address, HubError
from neuralbits.manifest import ArtifactError
from tests.support.commands import run
from tests.support.hub import TOKEN, Hub, serving
from tests.support.paths import ROOT

SHIPPED = ROOT / "artifacts" / "home-assistant-en.safetensors"
TEXT = "turn off the lamp"


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """A Hub, and processes that find it and have an empty cache."""
    with serving() as server:
        monkeypatch.setenv("HF_ENDPOINT", server.url)
        monkeypatch.setenv("HF_HOME", str(tmp_path / "cache"))
        monkeypatch.setenv("HF_TOKEN", TOKEN)
        monkeypatch.setenv("HF_HUB_DISABLE_TELEMETRY", "1")
        monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
        yield server


def test_a_pushed_artifact_and_its_card_are_what_is_loaded(hub: Hub, tmp_path: Path) -> None:
    mine = tmp_path / "mine.safetensors"
    shutil.copy(SHIPPED, mine)
    shutil.copy(SHIPPED.with_suffix(".md"), mine.with_suffix(".md"))
    pinned = run("push", mine, "hf://acme/lamp").strip()
    revision = hub.revisions("acme/lamp")[-1]
    assert pinned == f"hf://acme/lamp@{revision}"
    assert hub.commits["acme/lamp"][-1] == {
        "mine.safetensors": SHIPPED.read_bytes(),
        "README.md": SHIPPED.with_suffix(".md").read_bytes(),
    }
    assert not hub.private["acme/lamp"]

    classify = ("classify", pinned, TEXT)
    assert run(*classify) == run("classify", SHIPPED, TEXT)
    code = f"import neuralbits; print(neuralbits.load({pinned!r}).classify({TEXT!r}).intent)"
    printed = run(command=[sys.executable, "-c", code]).strip()
    assert printed == neuralbits.load(SHIPPED).classify(TEXT).intent


def test_a_pinned_revision_stays_and_the_branch_moves(hub: Hub) -> None:
    first = hub.commit("acme/lamp", {"lamp.safetensors": SHIPPED.read_bytes()})
    clinc150 = SHIPPED.with_name("clinc150.safetensors").read_bytes()
    hub.commit("acme/lamp", {"lamp.safetensors": clinc150})
    assert "HassTurnOff" in run("classify", f"hf://acme/lamp@{first}", TEXT)
    assert "HassTurnOff" not in run("classify", "hf://acme/lamp", TEXT)


def test_what_was_fetched_is_there_without_network(
    hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.commit("acme/lamp", {"lamp.safetensors": SHIPPED.read_bytes()})
    fetched = run("classify", "hf://acme/lamp", TEXT)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    hub.requests.clear()
    assert run("classify", "hf://acme/lamp", TEXT) == fetched
    assert hub.requests == []
    refused = run("classify", "hf://acme/other", TEXT, code=1)
    assert "hf://acme/other: the Hub can't be reached" in refused


def test_a_private_repository_is_made_private(hub: Hub) -> None:
    run("push", "home-assistant-en", "hf://acme/secret", "--private")
    assert hub.private["acme/secret"]


def test_what_the_hub_refuses_is_a_sentence(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    hub.commit("acme/two", {f"{name}.safetensors": b"" for name in "ab"})
    hub.commit("acme/none", {"model.bin": b""})
    for address, error in [
        ("hf://acme/nothing", "has no such repository, or it is private"),
        ("hf://acme/two@v9", "has no such revision"),
        ("hf://acme/two", "must have one .safetensors file at its top; it has a.safetensors, b."),
        ("hf://acme/none", "it has none"),
    ]:
        printed = run("classify", address, TEXT, code=1)
        assert error in printed.splitlines()[-1]
        assert "Traceback" not in printed
    monkeypatch.setenv("HF_TOKEN", "hf_" + "b" * 34)
    printed = run("push", SHIPPED, "hf://acme/two", code=1)
    assert "hf://acme/two: the Hub" in printed
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    printed = run("push", SHIPPED, "hf://acme/two", code=1)
    assert "hf://acme/two: the Hub can't be reached" in printed


def test_only_an_artifact_is_pushed(hub: Hub, tmp_path: Path) -> None:
    notes = tmp_path / "notes.safetensors"
    notes.write_text("milk")
    assert str(notes) in run("push", notes, "hf://acme/lamp", code=1)
    assert hub.requests == []


def test_a_missing_package_is_named_with_its_extra(tmp_path: Path) -> None:
    (tmp_path / "huggingface_hub.py").write_text(
        "raise ModuleNotFoundError(name='huggingface_hub')"
    )
    code = (
        f"import sys; sys.path.insert(0, {str(tmp_path)!r}); import neuralbits; "
        "from neuralbits.errors import ending_in_a_sentence\n"
        "with ending_in_a_sentence('x'): neuralbits.load('hf://acme/lamp')"
    )
    printed = run(command=[sys.executable, "-c", code], code=1)
    assert printed == "x: this needs huggingface_hub: pip install 'neuralbits[hub]'\n"


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("hf://acme/lamp", Address("acme/lamp")),
        ("hf://acme/lamp@main", Address("acme/lamp", "main")),
        ("hf://a.b/c-d_e@refs/pr/1", Address("a.b/c-d_e", "refs/pr/1")),
    ],
)
def test_addresses(text: str, address: Address) -> None:
    assert Address.parse(text) == address
    assert str(address) == text


@pytest.mark.parametrize(
    "text", ["hf://", "hf://lamp", "hf://a/b/c", "hf://a/b@", "hf:/a/b", "hf://a/b@x\n"]
)
def test_other_addresses_are_refused(text: str) -> None:
    with pytest.raises(HubError, match="write hf://owner/name"):
        Address.parse(text)
    if text.startswith("hf://"):
        with pytest.raises((HubError, ArtifactError)):
            neuralbits.load(text)
