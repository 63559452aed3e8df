"""Random malformed requests of many kinds, by seed.

Each kind is a function from a random generator to the bytes of one connection. Each request has
`SECRET` where an utterance could be, so that tests can search the log for it.
"""

import asyncio
import json
import re
from collections.abc import Callable
from random import Random
from typing import NamedTuple

from tests.support.waiting import LIMIT

SECRET = "secret utterance"
_JSON = "Content-Type: application/json"


class Malformed(NamedTuple):
    """The bytes of one connection."""

    kind: str
    content: bytes
    whole: bool
    """Whether it is HTTP up to its end. If not, as it breaks off or isn't HTTP, the client closes
    its side, and the server may do so without an answer."""


def malformed(seed: int, count: int) -> list[Malformed]:
    """Make ``count`` requests, about equally many of each kind."""
    random = Random(seed)
    kinds = [(make, True) for make in _WHOLE] + [(make, False) for make in _BROKEN]
    made = []
    for index in range(count):
        make, whole = kinds[index % len(kinds)]
        made.append(Malformed(make.__name__.strip("_"), make(random), whole))
    random.shuffle(made)
    return made


async def exchange(address: tuple[str, int], content: bytes, whole: bool) -> list[int]:
    """Send bytes, wait until the server closes the connection, and return its statuses."""
    reader, writer = await asyncio.open_connection(*address)
    answer = b""
    try:
        writer.write(content)
        if not whole:
            writer.write_eof()
        answer = await asyncio.wait_for(reader.read(), LIMIT)
    except ConnectionError:
        pass  # closed while it was still being sent
    finally:
        writer.close()
    return [int(status) for status in re.findall(rb"HTTP/1\.1 (\d{3}) ", answer)]


# Complete HTTP requests that the service must answer with an error.


def _post(body: bytes, *headers: str, path: str = "/classify", method: str = "POST") -> bytes:
    lines = [f"{method} {path} HTTP/1.1", "Host: localhost", "Connection: close", *headers]
    lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode() + body


def _path(random: Random) -> str:
    return random.choice(["/classify", "/classify/batch"])


def _wrong_value(random: Random) -> object:
    """Anything but a string or a list of strings."""
    return random.choice(
        [
            None,
            True,
            random.randrange(-(10**18), 10**18),
            random.uniform(-1e300, 1e300),
            {SECRET: SECRET},
            [[SECRET] * random.randrange(1, 9)],
            [SECRET, random.choice([0, None, {}])],
            [],
            {},
        ]
    )


def wrong_type(random: Random) -> bytes:
    field = random.choice(["text", "texts"])
    path = "/classify" if field == "text" else "/classify/batch"
    return _post(json.dumps({field: _wrong_value(random)}).encode(), _JSON, path=path)


def wrong_top_k(random: Random) -> bytes:
    wrong: object = random.choice([0, -1, 1001, 10**30, 1.5, 1e308, True, None, SECRET, [1], {}])
    return _post(json.dumps({"text": SECRET, "top_k": wrong}).encode(), _JSON)


def unknown_field(random: Random) -> bytes:
    fields = {f"{SECRET}{n}": n for n in range(random.randrange(1, 300))}
    return _post(json.dumps({"text": SECRET} | fields).encode(), _JSON)


def not_an_object(random: Random) -> bytes:
    value = random.choice([None, 1, SECRET, [SECRET], [{"text": SECRET}], True])
    return _post(json.dumps(value).encode(), _JSON, path=_path(random))


def truncated_json(random: Random) -> bytes:
    body = json.dumps({"text": SECRET, "top_k": 3}).encode()
    return _post(body[: random.randrange(len(body))], _JSON, path=_path(random))


def flipped_json(random: Random) -> bytes:
    """JSON whose string ends too early, so the rest is invalid."""
    body = json.dumps({"text": SECRET}).replace(" ", '"', random.randrange(2, 4))
    return _post(body.encode(), _JSON)


def deep_json(random: Random) -> bytes:
    depth = random.randrange(1_000, 100_000)
    return _post(random.choice([b"[", b'{"text":', b'{"a":[']) * depth, _JSON)


def huge_number(random: Random) -> bytes:
    digits = "9" * random.randrange(400, 20_000)
    number = random.choice([digits, f"-{digits}", f"1e{digits}", f"0.{digits}e{digits[:5]}", "NaN"])
    return _post(f'{{"text": "{SECRET}", "top_k": {number}}}'.encode(), _JSON)


