import hashlib
import os
import subprocess
import sys
from collections import Counter
from random import Random

import home_assistant_intents
import pytest
from hassil.intents import Intents, SlotList, TextSlotList
from hassil.recognize import recognize_all

from neuralbits.model_training.data import home_assistant
from neuralbits.model_training.data.home_assistant import FILLERS, NAMES, Splits
from neuralbits.text import key, tokens
from tests.support.tiers import some


@pytest.fixture(scope="module")
def english() -> Splits:
    return home_assistant.load("en")


def intents_of(language: str) -> Intents:
    data = home_assistant_intents.get_intents(language)
    assert data
    return Intents.from_dict(data)


def texts(examples: list[tuple[str, str]]) -> set[str]:
    return {key(text) for text, _ in examples}


def test_the_english_splits_have_the_sizes_that_a_demo_needs(english: Splits) -> None:
    assert 10_000 <= len(english.train) <= 20_000
    assert 1_000 <= len(english.validation) <= 2_500
    assert 1_000 <= len(english.test) <= 2_500
    assert {"HassTurnOn", "HassTurnOff", "HassGetWeather", "HassStartTimer"} <= {
        intent for _, intent in english.test
    }


def test_no_sentence_is_in_two_splits_whatever_its_case(english: Splits) -> None:
    train, validation, test = map(texts, (english.train, english.validation, english.test))
    assert not train & validation
    assert not train & test
    assert not validation & test
    assert len(train) == len(english.train)


def test_no_sentence_has_two_intents() -> None:
    splits = home_assistant.load("ru")
    assert splits.contradictory
    examples = [*splits.train, *splits.validation, *splits.test]
    assert len(texts(examples)) == len(examples)
    assert not texts(examples) & set(splits.contradictory)


def test_what_an_earlier_split_has_is_left_out_of_the_later_and_named() -> None:
    splits = home_assistant.load("bg")
    assert splits.repeated
    assert {key(text) for text in splits.repeated} <= texts(splits.train + splits.validation)


def test_the_same_template_never_serves_training_and_test() -> None:
    intents = intents_of("en")
    templates = home_assistant._templates(intents, "HassTurnOff")
    dealt = home_assistant._deal("HassTurnOff", templates, intents.expansion_rules, Random(0))
    assert sum(map(len, dealt.values())) == len(templates)
    ids = [{id(template) for template in part} for part in dealt.values()]
    assert not ids[0] & ids[1] | ids[0] & ids[2] | ids[1] & ids[2]
    assert len(dealt["test"]) == round(0.15 * len(templates))


def test_half_of_the_names_in_the_test_were_never_seen_in_training(english: Splits) -> None:
    values = {value for names in (*NAMES.values(), *FILLERS.values()) for value in names}

    def used(examples: list[tuple[str, str]]) -> Counter[str]:
        padded = [f" {text} " for text, _ in examples]
        return Counter(
            {value: n for value in values if (n := sum(f" {value} " in text for text in padded))}
        )

    train, test = used(english.train), used(english.test)
    unseen = sum(count for value, count in test.items() if value not in train)
    assert 0.2 < unseen / test.total() < 0.6


def test_an_intent_that_cant_be_held_out_is_trained_on_and_named() -> None:
    splits = home_assistant.load("nl", per_intent=20, per_template=2, held_out_per_intent=3)
    unmeasured = {"HassNevermind", "HassRespond"}
    assert unmeasured <= set(splits.training_only)
    assert unmeasured <= {intent for _, intent in splits.train}
    assert not unmeasured & {intent for _, intent in splits.validation + splits.test}


def test_no_intent_and_no_template_swamps_the_others(english: Splits) -> None:
    templates = [pair for pair in english.train if key(pair[0]) not in english.colloquial]
    assert max(Counter(intent for _, intent in templates).values()) <= 420
    assert max(Counter(intent for _, intent in english.test).values()) <= 120


def test_each_short_command_of_a_template_or_phrasebook_is_in_training(english: Splits) -> None:
    """A split must not hide a canonical command, such as "pause", from the product."""
    train = {key(text): intent for text, intent in english.train}
    for text, intent in (
        ("pause", "HassMediaPause"),
        ("resume", "HassMediaUnpause"),
        ("next", "HassMediaNext"),
        ("mute", "HassMediaPlayerMute"),
        ("lights out", "HassTurnOff"),
        ("lights on", "HassTurnOn"),
        ("cancel", "HassNevermind"),
        ("stop mowing", "HassLawnMowerDock"),
        ("volume up", "HassSetVolumeRelative"),
    ):
        assert train.get(text) == intent


