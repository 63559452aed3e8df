"""An artifact for where there is no Python: as C for firmware, as WebAssembly for the web.

What is the same in every export lies in ``exported``: the kernel's sources, the kernel as
WebAssembly (tools/make_kernel_wasm.py), and what calls them. docs/export.md describes the files.
"""

import hashlib
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Literal
from urllib.parse import quote

import neuralbits
from neuralbits import kernel, manifest
from neuralbits.errors import NeuralbitsError
from neuralbits.files import atomic_write, is_own, refuse_foreign, stamped
from neuralbits.manifest import Contents

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
        ExportError: it can't be exported, or another artifact has its name in C in that folder.
        ForeignFileError: one would replace a file that no export wrote, or that was edited since,
            and ``overwrite`` is false. Nothing was written.
        OSError: the files can't be written.
    """
    with manifest.reading(artifact) as content:
        neuralbits.loads(content)  # refuses an artifact with a faulty network
        contents = manifest.open(content)
    _check(str(artifact), contents)
    names: dict[str, str] = {}
    if form == "c":
        files = dict(_as_c(artifact, contents))
        names = {identifier(artifact.stem): artifact.stem}
    else:
        files = dict(_as_wasm(artifact, contents))
    _write(files, names, folder, contents.manifest.digest, overwrite=overwrite)
    return [folder / name for name in files]


def _check(artifact: str, contents: Contents) -> None:
    """Check that the kernel reads what the reference reads.

    Raises:
        ExportError: it doesn't.
    """
    layers = contents.settings["network"]["layers"]
    if any(layer["precision"] == "float" for layer in layers):
        reason = "has float weights; train it with 8-bit ones or less"
    elif len(layers) > _MAX_LAYERS:
        reason = f"has {len(layers)} layers; train it with at most {_MAX_LAYERS}"
    else:
        return
    raise ExportError(f"can't export {artifact}: the kernel in C can't read it, as it {reason}")


# ---- C ---------------------------------------------------------------------------------------


def _as_c(artifact: Path, contents: Contents) -> Iterator[tuple[str, bytes]]:
    """Give the files of a C export: the kernel, the model as C, and a program for a desk.

    Raises:
        ExportError: there is no compiled kernel to ask for the size of the scratch buffer.
    """
    if not kernel.COMPILED:
        raise ExportError(
            f"can't export {artifact} as C without the compiled kernel: install a wheel of "
            "neuralbits, or a C compiler and neuralbits again"
        )
    content, held = contents.content, contents.manifest
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
        scratch=kernel.Kernel(content, held.labels).scratch_size(MAX_TEXT_BYTES),
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
    """Make a name of C of a file's; the prefix of the kernel's own names is left to it."""
    made = re.sub(r"\W", "_", name.lower(), flags=re.ASCII)
    if made.startswith("neuralbits"):
        return f"m_{made}"
    return made if made[:1].isalpha() else f"m{made}"


def c_string(text: str) -> str:
    """Write a text as a string of C, in characters that mean themselves to any compiler."""
    return '"' + re.sub(rb"[^\w .,:/-]", _octal, text.encode()).decode() + '"'


def _octal(byte: re.Match[bytes]) -> bytes:
    return b"\\%03o" % ord(byte[0])


# ---- WebAssembly -----------------------------------------------------------------------------


def _as_wasm(artifact: Path, contents: Contents) -> Iterator[tuple[str, bytes]]:
    """Give the files of an export for the web: the kernel with the model, and its loader."""
    name = artifact.stem
    yield f"{name}.wasm", _module(contents)
    yield f"{name}.mjs", loader(f"./{quote(name)}.mjs", f"./{quote(name)}.wasm")
    yield f"{name}.d.mts", (SHARED / "loader.d.mts").read_bytes()


def module(content: bytes) -> bytes:
    """Make the one file that a page loads, kernel and model, of the bytes of a sound artifact.

    Raises:
        ExportError: the kernel can't read the artifact.
    """
    contents = manifest.open(content)
    _check("the artifact", contents)
    return _module(contents)


def _module(contents: Contents) -> bytes:
    labels = json.dumps(contents.manifest.labels, ensure_ascii=False).encode()
    return (
        (SHARED / "kernel.wasm").read_bytes()
        + custom_section("neuralbits.model", contents.content)
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
    files: dict[str, bytes], names: dict[str, str], folder: Path, digest: str, *, overwrite: bool
) -> None:
    """Write the files, each as a whole or not at all, and after them the record.

    Args:
        files: contents by name.
        names: the artifact's stem by its name in C, if it has one.
        folder: where they go.
        digest: the artifact's.
        overwrite: replace files that no export wrote.

    Raises:
        ExportError: the folder can't be made, or another artifact has the name in C there.
            Nothing was written.
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
    named: dict[str, str] = {}
    if is_own(record_path):
        earlier = json.loads(record_path.read_bytes())
        recorded, named = earlier["files"], earlier["names"]
    for name, stem in names.items():
        if named.get(name, stem) != stem and not overwrite:
            raise ExportError(
                f"{folder} has {named[name]}.safetensors, whose name in C is {name} like that of "
                f"{stem}.safetensors: name another folder, or rename the artifact"
            )
    hashes = {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
    own: dict[str, set[str]] = {}
    for name in files:
        path = folder / name
        # One with the content that it is to get was written before an export was killed.
        own[name] = {recorded.get(name, ""), hashes[name]}
        refuse_foreign([path], overwrite=overwrite, digests=own[name])
    folder.mkdir(exist_ok=True)
    record = {
        "artifact": digest,
        "neuralbits": neuralbits.__version__,
        "files": recorded | hashes,
        "names": named | names,
    }
    text = json.dumps(record, indent=2, sort_keys=True)
    for name, content in (files | {RECORD: stamped(text, ".json")}).items():
        with atomic_write(folder / name, overwrite=overwrite, digests=own.get(name, ())) as file:
            file.write(content)
