"""Print the kernel's flash, memory and time on microcontrollers: the tables of docs/devices.md.

    python tools/measure_devices.py [ARTIFACT ...]

Builds kernel/cortex-m/firmware.c around each artifact, by default the shipped ones, and runs it on
QEMU, which counts instructions. The texts are those of CLINC150's test split.
"""

import csv
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Sequence
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from neuralbits import artifact
from neuralbits.errors import NeuralbitsError
from neuralbits.model_training.data import public

ROOT = Path(__file__).parents[1]
KERNEL = ROOT / "kernel" / "neuralbits.c"
CORTEX_M = ROOT / "kernel" / "cortex-m"
MEMORY = CORTEX_M / "memory.ld"

DEVICES = {"cortex-m0": "microbit", "cortex-m4": "mps2-an386"}
"""The processors, and the machines of QEMU that have them."""
LEVELS = ("-Os", "-O2")
HERTZ = 64_000_000

FUNCTIONS = {
    "scores alone": ["neuralbits_score"],
    "and opening a file": ["neuralbits_score", "neuralbits_open"],
    "and probabilities": ["neuralbits_score", "neuralbits_open", "neuralbits_probabilities"],
}

# What kernel/cortex-m/firmware.c writes.
READY = np.dtype(
    [
        (name, "<u4")
        for name in (
            *("status", "intents", "longest_text", "model_bytes", "scratch_bytes"),
            *("loop_instructions", "loop_ticks", "ticks", "stack_bytes"),
        )
    ]
)
ANSWERED = np.dtype(
    [
        ("margin", "<i8"),
        *((name, "<u4") for name in ("intent", "in_scope", "ticks", "stack_bytes")),
    ]
)


def missing() -> str | None:
    """Exit with the name of a missing tool, if one is missing."""
    packages = {"arm-none-eabi-gcc": "gcc-arm-none-eabi", "qemu-system-arm": "qemu-system-arm"}
    for tool, package in packages.items():
        if shutil.which(tool) is None:
            return f"there is no {tool}; on Debian: apt-get install {package}"
    if not Path(_output("arm-none-eabi-gcc", "-print-file-name=libc.a").strip()).is_absolute():
        return "there is no newlib; on Debian: apt-get install libnewlib-arm-none-eabi"
    return None


def _output(*command: str | Path) -> str:
    return subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout


def compile_for(processor: str, program: Path, *arguments: str | Path) -> Path:
    """Compile and link without unreachable sections."""
    sections = ["-ffunction-sections", "-fdata-sections", "-Wl,--gc-sections"]
    target = [f"-mcpu={processor}", "-mthumb", "-std=c99"]
    command = ["arm-none-eabi-gcc", *target, *sections, *arguments, "-o", program]
    subprocess.run(command, check=True)
    return program


def kernel_alone(processor: str, level: str, functions: Iterable[str], folder: Path) -> Path:
    """Link the kernel with only the code that some of its functions need."""
    wanted = [f"-Wl,-u,{function}" for function in functions]
    start = ["-nostartfiles", "-Wl,-e,neuralbits_score"]
    return compile_for(processor, folder / "kernel.elf", level, *start, *wanted, KERNEL)


def firmware(processor: str, level: str, path: Path, folder: Path) -> Path:
    """Build the firmware with an artifact in its flash."""
    shutil.copy(path, folder / "artifact")
    given = [f'-DARTIFACT="{folder / "artifact"}"', "-nostartfiles", f"-Wl,-T,{MEMORY}"]
    sources = [KERNEL, CORTEX_M / "firmware.c"]
    return compile_for(processor, folder / "firmware.elf", level, *given, *sources)


def emulator(processor: str, *arguments: str) -> list[str]:
    """Return the command that runs a program on a machine with semihosting."""
    quiet = ["-nographic", "-monitor", "none", "-serial", "none"]
    host = ["-semihosting-config", ",".join(["enable=on", "target=native", *arguments])]
    return ["qemu-system-arm", "-machine", DEVICES[processor], *quiet, *host]


def run(
    processor: str, program: Path, texts: Sequence[str], counted: bool = False
) -> tuple[Any, npt.NDArray[Any]]:
    """Run the firmware; return its first message, and an answer for each text.

    If ``counted``, the machine's clock counts instructions, rather than following the host's.
    """
    encoded = [text.encode() for text in texts]
    given = b"".join(len(text).to_bytes(4, "little") + text for text in encoded)
    clock = ["-icount", "shift=0"] if counted else []
    command = [*emulator(processor), *clock, "-kernel", str(program)]
    ran = subprocess.run(command, input=given, stdout=subprocess.PIPE, check=True)
    (ready,) = np.frombuffer(ran.stdout, READY, 1)
    answer = np.dtype([*ANSWERED.descr, ("scores", "<i4", (int(ready["intents"]),))])
    return ready, np.frombuffer(ran.stdout, answer, offset=READY.itemsize)


