"""An artifact for where there is no Python: as C for firmware, as WebAssembly for the web.

What is the same in every export lies in ``exported``: the kernel's sources, the kernel as
WebAssembly (tools/make_kernel_wasm.py), and what calls them. docs/export.md describes the files.
"""

import hashlib
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal
from urllib.parse import quote

import neuralbits
from neuralbits import manifest
from neuralbits.errors import NeuralbitsError
from neuralbits.files import atomic_write, is_own, refuse_foreign, stamped
from neuralbits.manifest import Manifest

Format = Literal["c", "wasm"]

RECORD = "neuralbits-export.json"
"""Lists what was written, so that the next export can tell it from what somebody else wrote."""

SHARED = Path(__file__).with_name("exported")
MAX_TEXT_BYTES = 255
"""Bytes; the scratch buffer of the header is for such texts."""
_MAX_LAYERS = 4


class ExportError(NeuralbitsError):
    """An artifact that can't be exported, or a folder that it can't go to."""


def export(artifact: Path, form: Format, folder: Path, *, overwrite: bool = False) -> list[Path]:
    """Export an artifact into a folder, which is made if it isn't there; return the files.

    Other files of the folder stay as they are.

    Raises:
        ArtifactError: the artifact can't be used.
        ExportError: it can't be exported.
        ForeignFileError: one would replace a file that no export wrote, or that was edited since,
            and ``overwrite`` is false. Nothing was written.
        OSError: the files can't be written.
    """
    with manifest.naming(artifact):
        content = manifest.content_of(artifact)
        held = neuralbits.loads(content).manifest  # so that what is exported is sound
        layers = manifest.unpack(content).settings["network"]["layers"]
    _check(str(artifact), layers)
    if form == "c":
        if any("\0" in label for label in held.labels):
            raise ExportError(f"can't export {artifact}: one of its intents has a NUL in its name")
        files = dict(_as_c(artifact, content, held, layers))
    else:
        files = dict(_as_wasm(artifact, content, held))
    _write(
        files,
        folder,
        {"artifact": held.digest, "neuralbits": neuralbits.__version__},
        overwrite=overwrite,
    )
    return [folder / name for name in files]


def _check(artifact: str, layers: list[dict[str, Any]]) -> None:
    """Check that the kernel reads what the reference reads.

    Raises:
        ExportError: it doesn't.
    """
    if any(layer["precision"] == "float" for layer in layers):
        reason = "has float weights; train it with 8-bit ones or less"
    elif len(layers) > _MAX_LAYERS:
        reason = f"has {len(layers)} layers; train it with at most {_MAX_LAYERS}"
    else:
        return
    raise ExportError(f"can't export {artifact}: the kernel in C can't read it, as it {reason}")


# ---- C ---------------------------------------------------------------------------------------


def _as_c(
    artifact: Path, content: bytes, held: Manifest, layers: list[dict[str, Any]]
) -> Iterator[tuple[str, bytes]]:
    """Give the files of a C export: the kernel, the model as C, and a program for a desk."""
    for name in ("neuralbits.h", "neuralbits.c", "unicode.h"):
        yield name, (SHARED / "kernel" / name).read_bytes()
    name = identifier(artifact.stem)
    header = _HEADER.format(
        name=name,
        NAME=name.upper(),
        digest=held.digest,
        version=neuralbits.__version__,
        size=len(content),
        intents=len(held.labels),
        longest=MAX_TEXT_BYTES,
        scratch=scratch_size(held.projection, layers, MAX_TEXT_BYTES),
    )
    numbers = [str(byte) for byte in content]
    rows = (",".join(numbers[start : start + 24]) for start in range(0, len(numbers), 24))
    source = _SOURCE.format(
        name=name,
        NAME=name.upper(),
        numbers=",\n    ".join(rows),
        labels=",\n    ".join(map(c_string, held.labels)),
    )
    yield f"{name}_model.h", header.encode()
    yield f"{name}_model.c", source.encode()
    main = (SHARED / "main.c").read_text().replace("example", name).replace("EXAMPLE", name.upper())
    yield "main.c", main.encode()


_HEADER = """\
/* An artifact, {digest}. Written by `neuralbits export` {version}. */

#ifndef {NAME}_MODEL_H
#define {NAME}_MODEL_H

#include <stdint.h>

#define {NAME}_INTENTS {intents}
#define {NAME}_SCRATCH {scratch} /* bytes, aligned to 8, for texts of up to {longest} bytes */

extern const uint8_t {name}_model[{size}];
extern const char *const {name}_labels[{NAME}_INTENTS];

#endif
"""

_SOURCE = """\
#include "{name}_model.h"

const uint8_t {name}_model[] = {{
    {numbers}}};

const char *const {name}_labels[] = {{
    {labels}}};
"""


def identifier(name: str) -> str:
    """Make a name of C of a file's."""
    made = re.sub(r"\W", "_", name.lower(), flags=re.ASCII)
    return made if made[:1].isalpha() else f"m{made}"


