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
    assert 6_000 <= len(english.train) <= 10_000
    assert 1_000 <= len(english.validation) <= 2_000
    assert 1_000 <= len(english.test) <= 2_000
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


def test_an_intent_that_cant_be_held_out_is_trained_on_and_named(english: Splits) -> None:
    unmeasured = {"HassNevermind", "HassRespond"}
    assert set(english.training_only) == unmeasured
    assert unmeasured <= {intent for _, intent in english.train}
    assert not unmeasured & {intent for _, intent in english.validation + english.test}


def test_no_intent_and_no_template_swamps_the_others(english: Splits) -> None:
    assert max(Counter(intent for _, intent in english.train).values()) <= 260
    assert max(Counter(intent for _, intent in english.test).values()) <= 40


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
        chosen[intent] += 1
        if chosen[intent] <= 2:
            heard = recognize_all(
                text, intents, slot_lists=slots, intent_context={"area": "x"}, language="en"
            )
            assert any(result.intent.name == intent for result in heard), (text, intent)


def test_the_same_seed_gives_the_same_sentences_in_every_process(english: Splits) -> None:
    program = (
        "import hashlib; from neuralbits.model_training.data import home_assistant as h;"
        "print(hashlib.sha256(repr(h.load('en')).encode()).hexdigest())"
    )
    environment = os.environ | {"PYTHONHASHSEED": "1234"}
    printed = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, check=True
    ).stdout
    assert printed.decode().strip() == hashlib.sha256(repr(english).encode()).hexdigest()


def test_another_seed_gives_another_split(english: Splits) -> None:
    other = home_assistant.load("en", seed=1)
    assert other.test != english.test
    assert other.provenance["sha256"] == english.provenance["sha256"]


def test_the_provenance_names_source_licence_version_and_checksum(english: Splits) -> None:
    provenance = english.provenance
    assert provenance["name"] == "home-assistant-en"
    assert provenance["licence"] == "Apache-2.0"
    assert provenance["package"].startswith("home-assistant-intents 20")
    assert len(provenance["sha256"]) == 64


@pytest.mark.parametrize("language", home_assistant.languages())
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
