"""The default data set: the sentence templates of Home Assistant, sampled.

``home-assistant-intents`` (Apache-2.0) holds, for 65 languages, the templates that Home Assistant
matches spoken commands with, such as ``<turn> on [<the>] {name} [in] [<the>] {area}``. hassil, its
own parser, reads them; here they are sampled in two steps. A *form* is a template with its
alternatives, optionals and rules chosen and its slots still open ("turn on the {name}"); filling
the slots gives a sentence ("turn on the floor lamp").

**The split.** The templates of each intent, not the sentences, are dealt into training (70 %),
validation and test (15 % each), so that a test asks for sentences of a form never seen: no form
and no sentence is in two splits, where texts of the same tokens (whatever their case, accents and
punctuation) are the same. An intent with fewer than 10 templates would lose too much of its
wording to such a deal, so its templates are first opened at their leftmost choice, again and
again, until there are 10 ("(add|put) {item} …" becomes two). An intent that has fewer than 3 parts
even so ("nevermind", "never mind") is in the training split alone, where a product needs it. So is
``HassRespond``: its templates ("hello", "who made you") have nothing in common but that a fixed
answer exists, so that one held out could only be guessed. `Splits.training_only` names these
intents: what was never held out isn't measured.

**The names.** The templates leave ``{name}``, ``{area}``, ``{floor}`` and free text open. English
fills them from the lists below, a device by the domain that its template asks for (a lock is
locked, a scene is activated). These values are split as well: half of the values drawn for
validation and test were never seen in training. ``{timer_command}`` ("… in five minutes") is
filled with a command of the same language and the same split. The other languages' data hold no
such lists either, so they are filled with the English names (which users of any language give to
many devices); everything else, numbers in words included, is in the language itself.

**Colloquial commands.** A phrasebook (phrasebook.py) adds commands that no template has ("kill the
lights"). They are split by template, too: a test asks for paraphrases never seen.

**Short sentences** of one or two words are canonical ("pause", "lights off"), so that each is in
the training split, whichever split its template is in.

**The labels.** Home Assistant tells some equal sentences apart by what is in the room. Without that
context there is no right answer, so a sentence that two intents claim is left out of all splits and
counted, as is one that the phrasebook calls ambiguous ("stop").

**Out-of-scope texts** are the phrasebook's and those of `phrasebook.conversations`, split likewise.
The ambiguous ones are all for training. A text that is a command, too, is left out.

**Politeness.** One sentence in ten has one of the language's own skip words ("please", "can you")
in front or, if it is a single word, behind.

Sampling depends on the seed alone: only ``Random.random()``, whose sequence Python guarantees
across versions, is drawn from.
"""

import hashlib
import re
import sys
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from itertools import permutations
from pathlib import Path
from random import Random
from typing import Any, TypeVar

import home_assistant_intents
from hassil.expression import (
    Alternative,
    Expression,
    Group,
    ListReference,
    Permutation,
    RuleReference,
    Sentence,
    TextChunk,
)
from hassil.intents import Intents, RangeSlotList, TextSlotList
from hassil.numbers import get_rbnf_engine
from hassil.parse_expression import parse_sentence
from hassil.util import CJK_WHITESPACE

from neuralbits.text import key, tokens

from . import phrasebook

T = TypeVar("T")
Rules = dict[str, Sentence]
Texts = dict[str, dict[str, dict[str, str]]]  # split -> intent -> tokens -> sentence
Split = dict[str, list[tuple[str, str]]]  # split -> (text, intent)

