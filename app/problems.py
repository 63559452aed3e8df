"""The answer to a request that fails: RFC 9457 problem details.

Utterances are private, so a problem says where the request is wrong, and never repeats what it
holds there.
"""

import re
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

PROBLEM_TYPE = "application/problem+json"
_MAX_ERRORS = 20  # how many are named; a hostile body can hold a hundred thousand
_FIELD_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,31}")
_SENTENCES = {
    "missing": "is required, but missing",
    "extra_forbidden": "is not a field of this request; leave it out",
    "model_type": "must be a JSON object",
    "string_type": "must be a string",
    "string_too_long": "must have a length of at most {max_length}",
    "list_type": "must be an array of strings",
    "int_type": "must be a whole number",
    "too_short": "must have a length of at least {min_length}",
    "too_long": "must have a length of at most {max_length}",
    "greater_than_equal": "must be at least {ge}",
    "less_than_equal": "must be at most {le}",
    "bool_type": "must be true or false",
    "too_varied": "has more than {most:,} different n-grams; ask about a shorter text, or leave "
    "the explanation out",
}
_STRING = {"type": "string"}
_ERROR = {"type": "object", "properties": {"pointer": _STRING, "detail": _STRING}}
_PROBLEM = {
    "type": "object",
    "required": ["title", "status", "detail", "errors"],
    "properties": {
        "title": _STRING,
        "status": {"type": "integer"},
        "detail": _STRING,
        "errors": {"type": "array", "items": _ERROR},
    },
}


def documented(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Describe, for OpenAPI, the problems that a path may answer with."""
    content = {PROBLEM_TYPE: {"schema": _PROBLEM}}
    return {
        status: {"description": HTTPStatus(status).phrase, "content": content}
        for status in statuses
    }


def problem(
    status: int,
    detail: str,
    errors: list[dict[str, str]] | None = None,
    headers: Mapping[str, str] | None = None,
) -> JSONResponse:
    """Build the response: one sentence, and the places in the body that it is about, if any."""
    content = {
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
        "errors": errors or [],
    }
    return JSONResponse(content, status, headers, PROBLEM_TYPE)


async def on_http_error(request: Request, error: HTTPException) -> JSONResponse:
    """Answer an error that the router or one of the service's own checks raised."""
    detail = error.detail
    if error.status_code == HTTPStatus.NOT_FOUND:
        detail = "Nothing is served at this path; /docs lists what is."
    elif error.status_code == HTTPStatus.METHOD_NOT_ALLOWED and error.headers:
        detail = f"This path is served for {error.headers['Allow']} only; /docs says how."
    return problem(error.status_code, detail, headers=error.headers)


async def on_invalid_request(request: Request, error: RequestValidationError) -> JSONResponse:
    """Answer a body that is JSON, but not the JSON that the path asks for."""
    wrong = error.errors()
    errors = [_describe(each) for each in wrong[:_MAX_ERRORS]]
    detail = "The body doesn't fit at {pointer}: it {detail}.".format(**errors[0])
    if len(wrong) > 1:
        detail += f" This is the first of {len(wrong)} errors."
    return problem(HTTPStatus.UNPROCESSABLE_ENTITY, detail, errors)


HANDLERS: dict[int | type[Exception], Any] = {
    HTTPException: on_http_error,
    RequestValidationError: on_invalid_request,
}


def _describe(error: dict[str, Any]) -> dict[str, str]:
    """Say what is wrong and where, as a JSON pointer (RFC 6901) in its URI fragment form."""
    path = [str(key) for key in error["loc"][1:]]  # the first part is "body"
    # A key that doesn't look like the name of a field might as well be an utterance.
    if error["type"] == "extra_forbidden" and not _FIELD_NAME.fullmatch(path[-1]):
        return {
            "pointer": "#",
            "detail": "has a field that isn't one of this request; leave it out",
        }
    detail = (_SENTENCES.get(error["type"]) or error["msg"]).format(**error.get("ctx", {}))
    return {"pointer": "/".join(["#", *path]), "detail": detail}
