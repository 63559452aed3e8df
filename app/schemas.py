"""The bodies of requests and responses, but for what hangs on the settings."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from app.served import Reload
from neuralbits import Prediction

_PREDICTION = {
    "intent": "turn_off",
    "confidence": 0.93,
    "in_scope": True,
    "intents": [
        {"intent": "turn_off", "confidence": 0.93},
        {"intent": "turn_on", "confidence": 0.05},
    ],
}


def example(body: Any) -> dict[int | str, dict[str, Any]]:
    """Give OpenAPI an example of a successful response's body."""
    return {200: {"content": {"application/json": {"example": body}}}}


PREDICTION_EXAMPLE = example(_PREDICTION)
PREDICTIONS_EXAMPLE = example({"predictions": [_PREDICTION]})


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
