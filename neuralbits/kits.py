"""Libraries for the tool chains of firmware and the web, each of one artifact.

A firmware kit is the same C library (`exported/kit.c`, `exported/kit.h`) under the manifests of
one tool chain: an Arduino library, a PlatformIO library, an ESP-IDF component or a Zephyr module.
It has a copy of the kernel whose names begin with the artifact's, so that two kits fit into one
program. The npm package has the WebAssembly export. One `Kit` describes all of them.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import neuralbits
from neuralbits.c_source import c_bytes, c_string

SHARED = Path(__file__).with_name("exported")
URL = "https://github.com/neuralbits/neuralbits"
AUTHOR = "the authors of neuralbits"
ARCHITECTURES = (
    "esp32,mbed,mbed_nano,mbed_nicla,mbed_opta,mbed_portenta,mbed_rp2040,nrf52,renesas_portenta,"
    "renesas_uno,rp2040,sam,samd,stm32,teensy"
)
"""Arduino's names of processors with enough memory; AVR and ESP8266 have too little."""


@dataclass(frozen=True)
class Kit:
    """An artifact, as its libraries describe it."""

    stem: str
    """The artifact's file name without its ending."""
    name: str
    """The C identifier that all names begin with."""
    labels: tuple[str, ...]
    content: bytes
    digest: str
    scratch: int
    """Bytes of working memory for a text of ``max_text`` bytes; 0 for an npm package, whose memory
    grows with the text."""
    max_text: int

    @property
    def summary(self) -> str:
        """What the library does, in a sentence."""
        return f"Classifies texts into {len(self.labels)} intents on the device ({self.stem})."

    @property
    def package(self) -> str:
        """The package's name, for registries that know lower-case names only.

        Example:
            >>> Kit("Home_2", "home_2", (), b"", "", 0, 0).package
            'home-2'
        """
        return re.sub(r"[^a-z0-9]+", "-", self.stem.lower()).strip("-") or "model"

    @property
    def properties(self) -> dict[str, str]:
        """What every manifest says, in npm's words."""
        return {
            "name": self.package,
            "version": neuralbits.__version__,
            "description": self.summary,
            "license": "Apache-2.0",
            "homepage": URL,
        }


def arduino(kit: Kit) -> Iterator[tuple[str, bytes]]:
    """Yield the files of an Arduino library."""
    yield from _library(kit)
    facts = kit.properties
    lines = {
        "name": kit.name,
        "version": facts["version"],
        "author": AUTHOR,
        "maintainer": AUTHOR,
        "sentence": facts["description"],
        "paragraph": "Reads raw text without a network, and says when a text is out of scope.",
        "category": "Data Processing",
        "url": facts["homepage"],
        "architectures": ARCHITECTURES,
        "includes": f"{kit.name}.h",
    }
    yield "library.properties", "".join(f"{key}={value}\n" for key, value in lines.items()).encode()
    yield "examples/Classify/Classify.ino", _template("kit.ino", kit)


def platformio(kit: Kit) -> Iterator[tuple[str, bytes]]:
    """Yield the files of a PlatformIO library."""
    yield from _library(kit)
    facts = kit.properties | {
        "keywords": "intent classification, machine learning, text",
        "authors": [{"name": AUTHOR}],
        "headers": f"{kit.name}.h",
        "frameworks": "*",
        "platforms": "*",
        "build": {"srcDir": "src", "includeDir": "src"},
        "examples": ["examples/*/*.cpp"],
    }
    yield "library.json", _json(facts)
    yield "examples/classify/main.cpp", b"#include <Arduino.h>\n" + _template("kit.ino", kit)


def esp_idf(kit: Kit) -> Iterator[tuple[str, bytes]]:
    """Yield the files of an ESP-IDF component."""
    yield from _library(kit)
    facts = kit.properties
    component = f'idf_component_register(SRCS "src/{kit.name}.c" INCLUDE_DIRS "src")\n'
    yield "CMakeLists.txt", component.encode()
    manifest = {
        "version": facts["version"],
        "description": facts["description"],
        "url": facts["homepage"],
        "license": facts["license"],
    }
    lines = [f"{key}: {json.dumps(value)}\n" for key, value in manifest.items()]
    yield "idf_component.yml", "".join([*lines, "dependencies:\n", '  idf: ">=5.0"\n']).encode()


