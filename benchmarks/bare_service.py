"""``python -m benchmarks.bare_service``: the cost of FastAPI and uvicorn alone.

The requests, the responses and the server's settings are those of the service. There is no
classifier and no check: every text gets the same answer.
"""

import os
from typing import Annotated

import uvicorn
from fastapi import FastAPI
from pydantic import Field

from neuralbits import IntentConfidence, Prediction
from neuralbits.app.schemas import ExplainedPrediction, Options

_LONGEST = 10_000
_ANSWER = Prediction("translate", 0.99, True, (IntentConfidence("translate", 0.99),))


class ClassifyRequest(Options):
    """A text to classify."""

    text: Annotated[str, Field(max_length=_LONGEST, examples=["turn of teh lamp"])]
    explain: Annotated[
        bool, Field(description="Whether to add each n-gram's influence on the answer.")
    ] = False


app = FastAPI()


@app.post("/classify")
async def classify(request: ClassifyRequest) -> Prediction | ExplainedPrediction:
    """Return a constant answer."""
    return _ANSWER


if __name__ == "__main__":
    port = int(os.environ["NEURALBITS_PORT"])
    uvicorn.Server(
        uvicorn.Config(
            app, port=port, log_level="warning", access_log=False, timeout_graceful_shutdown=10
        )
    ).run()