def invalid_utf8(random: Random) -> bytes:
    wrong = random.choice([b"\xff", b"\xc3", b"\xed\xa0\x80", b"\xf5\x80\x80\x80", b"\xc0\xaf"])
    return _post(b'{"text": "' + SECRET.encode() + wrong + b'"}', _JSON)


def other_encoding(random: Random) -> bytes:
    encoding = random.choice(["utf-16", "utf-32", "utf-16-le", "utf-8-sig"])
    return _post(json.dumps({"text": SECRET}).encode(encoding), _JSON)


def random_bytes_as_json(random: Random) -> bytes:
    return _post(b"\x00" + random.randbytes(random.randrange(400)), _JSON, path=_path(random))


def other_content_type(random: Random) -> bytes:
    name = random.choice(["text/plain", "application/xml", "", SECRET, "application/jsonp", ";"])
    return _post(json.dumps({"text": SECRET}).encode(), f"Content-Type: {name}")


def form(random: Random) -> bytes:
    body = f"--x\r\nContent-Disposition: form-data; name=text\r\n\r\n{SECRET}\r\n--x--\r\n"
    return _post(body.encode(), "Content-Type: multipart/form-data; boundary=x")


def too_long(random: Random) -> bytes:
    text = SECRET * random.randrange(700, 3_000)
    return _post(json.dumps({"text": text}).encode(), _JSON)


def no_texts(random: Random) -> bytes:
    return _post(b'{"texts": []}', _JSON, path="/classify/batch")


def other_path(random: Random) -> bytes:
    paths = [
        "/",
        "/%00",
        "/..%2f..%2fetc%2fpasswd",
        "//classify",
        "/classify/",
        "/classify%2fbatch",
    ]
    path = random.choice(paths) + SECRET.replace(" ", "%20") + "x" * random.randrange(2_000)
    return _post(b"{}", _JSON, path=path, method=random.choice(["GET", "POST", "PUT"]))


def other_method(random: Random) -> bytes:
    method = random.choice(["GET", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "PROPFIND"])
    path = _path(random) + "?text=" + SECRET.replace(" ", "+")
    return _post(json.dumps({"text": SECRET}).encode(), _JSON, path=path, method=method)


def many_headers(random: Random) -> bytes:
    flood = [f"X-{n}: {SECRET}" for n in range(random.randrange(100, 1_000))]
    return _post(b"[]", _JSON, *flood)


def long_header(random: Random) -> bytes:
    return _post(b"[]", _JSON, "X-Long: " + SECRET * random.randrange(100, 3_000))


def chunked_nonsense(random: Random) -> bytes:
    """Well-formed chunks of what isn't JSON."""
    lines = [f"POST {_path(random)} HTTP/1.1", "Host: localhost", "Connection: close", _JSON]
    head = "\r\n".join([*lines, "Transfer-Encoding: chunked", "", ""]).encode()
    chunks = [SECRET.encode() * random.randrange(1, 20) for _ in range(random.randrange(1, 20))]
    return head + b"".join(b"%x\r\n%b\r\n" % (len(c), c) for c in chunks) + b"0\r\n\r\n"


def over_large(random: Random) -> bytes:
    """More than a body may have, by what its length says."""
    size = random.choice([2**20 + 1, 2**31, 2**40, 2**62])
    lines = [f"POST {_path(random)} HTTP/1.1", "Host: localhost", "Connection: close", _JSON]
    return "\r\n".join([*lines, f"Content-Length: {size}", "", SECRET]).encode()


def bad_after_bad(random: Random) -> bytes:
    """Several requests at once, one behind the other."""
    first = _post(json.dumps(_wrong_value(random)).encode(), _JSON).replace(b"close", b"keep-alive")
    return first * random.randrange(1, 5) + _post(b"{", _JSON)


# Not HTTP, or broken off: an answer, or a closed connection.


def random_bytes(random: Random) -> bytes:
    return random.randbytes(random.randrange(1, 2_000))


def request_line(random: Random) -> bytes:
    line = random.choice(
        [
            f"{SECRET}\r\n",
            "POST\r\n",
            "POST /classify\r\n",
            f"POST /{SECRET} HTTP/1.1\r\n",
            "POST /classify HTTP/9.9\r\n",
            "POST /classify HTTQ/1.1\r\n",
            "post /classify HTTP/1.1\r\n",
            " POST /classify HTTP/1.1\r\n",
            "POST\t/classify\tHTTP/1.1\r\n",
            "POST /classify\x00 HTTP/1.1\r\n",
            "PRI * HTTP/2.0\r\n\r\nSM\r\n",
            "POST /clas\xe9sify HTTP/1.1\r\n",
            "GET http://[::1 HTTP/1.1\r\n",
            "CONNECT / HTTP/1.1\r\n",
            "A" * random.randrange(1_000, 60_000),
        ]
    )
    return f"{line}Host: localhost\r\n\r\n".encode("latin-1")