def zephyr(kit: Kit) -> Iterator[tuple[str, bytes]]:
    """Yield the files of a Zephyr module, which ``CONFIG_<NAME>=y`` switches on."""
    yield from _library(kit)
    option = kit.name.upper()
    module = f"name: {kit.name}\nbuild:\n  cmake: zephyr\n  kconfig: zephyr/Kconfig\n"
    yield "zephyr/module.yml", module.encode()
    kconfig = f'config {option}\n\tbool "{kit.summary}"\n'
    yield "zephyr/Kconfig", kconfig.encode()
    cmake = (
        f"if(CONFIG_{option})\n"
        "  zephyr_include_directories(../src)\n"
        "  zephyr_library()\n"
        f"  zephyr_library_sources(../src/{kit.name}.c)\n"
        "endif()\n"
    )
    yield "zephyr/CMakeLists.txt", cmake.encode()


def npm(kit: Kit, wasm: dict[str, bytes]) -> Iterator[tuple[str, bytes]]:
    """Yield the files of an npm package around a WebAssembly export."""
    yield from wasm.items()
    manifest = kit.properties | {
        "type": "module",
        "exports": {
            ".": {"types": f"./{kit.stem}.d.mts", "default": f"./{kit.stem}.mjs"},
            f"./{kit.stem}.wasm": f"./{kit.stem}.wasm",
        },
        "files": list(wasm),
        "sideEffects": False,
        "engines": {"node": ">=20"},
    }
    yield "package.json", _json(manifest)
    example = (
        f'import {{ load }} from "{kit.package}";\n\n'
        "const classifier = await load();\n"
        'classifier.classify("…"); // { intent, confidence, in_scope, intents }\n'
    )
    yield "README.md", f"# {kit.package}\n\n{kit.summary}\n\n```js\n{example}```\n".encode()


def _library(kit: Kit) -> Iterator[tuple[str, bytes]]:
    """Yield the C library that every firmware kit has below ``src/``.

    Tool chains compile each ``.c`` file there, so the kernel's is named ``.inc``; the library's one
    source includes it.
    """
    header = (SHARED / "kernel" / "neuralbits.h").read_text()
    public = sorted(set(re.findall(r"\b(neuralbits_[a-z_]+)\(", header)))
    yield f"src/{kit.name}.h", _template("kit.h", kit)
    names = "\n".join(f"#define {function} {kit.name}_{function}" for function in public)
    yield f"src/{kit.name}.c", _template("kit.c", kit).replace(b"/* NAMES */", names.encode())
    yield f"src/{kit.name}/neuralbits.h", header.encode()
    for name, target in (("neuralbits.c", "neuralbits.inc"), ("unicode.h", "unicode.h")):
        yield f"src/{kit.name}/{target}", (SHARED / "kernel" / name).read_bytes()
    yield f"src/{kit.name}/model.h", _model(kit)
    yield "README.md", _template("kit.md", kit)


def _template(name: str, kit: Kit) -> bytes:
    """Fill in a file of ``exported/``: its names begin with ``example``."""
    text = (SHARED / name).read_text(encoding="utf-8")
    for word, value in {
        "EXAMPLE_SUMMARY": kit.summary,
        "EXAMPLE_DIGEST": kit.digest,
        "EXAMPLE_INTENTS_NUMBER": str(len(kit.labels)),
        "EXAMPLE_SCRATCH_NUMBER": str(kit.scratch),
        "EXAMPLE_MAX_TEXT_NUMBER": str(kit.max_text),
        "EXAMPLE": kit.name.upper(),
        "example": kit.name,
    }.items():
        text = text.replace(word, value)
    return text.encode()


def _model(kit: Kit) -> bytes:
    labels = ",\n    ".join(map(c_string, kit.labels))
    return (
        f"static const uint8_t model[] = {{\n    {c_bytes(kit.content)}}};\n\n"
        f"const char *const {kit.name}_labels[] = {{\n    {labels}}};\n"
    ).encode()


def _json(value: object) -> bytes:
    return (json.dumps(value, indent=2, ensure_ascii=False) + "\n").encode()