def test_what_means_nothing_without_context_is_out_of_scope_and_in_training(
    english: Splits,
) -> None:
    ambiguous = {key(text) for text, kind in english.out_of_scope["train"] if kind == "ambiguous"}
    assert {"stop", "turn it off", "yes"} <= ambiguous
    assert not ambiguous & texts([*english.train, *english.validation, *english.test])
    assert "stop" in english.contradictory  # which Home Assistant, too, decides by context


def test_out_of_scope_texts_are_split_by_template_and_no_commands(english: Splits) -> None:
    outside = {split: texts(pairs) for split, pairs in english.out_of_scope.items()}
    assert not outside["train"] & outside["test"] | outside["validation"] & outside["test"]
    commands = texts([*english.train, *english.validation, *english.test])
    for split, kinds in english.out_of_scope.items():
        assert {"near", "far", "conversations"} <= {kind for _, kind in kinds}, split
        assert not outside[split] & commands


def test_colloquial_commands_of_the_test_have_other_templates_than_those_of_training() -> None:
    lines = [f"phrase number {i} [of some]" for i in range(20)]
    dealt = home_assistant._deal_phrases(lines, Random(0))
    assert {split: len(part) for split, part in dealt.items()} == {
        "train": 14,
        "validation": 3,
        "test": 3,
    }
    assert len({id(template) for part in dealt.values() for template in part}) == 20


def test_home_assistants_own_matcher_hears_the_intent_in_each_sentence(english: Splits) -> None:
    """Proves sampling against the grammar's own reader, on two sentences of each intent."""
    intents = intents_of("en")
    slots: dict[str, SlotList] = {
        name: TextSlotList.from_strings(FILLERS[name]) for name in ("area", "floor")
    }
    slots["name"] = TextSlotList.from_tuples(
        (name, name, {"domain": domain}) for domain, names in NAMES.items() for name in names
    )
    chosen: Counter[str] = Counter()
    for text, intent in english.test:
        if key(text) in english.colloquial:
            continue
        chosen[intent] += 1
        if chosen[intent] <= 2:
            heard = recognize_all(
                text, intents, slot_lists=slots, intent_context={"area": "x"}, language="en"
            )
            assert any(result.intent.name == intent for result in heard), (text, intent)


def test_the_same_seed_gives_the_same_sentences_in_every_process(english: Splits) -> None:
    program = (
        "import hashlib; from neuralbits.model_training.data import home_assistant as h;"
        "s = h.load('en'); drawn = s.train, s.validation, s.test, s.out_of_scope, s.contradictory;"
        "print(hashlib.sha256(repr(drawn).encode()).hexdigest())"
    )
    environment = os.environ | {"PYTHONHASHSEED": "1234"}
    printed = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, check=True
    ).stdout
    e = english
    drawn = e.train, e.validation, e.test, e.out_of_scope, e.contradictory
    assert printed.decode().strip() == hashlib.sha256(repr(drawn).encode()).hexdigest()


def test_another_seed_gives_another_split(english: Splits) -> None:
    other = home_assistant.load("en", seed=1)
    assert other.test != english.test
    assert other.provenance["sha256"] == english.provenance["sha256"]


def test_the_provenance_names_source_licence_version_and_checksum(english: Splits) -> None:
    provenance = english.provenance
    assert provenance["name"] == "home-assistant-en"
    assert provenance["licence"] == "Apache-2.0"
    assert [source["licence"] for source in provenance["out_of_scope"]] == [
        "Apache-2.0",
        "BSD-3-Clause",
    ]
    assert provenance["package"].startswith("home-assistant-intents 20")
    assert len(provenance["sha256"]) == 64


@pytest.mark.parametrize("language", some(home_assistant.languages(), step=8))
def test_every_language_can_be_sampled(language: str) -> None:
    offered = len(intents_of(language).intents)
    splits = home_assistant.load(language, per_intent=8, per_template=2, held_out_per_intent=3)
    trained = {intent for _, intent in splits.train}
    assert len(trained) >= min(5, offered)
    assert len(trained) + len(splits.left_out) == offered
    assert splits.validation
    assert {intent for _, intent in splits.validation + splits.test} <= trained
    for text, _ in [*splits.train, *splits.validation, *splits.test]:
        assert tokens(text)
        assert not set(text) & set("{}<>[]|"), text


def test_an_unknown_language_is_refused_with_the_ones_there_are() -> None:
    with pytest.raises(home_assistant.UnknownLanguageError) as refusal:
        home_assistant.load("tlh")
    assert "'tlh'" in str(refusal.value)
    assert "de, de-CH, el, en" in str(refusal.value)
