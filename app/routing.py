"""From a request's bytes to what its path asks for, and from the answer to bytes again."""

import inspect
import json
import re
from collections.abc import Callable, Coroutine
from http import HTTPStatus
from typing import Any

from fastapi import HTTPException, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from pydantic import TypeAdapter, ValidationError
from starlette.types import Receive, Scope, Send

_MAX_MARKS = 4_096  # of those that begin objects and lists, and that follow fields' names
_SURROGATE = re.compile("[\ud800-\udfff]")


class JSONRoute(APIRoute):
    """A route from one JSON body to one JSON answer, each read and written by pydantic at one go.

    FastAPI's own routes make Python objects of the JSON first and validate those, and look for
    parameters, dependencies and forms, which takes longer than the kernel does for a text. Here
    the endpoint takes the body and nothing else; it may return a response that is ready to send.
    Where GET is served, so is HEAD.
    """

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request. The server leaves out the body of an answer to HEAD."""
        if scope["method"] == "HEAD" and "GET" in (self.methods or ()):
            scope = {**scope, "method": "GET"}
        await super().handle(scope, receive, send)

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Return what answers a request."""
        if self.body_field is None:
            return super().get_route_handler()
        endpoint = self.endpoint
        (parameter,) = inspect.signature(endpoint).parameters.values()
        body_type = TypeAdapter(parameter.annotation)
        dump = TypeAdapter(self.response_model).serializer.to_json

        async def handle(request: Request) -> Response:
            media_type = request.headers.get("content-type", "")
            if media_type != "application/json":
                _check_media_type(media_type)
            content = await request.body()
            if _marks(content) > _MAX_MARKS:
                _check_shape(content)
            try:
                body = body_type.validate_json(content)
            except ValidationError:
                body = _validated(body_type, content)
            answer = await endpoint(body)
            if isinstance(answer, Response):
                return answer
            return Response(dump(answer), media_type="application/json")

        return handle


def _check_media_type(header: str) -> None:
    """Check that a Content-Type declares JSON, with whatever parameters.

    Raises:
        HTTPException: 415, it doesn't.
    """
    if header.partition(";")[0].strip().lower() != "application/json":
        raise HTTPException(
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
            "The body must be sent with the header Content-Type: application/json.",
        )


def _marks(content: bytes) -> int:
    return content.count(b"{") + content.count(b"[") + content.count(b":")


def _check_shape(content: bytes) -> None:
    """Check that a body is large by its texts: by little else would it take much memory.

    A megabyte of empty objects, or of fields, becomes two hundred as Python's objects and errors.

    Raises:
        HTTPException: 400, it holds lists or objects in one another, or many fields.
    """
    # Without escaped quotes, every other piece between quotes stands outside of the texts.
    pieces = content.replace(rb"\\", b"").replace(rb"\"", b"").split(b'"')[::2]
    if _marks(b"".join(pieces)) > _MAX_MARKS:
        raise HTTPException(
            HTTPStatus.BAD_REQUEST,
            "The body is nested, or has many fields; send one JSON object with a text or a list "
            "of texts.",
        )


def _without_surrogates(body: Any) -> Any:
    """Replace lone surrogates as the classifier reads them: by U+FFFD, a character each."""

    def replaced(value: Any) -> Any:
        return _SURROGATE.sub("\ufffd", value) if isinstance(value, str) else value

    if not isinstance(body, dict):
        return body
    return {
        name: [replaced(each) for each in value] if isinstance(value, list) else replaced(value)
        for name, value in body.items()
    }


def _validated(body_type: TypeAdapter[Any], content: bytes) -> Any:
    """Validate a body by Python's decoder, which says where, and takes lone surrogates.

    Pydantic's takes none, although JSON can hold them and the classifier reads them.

    Raises:
        HTTPException: 400, it isn't JSON as RFC 8259 has it, in UTF-8 and nothing else.
        RequestValidationError: it is JSON, but not what the path asks for.
    """
    if not content:
        missing = {"type": "missing", "loc": ("body",), "msg": "", "input": None}
        raise RequestValidationError([missing])
    try:
        # Python's decoder alone would also take UTF-16, and encoded surrogates.
        value = json.loads(content.decode("utf-8"))
    except UnicodeDecodeError as error:
        wrong = f"not valid UTF-8 at byte {error.start}; send UTF-8"
    except json.JSONDecodeError as error:
        wrong = f"not valid JSON: {error.msg} at line {error.lineno}, column {error.colno}"
    except RecursionError:
        wrong = "nested too deeply; send one JSON object"
    except ValueError:
        wrong = "not usable: it holds a whole number of too many digits"
    else:
        try:
            return body_type.validate_python(_without_surrogates(value))
        except ValidationError as error:
            errors = error.errors(include_input=False, include_url=False)
            raise RequestValidationError(
                [{**each, "loc": ("body", *each["loc"])} for each in errors]
            ) from None
    raise HTTPException(HTTPStatus.BAD_REQUEST, f"The body is {wrong}.")
