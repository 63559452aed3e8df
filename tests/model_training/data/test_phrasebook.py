from importlib import resources

import home_assistant_intents
import pytest
from hassil.intents import Intents
from hassil.parse_expression import parse_sentence

from neuralbits.model_training.data import home_assistant, phrasebook

LANGUAGES = sorted(
    file.name.removesuffix(".txt")
    for file in (resources.files(phrasebook.__package__) / "phrasebooks").iterdir()
)


def test_a_phrasebook_is_parsed_into_sections_without_comments() -> None:
    text = "# head\nHassTurnOff:\n  lights out\n  # a remark\n\n  kill the {light}\nnear:\n  a b\n"
    assert phrasebook.parse(text) == {
        "HassTurnOff": ["lights out", "kill the {light}"],
        "near": ["a b"],
    }


def test_a_dialect_reads_the_phrasebook_of_its_language() -> None:
    assert phrasebook.read("de-CH") == phrasebook.read("de")
    assert phrasebook.read("gl") == {}


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_phrasebook_names_intents_and_slots_that_its_language_has(language: str) -> None:
    intents = Intents.from_dict(home_assistant_intents.get_intents(language) or {})
    slots = {*home_assistant.NAMES, *home_assistant.FILLERS, *intents.slot_lists}
    for section, lines in phrasebook.read(language).items():
        assert section in intents.intents or section in phrasebook.KINDS
        for line in lines:
            assert set(parse_sentence(line).list_names()) <= slots, line


def test_no_line_stands_twice_in_a_phrasebook() -> None:
    for language in LANGUAGES:
        lines = [line for lines in phrasebook.read(language).values() for line in lines]
        assert len(lines) == len(set(lines)), language


def test_conversations_are_short_and_named_with_their_licence() -> None:
    english = phrasebook.conversations("en")
    assert len(english) > 1000
    assert max(map(len, english)) <= phrasebook.MAX_CHARACTERS
    assert phrasebook.conversations("pl") == []
    assert {"BSD-3-Clause"} == {source["licence"] for source in phrasebook.sources("ru")}