def sizes(program: Path) -> dict[str, int]:
    """Return the linked sizes of text (code and constants), data and bss, in bytes."""
    names, numbers = _output("arm-none-eabi-size", program).splitlines()
    return dict(zip(names.split()[:3], map(int, numbers.split()[:3]), strict=True))


def flash(program: Path) -> int:
    """Return the bytes of flash that a program takes, initial values of data included."""
    return sizes(program)["text"] + sizes(program)["data"]


def unicode_tables(program: Path) -> int:
    """Return the bytes of the tables of kernel/unicode.h."""
    symbols = map(str.split, _output("arm-none-eabi-nm", "-S", program).splitlines())
    return sum(int(symbol[1], 16) for symbol in symbols if symbol[-1].startswith("NEURALBITS_"))


def print_table(head: Sequence[str], rows: Iterable[Sequence[str | float]]) -> None:
    """Print a table in Markdown."""
    print(f"| {' | '.join(head)} |\n{'|---' * len(head)}|")
    for row in rows:
        cells = (cell if isinstance(cell, str) else f"{cell:,.0f}" for cell in row)
        print(f"| {' | '.join(cells)} |")
    print(flush=True)


def print_kernel(folder: Path) -> None:
    """Print the flash that the kernel takes, by processor and by functions used."""
    rows: list[list[str | float]] = []
    for processor, level in product(DEVICES, LEVELS):
        rows.append([processor, level])
        for functions in FUNCTIONS.values():
            program = kernel_alone(processor, level, functions, folder)
            rows[-1].append(flash(program))
        rows[-1].append(unicode_tables(program))
    print_table(["processor", "compiled", *FUNCTIONS, "of which tables of Unicode"], rows)


def print_artifacts(paths: Sequence[Path], texts: Sequence[str], folder: Path) -> None:
    """Print the memory and the instructions that each artifact takes."""
    memory: list[list[str | float]] = []
    time: list[list[str | float]] = []
    for path in paths:
        held, deepest = artifact.read(path), 0
        for processor, level in product(DEVICES, LEVELS):
            try:
                program = firmware(processor, level, path, folder)
                ready, answers = run(processor, program, ["", *texts], counted=True)
            except subprocess.CalledProcessError:
                raise NeuralbitsError(
                    f"{path} can't be used in a firmware with the memory of {MEMORY}; "
                    "try it with more there"
                ) from None
            worth = ready["loop_instructions"] / ready["loop_ticks"]
            instructions = answers["ticks"] * worth
            stack = ready["stack_bytes"], answers["stack_bytes"].max()
            deepest = max(deepest, *stack)
            milliseconds = 1000 * instructions[1:].mean() / HERTZ
            time.append(
                [
                    *(path.stem, processor, level, flash(program), *stack),
                    *(ready["ticks"] * worth, instructions[0]),
                    *(instructions[1:].mean(), instructions.max(), f"{milliseconds:.1f}"),
                ]
            )
        units, inputs = held.network.layers[0].weights.shape
        parts = [ready["model_bytes"], ready["longest_text"], 4 * ready["intents"]]
        parts += [ready["scratch_bytes"], deepest]
        bits = inputs * held.projection.code_bits
        memory.append([path.stem, path.stat().st_size, bits, units, *parts, sum(map(int, parts))])
    print_table(
        [
            *("artifact", "bytes", "neural bits", "hidden units"),
            *("model", "text", "scores", "scratch", "stack", "RAM in all"),
        ],
        memory,
    )
    print_table(
        [
            *("artifact", "processor", "compiled", "flash", "stack, opening", "stack, a text"),
            *("instructions, opening", "an empty text", "a text", "the costliest text"),
            f"a text in ms at {HERTZ // 10**6} MHz, estimated",
        ],
        time,
    )


def main() -> None:
    """Print the tables."""
    paths = [Path(path) for path in sys.argv[1:]]
    paths = paths or sorted((ROOT / "artifacts").glob("*.safetensors"))
    if reason := missing():
        raise NeuralbitsError(reason)
    with (public.folder(public.PUBLIC["clinc150"]) / "test.csv").open() as file:
        texts = [row["text"] for row in csv.DictReader(file)]
    lengths = [len(text.encode()) for text in texts]
    print(
        f"{len(texts):,} texts of {np.mean(lengths):.0f} bytes in the mean, {max(lengths)} at most"
    )
    print()
    with tempfile.TemporaryDirectory() as name:
        print_kernel(Path(name))
        print_artifacts(paths, texts, Path(name))


if __name__ == "__main__":
    try:
        main()
    except NeuralbitsError as error:
        sys.exit(f"measure_devices: {error}")
