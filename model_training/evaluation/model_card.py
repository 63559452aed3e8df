"""The model card: what an artifact is for and not for, what was measured, and how it is remade.

The questions it answers are those of Mitchell et al. 2019, "Model Cards for Model Reporting"
(arXiv:1810.03993). Its YAML header is what the Hugging Face Hub reads.
"""

import json
import re
import shlex
from collections.abc import Iterable, Sequence

from neuralbits.artifact import Artifact

from .metrics import Collection, Evaluation
from .report import (
    TrainingReport,
    comparison,
    flat,
    kibibytes,
    out_of_scope_split,
    percent,
    unseen_sentence,
)

LISTED_INTENTS, WEAKEST_INTENTS = 30, 5
HUB_DATASETS = {"clinc150": "clinc/clinc_oos", "banking77": "PolyAI/banking77"}
"""What the Hub calls them."""
ENGLISH_DATASETS = {"clinc150", "banking77", "snips"}
HUB_LICENSES = {
    "Apache-2.0": "apache-2.0",
    "CC BY 3.0": "cc-by-3.0",
    "CC BY 4.0": "cc-by-4.0",
    "CC0": "cc0-1.0",
}
"""The Hub's names for the licences of data sets, which those of the trained artifacts follow."""


def model_card(artifact: Artifact, report: TrainingReport, file_name: str, example: str) -> str:
    """Return the card in Markdown.

    ``file_name`` is the artifact's, and ``example`` a text to show it with. Of the provenance the
    card reads ``"data"``, an object that it lists and whose ``"name"``, ``"licence"`` and, if
    present, ``"language"`` it names, and ``"command"``, the exact command that makes the artifact.
    """
    data = report.provenance.get("data", {})
    command = report.provenance.get("command")
    split, evaluation = list(report.artifact.evaluation.items())[-1]
    outside = out_of_scope_split(report)
    examples = {f"examples.{name}": f"{count:,}" for name, count in report.data.examples.items()}
    settings = json.dumps(report.settings, indent=2, ensure_ascii=False, default=str)
    labels = "\n".join(f"- {_code(label)}" for label in artifact.labels)
    return _header(report) + CARD.format(
        name=_line(report.name),
        size=kibibytes(artifact.size),
        count=len(artifact.labels),
        accuracy=percent(evaluation.accuracy),
        split=f"the {_line(split)} split",
        examples=f"{evaluation.examples:,}",
        unseen=unseen_sentence(evaluation),
        file=_code(file_name),
        bytes=f"{artifact.size:,}",
        digest=_code(artifact.digest),
        language=_code(data["language"]) if "language" in data else "the language of its data",
        threshold=f"{artifact.threshold:,.6g}",
        out_of_scope=_out_of_scope(report.artifact.evaluation[outside], outside),
        calibration=percent(evaluation.expected_calibration_error),
        serve=shlex.quote(file_name),
        request=shlex.quote(json.dumps({"text": example}, ensure_ascii=False)),
        path=json.dumps(file_name, ensure_ascii=False),
        example=json.dumps(example, ensure_ascii=False),
        data=_facts([*flat(data), *examples.items()]),
        results=_results(report),
        weakest=_weakest(evaluation),
        command=f"```sh\n{command}\n```" if command else "The command was not recorded.",
        settings=_folded("Settings", f"```json\n{settings}\n```"),
        labels=labels
        if len(artifact.labels) <= LISTED_INTENTS
        else _folded(f"All {len(artifact.labels)} intents", labels),
    )


def _header(report: TrainingReport) -> str:
    """Return the metadata that the Hub reads: YAML, of which each value is written as JSON."""
    data = report.provenance.get("data", {})
    name = str(data.get("name", report.name))
    results = [
        {
            "task": {"type": "text-classification", "name": "Intent classification"},
            "dataset": {"type": HUB_DATASETS.get(name, name), "name": name, "split": split},
            "metrics": [
                {"type": "accuracy", "value": round(evaluation.accuracy, 4)},
                {"type": "f1", "name": "Macro F1", "value": round(evaluation.macro_f1, 4)},
            ],
        }
        for split, evaluation in report.artifact.evaluation.items()
    ]
    header: dict[str, object] = {
        "license": HUB_LICENSES.get(data.get("licence"), "unknown"),
        "language": data.get("language", "en" if name in ENGLISH_DATASETS else None),
        "library_name": "neuralbits",
        "pipeline_tag": "text-classification",
        "tags": ["intent-classification", "projection-network"],
        "datasets": [HUB_DATASETS[name]] if name in HUB_DATASETS else None,
        "metrics": ["accuracy", "f1"],
        "model-index": [{"name": report.name, "results": results}],
    }
    lines = [f"{key}: {_json(value)}" for key, value in header.items() if value is not None]
    return "\n".join(["---", *lines, "---", "", ""])