SPLITS = ("train", "validation", "test")
ENOUGH_TEMPLATES = 10  # an intent with fewer has its templates opened at their alternatives
HELD_OUT = 0.15  # of an intent's templates and of a list's values, in validation and test each
SPELT_OUT = 0.25  # of the numbers: speech recognisers write both "20" and "twenty"
SHORT, SHORT_UNSPACED = 2, 4  # words, or characters where a space separates no words
# Thai, Lao, Burmese, Khmer, kana and Han.
UNSPACED = re.compile(
    "[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff]"
)
SHORT_SAMPLES = 3  # of a short form with slots
PER_PHRASE = {"train": 16, "validation": 6, "test": 6}  # sentences of a phrasebook's template
PER_AMBIGUOUS = 200  # sentences of an ambiguous one: all, or nearly
POLITE = 0.1  # of the sentences begin or end with one of the language's skip words
UNRELATED = ("HassRespond",)  # intents whose templates have no wording in common
COMMANDS = ("HassTurnOn", "HassTurnOff", "HassLightSet")  # what a timer may be asked to do


def _values(text: str) -> tuple[str, ...]:
    return tuple(value.strip() for value in text.split(","))


NAMES = {
    "light": _values(
        "floor lamp, ceiling light, desk lamp, bedside lamp, reading light, kitchen light, "
        "hallway lights, porch light, night light, chandelier, led strip, spotlights, "
        "christmas tree, corner lamp, island pendants, bedroom light, garden lights, lava lamp"
    ),
    "switch": _values(
        "coffee maker, kettle, space heater, dehumidifier, washing machine, christmas lights, "
        "power strip, fountain, air purifier, towel warmer"
    ),
    "fan": _values(
        "ceiling fan, desk fan, tower fan, extractor fan, bathroom fan, bedroom fan, fan, "
        "kitchen fan, big fan, window fan, exhaust fan, pedestal fan"
    ),
    "cover": _values(
        "garage door, left curtain, bedroom blinds, patio awning, skylight, front gate, "
        "roller shutter, living room shades, balcony blind, kitchen curtains"
    ),
    "lock": _values("front door, back door, side entrance, cellar door, garden gate, main door"),
    "valve": _values("water main, lawn sprinkler, drip irrigation, gas valve, garden hose"),
    "media_player": _values(
        "tv, kitchen speaker, sonos, soundbar, living room tv, bedroom speaker, record player, "
        "apple tv, stereo, nest hub, television, chromecast, radio, home theater, projector, "
        "speakers, echo, bathroom radio, roku, music player"
    ),
    "climate": _values(
        "thermostat, air conditioner, heat pump, radiator, underfloor heating, ac, heater, "
        "heating, air con, nest, boiler, bedroom radiator, living room thermostat"
    ),
    "scene": _values(
        "movie night, good morning, dinner party, bedtime, relax, reading, sunset, romantic"
    ),
    "script": _values("goodnight routine, party time, leaving home, wake up routine, lockdown"),
    "button": _values("doorbell chime, restart router, feed the cat, open the gate, reset filter"),
    "input_boolean": _values("guest mode, vacation mode, quiet hours, away mode, cleaning day"),
    "vacuum": _values(
        "roomba, vacuum cleaner, robot vacuum, roborock, hoover, dusty, vacuum, robot, deebot, "
        "eufy, dreame, neato, rosie, cleaning robot, mop robot, robovac, sweeper, vac"
    ),
    "lawn_mower": _values(
        "lawn mower, robot mower, automower, mowbot, grass cutter, mower, lawnmower, landroid, "
        "mowing robot, worx, shaun, grass robot"
    ),
    "todo": _values(
        "chores, groceries, packing, homework, to do, weekend, work, hardware store, birthday, "
        "todo, errands, tasks, garden, reading, pharmacy, travel, party, school, office, household"
    ),
    "weather": _values("london, new york, home, paris, berlin, sydney, tokyo, toronto"),
    "person": _values("alice, bob, maria, john, mum, dad, emma, noah, grandma, priya, chen, lucas"),
    "sensor": _values(
        "outdoor temperature, humidity, power meter, rain gauge, battery level, air quality"
    ),
    "binary_sensor": _values(
        "kitchen window, mailbox, back window, fridge door, attic hatch, patio door, letterbox"
    ),
}
NAMES["input_button"] = NAMES["button"]

