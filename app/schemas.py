"""The bodies of requests and responses, except what depends on the settings."""

from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, with_config

from neuralbits import Explanation, IntentConfidence, NgramInfluence, Prediction

from .model_store import Reload

_PREDICTION = {
    "intent": "turn_off",
    "confidence": 0.93,
    "in_scope": True,
    "intents": [
        {"intent": "turn_off", "confidence": 0.93},
        {"intent": "turn_on", "confidence": 0.05},
    ],
}


def _omit_example(schema: dict[str, Any]) -> None:
    schema["description"] = schema["description"].partition("\n\nExample:")[0]


for _answer in (Prediction, IntentConfidence, Explanation, NgramInfluence):
    # Their docstrings show examples of Python, which the API's description doesn't need.
    with_config(ConfigDict(json_schema_extra=_omit_example))(_answer)

Responses = dict[int | str, dict[str, Any]]
"""What OpenAPI says of an operation's responses, by their statuses."""


def answered(example: Any = None, **links: dict[str, Any]) -> Responses:
    """Describe a successful response: an example, and what may be asked next, by operation."""
    described: dict[str, Any] = {"description": "Successful Response"}
    if example:
        described["content"] = {"application/json": {"example": example}}
    if links:
        described["links"] = {name: {"operationId": name, **about} for name, about in links.items()}
    return {200: described}


_MODEL_LINK = {"description": "What the artifact is that is served."}
PREDICTION_RESPONSE = answered(
    _PREDICTION,
    classify_batch={
        "description": "The text gets the same answer in a batch.",
        "requestBody": {"texts": ["$request.body#/text"]},
    },
    model=_MODEL_LINK,
)
PREDICTIONS_RESPONSE = answered({"predictions": [_PREDICTION]}, model=_MODEL_LINK)
MODEL_RESPONSE = answered(
    model_as_wasm={"description": "The same model for browsers and Node, with what runs it."}
)
RELOAD_RESPONSE = answered(
    readyz={"description": "It goes on telling what came of the last reload."}, model=_MODEL_LINK
)
READINESS_RESPONSE = answered(model=_MODEL_LINK)


def _whole(value: Any) -> Any:
    """Take 3.0 for 3: in JSON they are one number, and Lua and JavaScript may write either."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


class Options(BaseModel):
    """What requests share: no other field than declared, no value made into another type."""

    model_config = ConfigDict(extra="forbid", strict=True)

    top_k: Annotated[
        int,
        Field(ge=1, le=1000, description="How many intents to name; all, if there are fewer."),
        BeforeValidator(_whole),
    ] = 1


@dataclass(frozen=True, slots=True)
class ExplainedPrediction(Prediction):
    """A prediction, and what the text's n-grams did for it."""

    explanation: Explanation


class Predictions(BaseModel):
    """The predictions for a batch, in the order of its texts."""

    predictions: list[Prediction]


class Model(BaseModel):
    """The artifact that is served."""

    labels: list[str]
    digest: Annotated[str, Field(description="A hash over its tensors and settings: its identity.")]
    size: Annotated[int, Field(description="Bytes.")]
    projection: dict[str, Any]
    scale: Annotated[float, Field(description="What a score of 1 is as a logit.")]
    temperature: float
    threshold: Annotated[float, Field(description="The least lead of a score that is in scope.")]
    provenance: Annotated[dict[str, Any], Field(description="Data, seed, versions, metrics.")]


class Readiness(BaseModel):
    """What is served, and since when not something newer."""

    status: Literal["ready"]
    digest: Annotated[str, Field(description="Of the artifact that is served.")]
    reload: Annotated[
        Reload | None,
        Field(description="What came of the last attempt to take the file's content."),
    ]