def _json(value: object) -> str:
    """Return JSON that is YAML, too: YAML refuses characters that aren't printable."""
    text = json.dumps(value, ensure_ascii=False)
    return "".join(c if c.isprintable() else f"\\U{ord(c):08x}" for c in text)


def _out_of_scope(evaluation: Evaluation, split: str) -> str:
    outside = evaluation.out_of_scope
    if outside is None:
        return "How many out-of-scope texts this catches was **not measured**: none were given."
    return (
        f"On the {_line(split)} split this rejected {percent(outside.oos_recall)} of "
        f"{outside.texts:,} out-of-scope texts, and "
        f"{percent(outside.false_reject_rate)} of {evaluation.examples:,} in-scope texts "
        f"(AUROC {outside.auroc:.4f}).{_accepted(outside.collections)}"
    )


def _accepted(collections: Sequence[Collection]) -> str:
    if len(collections) < 2:
        return ""
    shares = ", ".join(
        f"{_code(each.name)} {percent(each.accepted)} of {each.texts:,}" for each in collections
    )
    return f" Accepted by collection, none of whose texts it learnt from: {shares}."


def _results(report: TrainingReport) -> str:
    head, *figures = comparison(report)
    rows = [head, ("---", *["---:"] * (len(head) - 1)), *figures]
    return "\n".join(f"| {' | '.join(map(_line, row))} |" for row in rows)


def _weakest(evaluation: Evaluation) -> str:
    measured = sorted((m for m in evaluation.intents if m.support), key=lambda m: m.recall)
    return ", ".join(
        f"{_code(m.intent)} ({percent(m.recall)} of {m.support})"
        for m in measured[:WEAKEST_INTENTS]
    )


def _facts(facts: Iterable[Sequence[str]]) -> str:
    return "\n".join(f"- {_line(name)}: {_code(value)}" for name, value in facts)


def _folded(title: str, body: str) -> str:
    return f"<details>\n<summary>{title}</summary>\n\n{body}\n\n</details>"


def _line(text: str) -> str:
    """Return outside text on one line, with nothing in it that Markdown or HTML would obey."""
    marks = str.maketrans({mark: f"\\{mark}" for mark in "\\`*_[]<>|#&"})
    return " ".join(text.split()).translate(marks)


def _code(text: str) -> str:
    """Return outside text as code, between more backticks than it holds in a row."""
    text = " ".join(text.split())
    fence = "`" * (1 + max((len(run) for run in re.findall("`+", text)), default=0))
    pad = " " if text.startswith("`") or text.endswith("`") else ""
    return f"{fence}{pad}{text}{pad}{fence}"


CARD = """\
# {name}

An intent classifier of {size}: a projection network that reads raw text and answers with one of
{count} intents and a calibrated confidence. It was right on {accuracy} of the {examples} examples
of {split}.{unseen}

- file: {file}, {bytes} bytes
- digest: {digest}

## Intended use

Recognising what a short utterance asks for, where little memory and no network is at hand: hubs,
kiosks, cars, chatbots, browsers.

## Limits

- It knows the intents listed below and no other: every text gets the likeliest of them. An answer
  whose margin is below the **threshold of {threshold}** has
  `"in_scope": false`, and is best treated as not understood. {out_of_scope}
- It learnt from texts in {language}. Texts in another language get an answer, too, and it means
  little.
- It judges one utterance by itself, without the conversation around it, and finds no slots such as
  names, rooms or numbers.
- The figures below hold for texts like those it was measured on. On {split}, confidence and
  accuracy lie {calibration} apart on average (expected calibration error).

## How to use it

```sh
neuralbits serve {serve}
curl -s localhost:8000/classify -H 'Content-Type: application/json' -d {request}
```

```python
import neuralbits

classifier = neuralbits.load({path})
prediction = classifier.classify({example})
print(prediction.intent, prediction.confidence, prediction.in_scope)
```

## Data

{data}

## Measured

Each figure names the split that it was measured on. Texts are rejected at a threshold
that each network got by the same policy on the validation split. The times are of the machine that
trained.

{results}

The weakest intents on {split}, by the share of their examples that was right: {weakest}.

## How to make it again

{command}

{settings}

## Intents

{labels}
"""
