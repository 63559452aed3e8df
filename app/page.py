"""The pages at ``/`` and ``/docs``, and the model that runs in the browser itself."""

import base64
import functools
import hashlib
import re
from http import HTTPStatus
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request, Response

from .model_store import Served
from .problems import documented, problem

_FEATURES = ("camera", "display-capture", "geolocation", "microphone", "payment", "usb")
_HEADERS = {
    "Referrer-Policy": "no-referrer",
    # Isolated, the page also gets the finer clock that it measures its computing with.
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Embedder-Policy": "require-corp",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": ", ".join(f"{feature}=()" for feature in _FEATURES),
}
_WASM: dict[int | str, dict[str, Any]] = {
    200: {"content": {"application/wasm": {}}, "description": "Kernel and model."},
    304: {"description": "It is what the request's If-None-Match names."},
}


def add_to(app: FastAPI, served: Served) -> None:
    """Serve the pages, and the model that they can load: the one that is served at the moment.

    Their links are relative, so they work under the path prefix of a reverse proxy. Nothing is read
    or imported before the first request for it, so the service starts no later for them.
    """

    @app.get("/", include_in_schema=False)
    def show_page(request: Request) -> Response:
        return show(request, "page.html")

    @app.get("/docs", include_in_schema=False)
    def show_docs(request: Request) -> Response:
        return show(request, "docs.html")

    def show(request: Request, name: str) -> Response:
        page, policy = _page(name)
        headers = _HEADERS | {"Content-Security-Policy": policy}
        return _unless_known(request, page, "text/html", headers)

    @app.get("/neuralbits.mjs", include_in_schema=False)
    def load_module(request: Request) -> Response:
        from neuralbits import export

        loader = export.loader("./neuralbits.mjs", "./model/neuralbits.wasm")
        return _unless_known(request, loader, "text/javascript", _HEADERS)

    @app.get(
        "/model/neuralbits.wasm",
        response_class=Response,
        responses=_WASM | documented(401, 404, 503),
    )
    def model_as_wasm(request: Request) -> Response:
        """Give the kernel and the artifact that is served as one file of WebAssembly."""
        from neuralbits import export

        try:
            module = export.module(served.content)
        except export.ExportError as error:
            return problem(HTTPStatus.NOT_FOUND, f"The model can't run in a browser: {error}.")
        return _unless_known(request, module, "application/wasm", _HEADERS)


@functools.cache
def _page(name: str) -> tuple[bytes, str]:
    """Read a page, and write the policy by which only its own script and style run."""
    page = Path(__file__).with_name(name).read_bytes()
    return page, _policy(page.decode())


def _unless_known(
    request: Request, content: bytes, media_type: str, headers: dict[str, str]
) -> Response:
    """Answer with the content, or that what the client has of it is still right."""
    tag = f'"{hashlib.sha256(content).hexdigest()}"'
    headers = headers | {"ETag": tag, "Cache-Control": "no-cache"}
    known = request.headers.get("if-none-match", "")
    if tag in (each.strip().removeprefix("W/") for each in known.split(",")):
        return Response(status_code=HTTPStatus.NOT_MODIFIED, headers=headers)
    return Response(content, media_type=media_type, headers=headers)


def _policy(page: str) -> str:
    """Write a content security policy for a page that sends requests only to its service."""
    return "; ".join(
        [
            "default-src 'none'",
            f"script-src {_hashes(page, 'script')} 'self' 'wasm-unsafe-eval'",
            f"style-src {_hashes(page, 'style')}",
            "connect-src 'self'",
            "img-src data:",
            "base-uri 'none'",
            "form-action 'none'",
            "frame-ancestors 'none'",
            "require-trusted-types-for 'script'",
            "trusted-types 'none'",
        ]
    )


def _hashes(page: str, element: str) -> str:
    """Name the contents of such elements by their hashes, as a policy does."""
    contents = re.findall(rf"<{element}\b[^>]*>(.*?)</{element}>", page, re.DOTALL)
    digests = (hashlib.sha256(content.encode()).digest() for content in contents)
    return " ".join(f"'sha256-{base64.b64encode(digest).decode()}'" for digest in digests)
