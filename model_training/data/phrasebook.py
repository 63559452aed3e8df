"""What people say at home that no template of Home Assistant has: commands, and talk that is none.

A phrasebook, ``phrasebooks/<language>.txt``, was written for this project. Its sections are
intents, with colloquial commands, and three kinds of out-of-scope texts: ``near`` misses, which use
a home's words in another meaning; ``far`` ones; and ``ambiguous`` ones, for which a wrong guess
would do something. Each line is a template in hassil's syntax.

`conversations` are the texts of ``chatterbot-corpus`` (BSD 3-Clause), talk with a chatbot in 27
languages.
"""

from collections import defaultdict
from importlib import resources
from importlib.metadata import version
from typing import Any

import yaml

NEAR, FAR, AMBIGUOUS, CONVERSATIONS = "near", "far", "ambiguous", "conversations"
KINDS = (NEAR, FAR, AMBIGUOUS)
MAX_CHARACTERS = 80  # of a sentence: some of the corpus are whole paragraphs or programs

_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # libyaml's is ten times faster

_CHATTERBOT = {
    "bn": "bengali",
    "de": "german",
    "en": "english",
    "es": "spanish",
    "fa": "persian",
    "fr": "french",
    "he": "hebrew",
    "hi": "hindi",
    "id": "indonesian",
    "it": "italian",
    "ja": "japanese",
    "ko": "korean",
    "mr": "marathi",
    "nl": "dutch",
    "pt": "portuguese",
    "ru": "russian",
    "sv": "swedish",
    "ta": "tamil",
    "te": "telugu",
    "th": "thai",
    "tr": "turkish",
    "uk": "ukrainian",
    "ur": "urdu",
    "zh-CN": "chinese",
    "zh-HK": "traditionalchinese",
    "zh-TW": "traditionalchinese",
}


def sources(language: str) -> list[dict[str, str]]:
    """Return name and licence of all that a language's out-of-scope texts come from."""
    found = []
    if read(language):
        found.append({"name": "the phrasebook of neuralbits", "licence": "Apache-2.0"})
    if conversations(language):
        name = f"chatterbot-corpus {version('chatterbot-corpus')}"
        found.append({"name": name, "licence": "BSD-3-Clause"})
    return found


def read(language: str) -> dict[str, list[str]]:
    """Return the templates of a language's phrasebook by section; empty if it has none.

    A dialect without a phrasebook has its language's: ``de-CH`` reads ``de``.
    """
    folder = resources.files(__package__) / "phrasebooks"
    for name in (language, language.partition("-")[0]):
        file = folder / f"{name}.txt"
        if file.is_file():
            return parse(file.read_text(encoding="utf-8"))
    return {}


def parse(text: str) -> dict[str, list[str]]:
    r"""Parse a phrasebook: indented lines below the name of their section; ``#`` begins a comment.

    Example:
        >>> parse("HassTurnOff:\n  lights out\n  # a remark\n  kill the {light}")
        {'HassTurnOff': ['lights out', 'kill the {light}']}
    """
    sections: dict[str, list[str]] = defaultdict(list)
    section = ""
    for line in text.splitlines():
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        if line.startswith(" "):
            sections[section].append(line.strip())
        else:
            section = line.strip().removesuffix(":")
    return dict(sections)


def conversations(language: str) -> list[str]:
    """Return the distinct sentences of chatterbot-corpus in a language; none if it has none."""
    for name in (language, language.partition("-")[0]):
        if name in _CHATTERBOT:
            folder = resources.files("chatterbot_corpus") / "data" / _CHATTERBOT[name]
            break
    else:
        return []
    texts: dict[str, None] = {}
    for file in sorted(folder.iterdir(), key=lambda file: file.name):
        talks: Any = yaml.load(file.read_text(encoding="utf-8"), _LOADER)["conversations"]
        sentences = (str(sentence).strip() for talk in talks for sentence in talk)
        texts |= dict.fromkeys(s for s in sentences if len(s) <= MAX_CHARACTERS and "\n" not in s)
    return list(texts)