FILLERS = {
    "area": _values(
        "kitchen, living room, bedroom, bathroom, office, garage, hallway, dining room, nursery, "
        "guest room, basement, attic, laundry room, patio, balcony, garden, study, playroom, "
        "pantry, home theater, gym, porch, master bedroom, kids room, conservatory, workshop"
    ),
    "floor": _values("first, ground, second, upper, top, lower, third"),
    "zone": _values("home, work, school, gym, office, park, library"),
    "message": _values(
        "dinner is ready, time to leave for school, the laundry is done, please come downstairs, "
        "the movie is about to start, i'm on my way home, bedtime in ten minutes, wash your hands, "
        "the guests are here, don't forget your lunch, somebody is at the door, wake up everyone, "
        "the pizza has arrived, turn that music down, grandma is calling, we are leaving now"
    ),
    "search_query": _values(
        "queen, madonna, frozen, the lion king, country music, heavy metal, the morning show, "
        "bbc radio, true crime, elvis, rock music, lullabies, mozart, adele, friends, blues, "
        "the beatles, miles davis, bohemian rhapsody, some jazz, taylor swift, dark side of the "
        "moon, classical piano, the daily news, thriller, stranger things, workout mix, abba, "
        "beethoven's fifth, rain sounds, star wars, nursery rhymes, hotel california, radiohead"
    ),
    "timer_name": _values(
        "pizza, pasta, laundry, tea, nap, eggs, homework, bread, workout, cookies, rice, oven, "
        "parking, meditation, roast, screen time, dryer, break"
    ),
    "shopping_list_item": _values(
        "milk, eggs, bread, butter, cheese, apples, bananas, coffee, toilet paper, olive oil, "
        "chicken, rice, pasta, tomatoes, onions, garlic, potatoes, orange juice, yogurt, cereal, "
        "dish soap, sugar, flour, salt, paper towels, tea, carrots, spinach, ice cream, batteries, "
        "a dozen lemons, cat food, red wine, toothpaste, two avocados, sparkling water"
    ),
    "todo_list_item": _values(
        "call the dentist, water the plants, pay the rent, buy stamps, clean the gutters, "
        "book flights, take out the trash, walk the dog, fix the tap, renew the passport, "
        "read chapter four, return the books, wash the car, write to grandma, mop the floor, "
        "order printer ink, sunscreen, change the light bulb, vacuum the stairs, milk"
    ),
}


class UnknownLanguageError(ValueError):
    """Home Assistant has no sentences in the language asked for."""


@dataclass(frozen=True)
class Splits:
    """Sampled sentences as (text, intent), sorted by intent, and what was left out of them."""

    train: list[tuple[str, str]]
    validation: list[tuple[str, str]]
    test: list[tuple[str, str]]
    colloquial: frozenset[str]
    """The sentences among them that are the phrasebook's, by their tokens."""
    out_of_scope: Split
    """By split: texts, each with its kind, such as ``near`` (phrasebook.py)."""
    provenance: dict[str, Any]
    contradictory: dict[str, list[str]]
    """The sentences that are in no split, by their tokens, and the intents that claim each."""
    repeated: list[str]
    """The sentences left out of a split because an earlier one has them."""
    training_only: list[str]
    """The intents that no test measures."""
    left_out: list[str]
    """The intents without a training sentence."""


@dataclass(frozen=True)
class _Template:
    """Part of an intent."""

    expression: Expression
    domains: tuple[str, ...]
    """Which devices may stand for its ``{name}``."""


_NONE: dict[str, list[_Template]] = {split: [] for split in SPLITS}


def languages() -> list[str]:
    """Return all languages of the installed ``home-assistant-intents``."""
    return sorted(home_assistant_intents.get_languages())


