"""The words that docs/style.md refuses are found where they stand."""

from tools.check_words import GENERATED, ROOT, STYLE, findings, vocabulary

TABLE = """
| not | but |
|---|---|
| colour, colours | color |
| by hand | manually |
"""
WORDS = vocabulary(TABLE)


def test_a_refused_word_is_found_with_its_line_and_its_replacement() -> None:
    text = "Choose a shade.\nColours are mixed\nby hand."
    assert findings(text, WORDS) == [(2, "Colours", "color"), (3, "by hand", "manually")]


def test_each_occurrence_in_a_line_is_found() -> None:
    assert len(findings("colour, colour", WORDS)) == 2


def test_text_in_plain_words_gives_nothing() -> None:
    assert findings("Mix colors manually.", WORDS) == []


def test_a_word_within_another_is_not_refused() -> None:
    assert findings("colourful by handles", WORDS) == []


def test_the_style_guide_has_words_to_refuse() -> None:
    words = vocabulary((ROOT / STYLE).read_text(encoding="utf-8"))
    assert len(words) > 20
    assert "not" not in words  # the table's head


def test_the_generated_files_exist() -> None:
    assert all(list(ROOT.glob(pattern)) for pattern in GENERATED)