def c_string(text: str) -> str:
    """Write a text as a string of C, in characters that mean themselves to any compiler."""
    return '"' + re.sub(rb"[^\w .,:/-]", _octal, text.encode()).decode() + '"'


def _octal(byte: re.Match[bytes]) -> bytes:
    return b"\\%03o" % ord(byte[0])


def scratch_size(projection: dict[str, Any], layers: list[dict[str, Any]], longest: int) -> int:
    """Return what neuralbits_scratch_size returns, for a buffer whose size a compiler has to know.

    It adds up what `lay_out` in kernel/neuralbits.c lays out.
    """
    functions, removed = int(projection["functions"]), len(projection["removed"])
    columns = _padded(functions - removed, 32)
    inputs, code_bits = int(layers[0]["inputs"]), int(projection["code_bits"])
    widest = max((int(layer["units"]) for layer in layers[:-1]), default=0)
    planes = (42 * longest + 1).bit_length() + 4  # of all votes, and of recent ones
    return (
        planes * columns * 8
        + 2 * columns * 4
        + (_padded(functions * 4, 8) if removed else 0)
        + _padded(inputs, 64) // 8 * code_bits
        + 4 * 2 * _padded((widest + 1) // 2, 16)
    )


def _padded(number: int, multiple: int) -> int:
    return -(-number // multiple) * multiple


# ---- WebAssembly -----------------------------------------------------------------------------


def _as_wasm(artifact: Path, content: bytes, held: Manifest) -> Iterator[tuple[str, bytes]]:
    """Give the files of an export for the web: the kernel with the model, and its loader."""
    name = artifact.stem
    yield f"{name}.wasm", _module(content, held)
    yield f"{name}.mjs", loader(f"./{quote(name)}.mjs", f"./{quote(name)}.wasm")
    yield f"{name}.d.mts", (SHARED / "loader.d.mts").read_bytes()


def module(content: bytes) -> bytes:
    """Make the one file that a page loads, kernel and model, of the bytes of a sound artifact.

    Raises:
        ExportError: the kernel can't read the artifact.
    """
    contents = manifest.unpack(content)
    _check("the artifact", contents.settings["network"]["layers"])
    return _module(content, manifest.read(contents, len(content)))


def _module(content: bytes, held: Manifest) -> bytes:
    labels = json.dumps(held.labels, ensure_ascii=False).encode()
    return (
        (SHARED / "kernel.wasm").read_bytes()
        + custom_section("neuralbits.model", content)
        + custom_section("neuralbits.labels", labels)
    )


def loader(itself: str, module: str) -> bytes:
    """Give the ES module that loads a `module`; both are named by where they lie to each other."""
    source = (SHARED / "loader.mjs").read_text()
    return source.replace("./example.mjs", itself).replace("./example.wasm", module).encode()


def custom_section(name: str, content: bytes) -> bytes:
    """Make a section that a module of WebAssembly may end with, of whatever one likes."""
    named = _leb128(len(name)) + name.encode() + content
    return b"\0" + _leb128(len(named)) + named


def _leb128(number: int) -> bytes:
    """Write a number by sevens of bits, the lowest first."""
    more = number >> 7
    return bytes([number & 127 | 128 * bool(more)]) + (_leb128(more) if more else b"")


# ---- The folder ------------------------------------------------------------------------------


def _write(
    files: dict[str, bytes], folder: Path, origin: dict[str, str], *, overwrite: bool
) -> None:
    """Write the files, each as a whole or not at all, and after them the record.

    Raises:
        ExportError: the folder can't be made. Nothing was written.
        ForeignFileError: one would replace a file that no export wrote, or that was edited since.
            Nothing was written.
        OSError: they can't be written.
    """
    if folder.exists() and not folder.is_dir():
        raise ExportError(f"{folder} is a file; --output names a folder")
    if not folder.parent.is_dir():
        raise ExportError(f"there is no folder {folder.parent} to make {folder.name} in; make it")
    record_path = folder / RECORD
    refuse_foreign([record_path], overwrite=overwrite)
    recorded: dict[str, str] = {}
    if is_own(record_path):
        recorded = json.loads(record_path.read_bytes())["files"]
    hashes = {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
    own: dict[str, set[str]] = {}
    for name in files:
        path = folder / name
        # One with the content that it is to get was written before an export was killed.
        own[name] = {recorded.get(name, ""), hashes[name]}
        refuse_foreign([path], overwrite=overwrite, digests=own[name])
    folder.mkdir(exist_ok=True)
    record = json.dumps(origin | {"files": recorded | hashes}, indent=2, sort_keys=True)
    for name, content in (files | {RECORD: stamped(record, ".json")}).items():
        with atomic_write(folder / name, overwrite=overwrite, digests=own.get(name, ())) as file:
            file.write(content)