def load(
    language: str = "en",
    seed: int = 0,
    *,
    per_intent: int = 260,
    per_template: int = 60,
    held_out_per_intent: int = 40,
) -> Splits:
    """Sample the sentences of a language and split them by template.

    ``per_intent`` and ``per_template`` cap the training sentences, so that neither an intent nor a
    template with a million sentences swamps the others; ``held_out_per_intent`` caps the validation
    and the test sentences of an intent, each.

    Raises:
        UnknownLanguageError: Home Assistant has no sentences in it.
    """
    if language not in languages():
        raise UnknownLanguageError(
            f"Home Assistant has no sentences in the language {language!r}; "
            f"choose one of {', '.join(languages())}"
        )
    book = phrasebook.read(language)
    source = Path(home_assistant_intents.__file__).parent / "data" / f"{language}.json"
    intents = Intents.from_dict(home_assistant_intents.get_intents(language) or {})
    sampler = _Sampler(intents, language, seed)

    dealt = {
        name: _deal(
            name,
            _templates(intents, name),
            intents.expansion_rules,
            Random(f"{seed} {language} {name}"),
        )
        for name in sorted(intents.intents)
    }
    phrases = {
        section: _deal_phrases(lines, Random(f"{seed} {language} {section} phrases"))
        for section, lines in book.items()
    }
    sampler.commands = {
        split: [t for name in COMMANDS if name in dealt for t in dealt[name][split]]
        for split in SPLITS
    }
    texts: Texts = {split: {} for split in SPLITS}
    colloquial: set[str] = set()
    for name, parts in dealt.items():
        said = phrases.get(name, _NONE)
        short, forms, with_slots = sampler.draw_short(
            [t for part in (parts, said) for split in SPLITS for t in part[split]],
            f"{seed} {language} {name} short",
        )
        for split in SPLITS:  # a form is of one split only
            limit = per_intent if split == "train" else held_out_per_intent
            where = f"{seed} {language} {name} {split}"
            drawn, used = sampler.draw(parts[split], split, per_template, limit, forms, where)
            if not drawn:  # where each form is short, other names and numbers are held out
                drawn, _ = sampler.draw(
                    parts[split], split, per_template, limit, forms - with_slots, where
                )
            rounds = min(PER_PHRASE[split], per_template)
            spoken, said_forms = sampler.draw(
                said[split], split, rounds, limit, forms, f"{where} phrases"
            )
            forms |= used | said_forms
            colloquial |= spoken.keys() - drawn.keys()
            texts[split][name] = (short if split == "train" else {}) | spoken | drawn

    outside = _out_of_scope(phrases, sampler, f"{seed} {language}")
    talk = _shuffled(phrasebook.conversations(language), Random(f"{seed} {language} talk"))
    for split, part in _cut(talk).items():
        outside[split][phrasebook.CONVERSATIONS] = {key(text): text for text in part}
    ambiguous = outside["train"][phrasebook.AMBIGUOUS].keys()
    splits, contradictory, repeated = _settle(texts, ambiguous)
    commands = {key(text) for split in splits.values() for text, _ in split} | contradictory.keys()
    commands -= ambiguous
    trained = {name for _, name in splits["train"]}
    tested = {name for _, name in splits["test"]}
    return Splits(
        **splits,
        colloquial=frozenset(colloquial),
        out_of_scope=_settle_out_of_scope(outside, commands),
        provenance={
            "name": f"home-assistant-{language}",
            "source": "https://github.com/OHF-Voice/intents",
            "licence": "Apache-2.0",
            "citation": "Open Home Foundation, the intents of Home Assistant, as a Python package",
            "package": f"home-assistant-intents {version('home-assistant-intents')}",
            "sha256": hashlib.sha256(source.read_bytes()).hexdigest(),
            "out_of_scope": phrasebook.sources(language),
            "seed": seed,
        },
        contradictory=contradictory,
        repeated=repeated,
        training_only=sorted(trained - tested),
        left_out=sorted(set(dealt) - trained),
    )


