"""Export an artifact to C for firmware, to WebAssembly for browsers and Node, or to a library.

The folder ``exported`` has the files that every export copies: the kernel's sources, the kernel as
WebAssembly (tools/make_kernel_wasm.py), and their callers; kits.py makes libraries of them.
docs/export.md describes the files.
"""

import hashlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal
from urllib.parse import quote

import neuralbits
from neuralbits import kernel, kits, manifest
from neuralbits.c_source import c_bytes, c_string, identifier
from neuralbits.errors import NeuralbitsError
from neuralbits.files import atomic_write, is_own, refuse_foreign, stamped
from neuralbits.manifest import Contents

Format = Literal["c", "wasm", "arduino", "platformio", "esp-idf", "zephyr", "npm"]

RECORD = "neuralbits-export.json"
"""The list of exported files, by which the next export knows which files it may replace."""

SHARED = Path(__file__).with_name("exported")
MAX_TEXT_BYTES = 255
"""The longest text that fits the scratch buffer whose size the C header defines."""
_MAX_LAYERS = 4


class ExportError(NeuralbitsError):
    """The artifact can't be exported, or not into this folder."""


def export(artifact: Path, form: Format, folder: Path, *, overwrite: bool = False) -> list[Path]:
    """Export an artifact into a folder, and return the files.

    The folder is made if it doesn't exist. Its other files stay as they are.

    Args:
        artifact: the artifact's file; its stem names the exported files.
        form: ``"c"`` or ``"wasm"``, or the kind of a library.
        folder: where the files go.
        overwrite: also replace files that no export wrote, or that were edited since.

    Raises:
        ArtifactError: the artifact can't be used.
        ExportError: the kernel can't run the artifact, or another artifact in the folder has the
            same name in C.
        ForeignFileError: an output would replace a file that no export wrote, or that was edited
            since, and ``overwrite`` is false. Nothing was written.
        OSError: the files can't be written.

    Example:
        >>> from neuralbits.loading import locate
        >>> files = export(locate("home-assistant-en"), "wasm", Path("public"))
        >>> [file.name for file in files]
        ['home-assistant-en.wasm', 'home-assistant-en.mjs', 'home-assistant-en.d.mts']
    """
    with manifest.reading(artifact) as content:
        neuralbits.loads(content)  # refuses an artifact with a faulty network
        contents = manifest.open(content)
    _check(str(artifact), contents)
    names = {identifier(artifact.stem): artifact.stem}
    if form == "c":
        files = dict(_as_c(artifact, contents))
    elif form in _FIRMWARE:
        kit = _kit(artifact, contents, _scratch_size(artifact, contents))
        files = dict(_FIRMWARE[form](kit))
    else:
        names = {}
        files = dict(_as_wasm(artifact, contents))
        if form == "npm":
            files = dict(kits.npm(_kit(artifact, contents), files))
    _write(files, names, folder, contents.manifest.digest, overwrite=overwrite)
    return [folder / name for name in files]


_FIRMWARE: dict[str, Callable[[kits.Kit], Iterator[tuple[str, bytes]]]] = {
    "arduino": kits.arduino,
    "platformio": kits.platformio,
    "esp-idf": kits.esp_idf,
    "zephyr": kits.zephyr,
}


def _kit(artifact: Path, contents: Contents, scratch: int = 0) -> kits.Kit:
    return kits.Kit(
        artifact.stem,
        identifier(artifact.stem),
        contents.manifest.labels,
        contents.content,
        contents.manifest.digest,
        scratch,
        MAX_TEXT_BYTES,
    )


def _check(artifact: str, contents: Contents) -> None:
    """Check that the kernel in C can run an artifact.

    Raises:
        ExportError: the artifact has float weights or too many layers.
    """
    layers = contents.settings["network"]["layers"]
    if any(layer["precision"] == "float" for layer in layers):
        reason = "has float weights; train it with at most 8 bits"
    elif len(layers) > _MAX_LAYERS:
        reason = f"has {len(layers)} layers; train it with at most {_MAX_LAYERS}"
    else:
        return
    raise ExportError(f"can't export {artifact}: it {reason}")


# ---- C ---------------------------------------------------------------------------------------