def header(random: Random) -> bytes:
    line = random.choice(
        [
            f"{SECRET}",
            f": {SECRET}",
            f"X Y: {SECRET}",
            "X\x00: y",
            "X: \x00\x01\x02",
            " folded: at once",
            "X : y",
            "Content-Length: -1",
            "Content-Length: +5",
            "Content-Length: 0x10",
            "Content-Length: 5, 5",
            "Content-Length: " + "9" * random.randrange(19, 40),
            f"Content-Length: {SECRET}",
            "Transfer-Encoding: xchunked",
            "Transfer-Encoding: chunked, identity",
            "Transfer-Encoding: \x0bchunked",
            "H\xc3\xa4der: x",
        ]
    )
    return (
        f"POST /classify HTTP/1.1\r\nHost: localhost\r\n{_JSON}\r\n{line}\r\n\r\n{SECRET}".encode(
            "latin-1"
        )
    )


def smuggled(random: Random) -> bytes:
    """Two conflicting lengths, one of which hides a second request in the body of the first."""
    hidden = _post(json.dumps({"text": SECRET}).encode(), _JSON)
    lengths = random.choice(
        [
            [f"Content-Length: {len(hidden) + 5}", "Transfer-Encoding: chunked"],
            ["Transfer-Encoding: chunked", f"Content-Length: {len(hidden) + 5}"],
            ["Transfer-Encoding: chunked", "Transfer-Encoding: identity", "Content-Length: 4"],
            ["Content-Length: 0", f"Content-Length: {len(hidden)}"],
            ["Content-Length: 3", "Transfer-Encoding : chunked"],
            ["Content-Length: 3", "Transfer-Encoding:\x0bchunked"],
        ]
    )
    head = "\r\n".join(["POST /classify HTTP/1.1", "Host: localhost", _JSON, *lengths, "", ""])
    return head.encode("latin-1") + b"0\r\n\r\n" + hidden


def chunks(random: Random) -> bytes:
    chunk = random.choice(
        [
            "zz\r\n",
            "-1\r\nx\r\n",
            "ffffffffffffffffff\r\n",
            f"5\r\n{SECRET}\r\n",
            f"5;{SECRET}",
            "5\n12345\n",
            "0\r\nX Y: trailer\r\n\r\n",
            "1" * random.randrange(20, 2_000),
            "\r\n\r\n\r\n",
        ]
    )
    lines = [
        f"POST {_path(random)} HTTP/1.1",
        "Host: localhost",
        _JSON,
        "Transfer-Encoding: chunked",
    ]
    return "\r\n".join([*lines, "", chunk]).encode()


def truncated_head(random: Random) -> bytes:
    whole = _post(json.dumps({"text": SECRET}).encode(), _JSON)
    return whole[: random.randrange(1, whole.index(b"\r\n\r\n"))]


def truncated_body(random: Random) -> bytes:
    body = json.dumps({"text": SECRET}).encode()
    return _post(body, _JSON, path=_path(random))[: -random.randrange(1, len(body))]


def longer_than_its_length(random: Random) -> bytes:
    """A body that is longer than its Content-Length."""
    body = json.dumps([SECRET]).encode()
    return _post(body, _JSON).replace(b"close", b"keep-alive") + SECRET.encode() * 9


def tls(random: Random) -> bytes:
    """The beginning of a TLS handshake, sent to a plain HTTP port."""
    return b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + random.randbytes(512)


def garbage_after_bad(random: Random) -> bytes:
    return _post(b"[]", _JSON).replace(b"close", b"keep-alive") + random.randbytes(300)


_Make = Callable[[Random], bytes]
_WHOLE: list[_Make] = [
    wrong_type,
    wrong_top_k,
    unknown_field,
    not_an_object,
    truncated_json,
    flipped_json,
    deep_json,
    huge_number,
    invalid_utf8,
    other_encoding,
    random_bytes_as_json,
    other_content_type,
    form,
    too_long,
    no_texts,
    other_path,
    other_method,
    many_headers,
    long_header,
    chunked_nonsense,
    over_large,
    bad_after_bad,
]
_BROKEN: list[_Make] = [
    random_bytes,
    request_line,
    header,
    smuggled,
    chunks,
    truncated_head,
    truncated_body,
    longer_than_its_length,
    tls,
    garbage_after_bad,
]