def _templates(intents: Intents, name: str) -> list[_Template]:
    """Collect an intent's templates; one that several blocks repeat counts once for all domains."""
    expressions: dict[str, Expression] = {}
    domains: dict[str, set[str]] = defaultdict(set)
    for block in intents.intents[name].data:
        for sentence in block.sentences:
            text = sentence.text or ""
            expressions[text] = sentence.expression
            domains[text] |= block.domains
    return [_Template(expressions[text], tuple(sorted(domains[text]))) for text in expressions]


def _deal(
    name: str, templates: list[_Template], rules: Rules, random: Random
) -> dict[str, list[_Template]]:
    """Deal an intent's templates, opened where they are few, into the splits."""
    while len(templates) < ENOUGH_TEMPLATES:
        opened = [
            _Template(choice, template.domains)
            for template in templates
            for choice in _open(template.expression, rules) or [template.expression]
        ]
        if len(opened) == len(templates):
            break
        templates = opened
    if len(templates) < len(SPLITS) or name in UNRELATED:
        return {"train": templates, "validation": [], "test": []}
    return _cut(_shuffled(templates, random))


def _deal_phrases(lines: Sequence[str], random: Random) -> dict[str, list[_Template]]:
    """Deal a section of a phrasebook into the splits, line by line."""
    return _cut(
        _shuffled([_Template(parse_sentence(line).expression, ()) for line in lines], random)
    )


def _cut(items: list[T]) -> dict[str, list[T]]:
    """Cut a shuffled list into the splits; fewer than one for each are all for training."""
    cut = max(1, round(HELD_OUT * len(items))) if len(items) >= len(SPLITS) else 0
    return {"train": items[2 * cut :], "validation": items[cut : 2 * cut], "test": items[:cut]}


def _out_of_scope(
    phrases: dict[str, dict[str, list[_Template]]], sampler: "_Sampler", seed: str
) -> Texts:
    """Draw the out-of-scope texts of a phrasebook; the ambiguous ones are all for training."""
    outside: Texts = {split: {} for split in SPLITS}
    for kind in phrasebook.KINDS:
        parts, rounds = phrases.get(kind, _NONE), PER_PHRASE
        if kind == phrasebook.AMBIGUOUS:
            everything = [template for split in SPLITS for template in parts[split]]
            parts, rounds = _NONE | {"train": everything}, {**PER_PHRASE, "train": PER_AMBIGUOUS}
        forms: set[str] = set()
        for split in SPLITS:
            outside[split][kind], used = sampler.draw(
                parts[split], split, rounds[split], sys.maxsize, forms, f"{seed} {kind} {split}"
            )
            forms |= used
    return outside


def _open(expression: Expression, rules: Rules) -> list[Expression]:
    """Make the leftmost choice in every possible way; empty if the expression offers none."""
    if isinstance(expression, Alternative):
        if len(expression.items) > 1:
            return list(expression.items)
        return _open(expression.items[0], rules)
    if isinstance(expression, RuleReference):
        return _open(rules[expression.rule_name].expression, rules)
    if isinstance(expression, Group):
        for i, item in enumerate(expression.items):
            if choices := _open(item, rules):
                before, after = expression.items[:i], expression.items[i + 1 :]
                return [type(expression)(items=[*before, c, *after]) for c in choices]
    return []


def _settle(
    texts: Texts, ambiguous: Iterable[str]
) -> tuple[Split, dict[str, list[str]], list[str]]:
    """Give each sentence one intent and one split.

    Returns the splits; the sentences that several intents claim, one of which may be that it is
    ambiguous, and which are in no split; and the sentences left out of a split because an earlier
    split has them.
    """
    claims: dict[str, list[str]] = defaultdict(list)
    claims |= {sentence: [phrasebook.AMBIGUOUS] for sentence in ambiguous}
    for split in SPLITS:
        for name, found in texts[split].items():
            for sentence in found:
                if name not in claims[sentence]:
                    claims[sentence].append(name)
    contradictory = {sentence: names for sentence, names in claims.items() if len(names) > 1}
    taken: set[str] = set()
    repeated: list[str] = []
    splits: Split = {split: [] for split in SPLITS}
    for split in SPLITS:
        for name, found in texts[split].items():
            repeated += [text for sentence, text in found.items() if sentence in taken]
            fresh = [s for s in found if s not in taken and s not in contradictory]
            splits[split] += [(found[sentence], name) for sentence in fresh]
            taken.update(fresh)
    return splits, contradictory, repeated


