"""What guards the door: a body's size, its type, its encoding and its JSON."""

import json
from collections.abc import Callable, Coroutine
from http import HTTPStatus
from typing import Any

from fastapi import HTTPException, Request, Response
from fastapi.routing import APIRoute
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.problems import problem


class BodyLimit:
    """ASGI middleware that refuses a body of more than ``limit`` bytes.

    By its Content-Length at once, before the client is asked for any of it; without one, as soon
    as more than that has come in. What follows is discarded by the server as it arrives.
    """

    def __init__(self, app: ASGIApp, limit: int) -> None:
        self.app = app
        self.limit = limit
        self.refusal = f"The body is larger than {limit:,} bytes; send less at a time."

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, counting the bytes of its body."""
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        if int(Headers(scope=scope).get("content-length", 0)) > self.limit:
            response = problem(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, self.refusal)
            return await response(scope, receive, send)
        received = 0

        async def receive_counted() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            if received > self.limit:
                raise HTTPException(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, self.refusal)
            return message

        await self.app(scope, receive_counted, send)


class JSONRequest(Request):
    """A request whose body is JSON as RFC 8259 has it: in UTF-8 and nothing else.

    Python's decoder alone would also take UTF-16, and encoded surrogates.
    """

    async def json(self) -> Any:
        """Return the body's value.

        Raises:
            HTTPException: 400, it is no JSON; the sentence says where.
        """
        try:
            return json.loads((await self.body()).decode("utf-8"))
        except UnicodeDecodeError as error:
            wrong = f"not valid UTF-8 at byte {error.start}; encode it anew"
        except json.JSONDecodeError as error:
            wrong = f"not valid JSON: {error.msg} at line {error.lineno}, column {error.colno}"
        except RecursionError:
            wrong = "nested too deeply; send one JSON object"
        except ValueError:
            wrong = "not usable: it holds a whole number of too many digits"
        raise HTTPException(HTTPStatus.BAD_REQUEST, f"The body is {wrong}.")


class JSONRoute(APIRoute):
    """A route whose body, if it has one, must be declared as JSON and be a `JSONRequest`."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Wrap the route's handler."""
        handle = super().get_route_handler()

        async def handle_json(request: Request) -> Response:
            media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
            if self.body_field and media_type != "application/json":
                sentence = "The body must be sent with the header Content-Type: application/json."
                raise HTTPException(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, sentence)
            return await handle(JSONRequest(request.scope, request.receive))

        return handle_json
