"""Write neuralbits/exported/kernel.wasm: the kernel as WebAssembly, which every export contains.

    python tools/make_kernel_wasm.py > neuralbits/exported/kernel.wasm

Needs clang and wasm-ld (Debian: clang, lld), so that `neuralbits export` needs neither. The same
clang writes the same bytes; a custom section, `built`, has its version and the hash of its input.
tests/runtime/test_export.py fails if kernel/ has changed since.
"""

import hashlib
import json
import subprocess
import sys
import tempfile
from pathlib import Path

from neuralbits.export import custom_section

KERNEL = Path(__file__).parents[1] / "kernel"
UNITS = ["neuralbits.c", "wasm/module.c"]
HEADERS = ["neuralbits.h", "unicode.h", "wasm/string.h"]
FLAGS = [
    *("--target=wasm32", "-std=c99", "-O3", "-nostdlib", "-isystem", "wasm"),
    "-mbulk-memory",  # memory.copy and memory.fill, which every browser has had since 2021
    *("-fno-builtin-strcmp", "-fno-builtin-strncmp"),  # no other functions
    *("-Wall", "-Wextra", "-Wpedantic", "-Wconversion", "-Wshadow", "-Werror"),
    *("-Wl,--no-entry", "-Wl,--strip-all", "-Wl,--export=__heap_base"),
    *("-Wl,--stack-first", "-Wl,-z,stack-size=32768"),  # a stack that overflows traps
]


def compiler() -> str:
    """Return the name and version of the installed clang."""
    printed = subprocess.run(["clang", "--version"], capture_output=True, text=True, check=True)
    return printed.stdout.splitlines()[0]


def sources_digest() -> str:
    """Hash the module's input: flags and files."""
    digest = hashlib.sha256(json.dumps(FLAGS).encode())
    for name in [*UNITS, *HEADERS]:
        digest.update(name.encode() + b"\0" + (KERNEL / name).read_bytes())
    return digest.hexdigest()


def compile_module() -> bytes:
    """Compile the module, without the section `built`."""
    with tempfile.TemporaryDirectory() as folder:
        module = Path(folder) / "kernel.wasm"
        subprocess.run(["clang", *FLAGS, *UNITS, "-o", module], cwd=KERNEL, check=True)
        return module.read_bytes()


if __name__ == "__main__":
    built = json.dumps({"compiler": compiler(), "sources": sources_digest()})
    sys.stdout.buffer.write(compile_module() + custom_section("built", built.encode()))