def _settle_out_of_scope(outside: Texts, commands: set[str]) -> Split:
    """Give each out-of-scope text one kind and one split; leave out what is a command."""
    taken = set(commands)
    settled: Split = {split: [] for split in SPLITS}
    for split in SPLITS:
        for kind, found in outside[split].items():
            fresh = [sentence for sentence in found if sentence and sentence not in taken]
            settled[split] += [(found[sentence], kind) for sentence in fresh]
            taken.update(fresh)
    return settled


class _Sampler:
    """Draws forms of templates and fills their slots with the values of a split."""

    def __init__(self, intents: Intents, language: str, seed: int) -> None:
        self.rules = intents.expansion_rules
        self.lists = intents.slot_lists
        self.skip_words = [parse_sentence(words).expression for words in intents.skip_words]
        self.joins_words = intents.settings.ignore_whitespace
        self.short_rules: dict[str, set[str]] = {}
        self.commands: dict[str, list[_Template]] = {}
        self.spell = _speller(language)
        values = FILLERS | NAMES
        self.pools = {name: _pools(values[name], Random(f"{seed} {name}")) for name in values}

    def draw(
        self,
        templates: Sequence[_Template],
        split: str,
        rounds: int,
        limit: int,
        forbidden: set[str],
        seed: str,
    ) -> tuple[dict[str, str], set[str]]:
        """Draw up to ``limit`` sentences, by their tokens, and say which forms they took.

        Each round draws once from every template; the forms in ``forbidden`` are passed over.
        """
        random = Random(seed)
        found: dict[str, str] = {}
        forms: set[str] = set()
        for _ in range(rounds):
            for template in templates:
                form = self.form(template.expression, random)
                form_key = key(form)
                if form_key in forbidden:
                    continue
                if len(found) == limit:
                    return found, forms
                text = self.fill(form, template, split, random)
                if self.skip_words and random.random() < POLITE:
                    words = self.form(_pick(self.skip_words, random), random)
                    ends = " " not in words and random.random() < 0.5
                    text = f"{text} {words}" if ends else f"{words} {text}"
                forms.add(form_key)
                text = self.tidy(text)
                found.setdefault(key(text), text)
        return found, forms

    def draw_short(
        self, templates: Sequence[_Template], seed: str
    ) -> tuple[dict[str, str], set[str], set[str]]:
        """Draw from every short form; return the forms, too, and those with slots."""
        random = Random(seed)
        found: dict[str, str] = {}
        forms: set[str] = set()
        with_slots: set[str] = set()
        for template in templates:
            for form in sorted(self.short_forms(template.expression)):
                if not self.is_short(form) or not key(form):
                    continue
                forms.add(key(form))
                if "{" in form:
                    with_slots.add(key(form))
                for _ in range(SHORT_SAMPLES if "{" in form else 1):
                    text = self.tidy(self.fill(form, template, "train", random))
                    found.setdefault(key(text), text)
        return found, forms, with_slots

    def is_short(self, form: str) -> bool:
        """Whether a form has few words, a slot being one."""
        if self.joins_words or UNSPACED.search(form):
            return sum(map(len, tokens(re.sub(r"\{[^{}]+\}", "xx", form)))) <= SHORT_UNSPACED
        return len(form.split()) <= SHORT

    def short_forms(self, expression: Expression) -> set[str]:
        """Return all forms that are short, or may become so by what surrounds them: none."""
        match expression:
            case TextChunk():
                forms = {expression.original_text}
            case ListReference():
                forms = {f"{{{expression.list_name}}}"}
            case RuleReference():
                if expression.rule_name not in self.short_rules:
                    rule = self.rules[expression.rule_name].expression
                    self.short_rules[expression.rule_name] = self.short_forms(rule)
                return self.short_rules[expression.rule_name]
            case Alternative():
                forms = set().union(*map(self.short_forms, expression.items))
            case Permutation():
                forms = set()
                for items in permutations(expression.items):
                    forms |= self.short_sequences(items)
            case Group():
                forms = self.short_sequences(expression.items)
            case _:
                raise TypeError(f"hassil has a new kind of expression, {type(expression).__name__}")
        return set(filter(self.is_short, forms))

    def short_sequences(self, items: Iterable[Expression]) -> set[str]:
        """Return all short forms of some expressions, one after another."""
        forms = {""}
        for item in items:
            rest = self.short_forms(item)
            forms = {f for before in forms for after in rest if self.is_short(f := before + after)}
        return forms

    def form(self, expression: Expression, random: Random) -> str:
        """Make every choice of a template at random and leave its slots as {list}."""
        match expression:
            case TextChunk():
                return expression.original_text
            case ListReference():
                return f"{{{expression.list_name}}}"
            case RuleReference():
                return self.form(self.rules[expression.rule_name].expression, random)
            case Alternative():
                return self.form(_pick(expression.items, random), random)
            case Permutation():
                return "".join(self.form(e, random) for e in _shuffled(expression.items, random))
            case Group():
                return "".join(self.form(e, random) for e in expression.items)
        raise TypeError(f"hassil has a new kind of expression, {type(expression).__name__}")

    def fill(self, form: str, template: _Template, split: str, random: Random) -> str:
        """Put a value into each slot of a form."""

        def value(match: re.Match[str]) -> str:
            name = match[1]
            if name == "timer_command":
                command = _pick(self.commands[split] or self.commands["train"], random)
                return self.fill(self.form(command.expression, random), command, split, random)
            if name == "name":
                name = _pick(template.domains, random)
            if name in self.pools:
                return _pick(_pick(self.pools[name][split], random), random)
            values = self.lists[name]
            if isinstance(values, RangeSlotList):
                return self.number(values, random)
            assert isinstance(values, TextSlotList), f"no names to fill {{{name}}} with"
            inner = self.form(_pick(values.values, random).text_in, random)
            return self.fill(inner, template, split, random)

        return re.sub(r"\{([^{}]+)\}", value, form)

    def number(self, values: RangeSlotList, random: Random) -> str:
        number: float = _pick(range(values.start, values.stop + 1, values.step), random)
        if values.fraction_type is not None and random.random() < 0.1:
            number += 0.5
        if values.words and random.random() < SPELT_OUT and (words := self.spell(number)):
            return _pick(words, random)
        return f"{number:g}"

    def tidy(self, text: str) -> str:
        text = " ".join(text.split())
        return CJK_WHITESPACE.sub("", text) if self.joins_words else text


def _speller(language: str) -> Callable[[float], tuple[str, ...]]:
    """Return a function from a number to its spellings; to none in a language without rules."""

    @cache
    def spell(number: float) -> tuple[str, ...]:
        try:
            spelt = get_rbnf_engine(language).format_number(number)
        except ValueError:
            return ()
        return tuple(sorted(set(spelt.text_by_ruleset.values())))

    return spell


def _pools(values: Sequence[str], random: Random) -> dict[str, list[list[str]]]:
    """Split the values: a split draws from the training values or, with equal chance, its own."""
    cut = max(1, round(HELD_OUT * len(values)))
    shuffled = _shuffled(values, random)
    train = shuffled[2 * cut :]
    return {
        "train": [train],
        "validation": [train, shuffled[cut : 2 * cut]],
        "test": [train, shuffled[:cut]],
    }


def _pick(items: Sequence[T], random: Random) -> T:
    return items[int(random.random() * len(items))]


def _shuffled(items: Iterable[T], random: Random) -> list[T]:
    return sorted(items, key=lambda _: random.random())