def _as_c(artifact: Path, contents: Contents) -> Iterator[tuple[str, bytes]]:
    """Yield the files of a C export: the kernel, the model as C, and a program to try it.

    Raises:
        ExportError: the compiled kernel, which computes the size of the scratch buffer, is missing.
    """
    scratch = _scratch_size(artifact, contents)
    content, labels = contents.content, contents.manifest.labels
    for name in ("neuralbits.h", "neuralbits.c", "unicode.h"):
        yield name, (SHARED / "kernel" / name).read_bytes()
    name = identifier(artifact.stem)
    header = _HEADER.format(
        name=name,
        NAME=name.upper(),
        digest=contents.manifest.digest,
        version=neuralbits.__version__,
        size=len(content),
        intents=len(labels),
        longest=MAX_TEXT_BYTES,
        scratch=scratch,
    )
    source = _SOURCE.format(
        name=name,
        NAME=name.upper(),
        numbers=c_bytes(content),
        labels=",\n    ".join(map(c_string, labels)),
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


def _scratch_size(artifact: Path, contents: Contents) -> int:
    """Return the bytes of working memory for a text of `MAX_TEXT_BYTES`.

    Raises:
        ExportError: the compiled kernel, which computes it, is missing.
    """
    if not kernel.COMPILED:
        raise ExportError(
            f"can't export {artifact} as C without the compiled kernel: install a wheel of "
            "neuralbits, or install a C compiler and reinstall neuralbits"
        )
    engine = kernel.Kernel(contents.content, contents.manifest.labels)
    return engine.scratch_size(MAX_TEXT_BYTES)


# ---- WebAssembly -----------------------------------------------------------------------------


def _as_wasm(artifact: Path, contents: Contents) -> Iterator[tuple[str, bytes]]:
    """Yield the files of a WebAssembly export: kernel with model, loader, and its types."""
    name = artifact.stem
    yield f"{name}.wasm", _module(contents)
    yield f"{name}.mjs", loader(f"./{quote(name)}.mjs", f"./{quote(name)}.wasm")
    yield f"{name}.d.mts", (SHARED / "loader.d.mts").read_bytes()


def module(content: bytes) -> bytes:
    """Return a WebAssembly module with the kernel and a valid artifact's model.

    Raises:
        ExportError: the kernel can't run the artifact.
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
    """Return the ES module that loads a `module`; both arguments are relative URLs."""
    source = (SHARED / "loader.mjs").read_text()
    return source.replace("./example.mjs", itself).replace("./example.wasm", module).encode()


def custom_section(name: str, content: bytes) -> bytes:
    """Return a WebAssembly custom section, which can be appended to any module."""
    named = _leb128(len(name)) + name.encode() + content
    return b"\0" + _leb128(len(named)) + named


def _leb128(number: int) -> bytes:
    """Encode a number in unsigned LEB128."""
    more = number >> 7
    return bytes([number & 127 | 128 * bool(more)]) + (_leb128(more) if more else b"")


# ---- The folder ------------------------------------------------------------------------------


def _write(
    files: dict[str, bytes], names: dict[str, str], folder: Path, digest: str, *, overwrite: bool
) -> None:
    """Write each file atomically, then the record.

    Args:
        files: contents by file name.
        names: for C, the artifact's stem by its C identifier.
        folder: where the files go.
        digest: the artifact's digest, for the record.
        overwrite: replace files that no export wrote.

    Raises:
        ExportError: the folder can't be made, or another artifact in it has the same C identifier.
            Nothing was written.
        ForeignFileError: an output would replace a file that no export wrote, or that was edited
            since. Nothing was written.
        OSError: a file can't be written.
    """
    if folder.exists() and not folder.is_dir():
        raise ExportError(f"{folder} is a file; --output names a folder")
    if not folder.parent.is_dir():
        raise ExportError(f"there is no folder {folder.parent}; make it")
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
                f"{folder} has an export of {named[name]}.safetensors with the same name in C, "
                f"{name}: name another folder, or rename {stem}.safetensors"
            )
    hashes = {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
    own: dict[str, set[str]] = {}
    for name in files:
        path = folder / name
        # A file that already has its new content comes from an export that was killed.
        own[name] = {recorded.get(name, ""), hashes[name]}
        refuse_foreign([path], overwrite=overwrite, digests=own[name])
    folder.mkdir(exist_ok=True)
    for name in files:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
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
