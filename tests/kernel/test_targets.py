"""The kernel on other processors, each emulated.

What tests/test_kernel.py demands of the kernel here, it demands of it there, too: of programs
compiled for 64-bit ARM under Linux, and for a Cortex-M without an operating system.
"""

import re
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import neuralbits
from neuralbits import artifact
from neuralbits.errors import NeuralbitsError
from neuralbits.network import margin
from neuralbits.packing import Precision
from neuralbits.projection import Projection
from tests.kernel.test_kernel import (  # noqa: F401 (its tests, with the driver below)
    TEXTS,
    assert_alike,
    assert_explained_alike,
    make,
    test_any_projection_is_answered_as_by_the_reference,
    test_invalid_utf_8_is_read_as_replacement_characters,
    test_the_vectors_have_the_bits_of_the_reference,
)
from tests.support.builds import DRIVER, STRICT, cached, compiled
from tests.support.driver import Driver, EmulatedDriver
from tests.support.paths import ROOT
from tests.support.requirements import needs, require
from tests.support.tiers import tiers
from tools import measure_devices as devices

CLINC150 = ROOT / "artifacts" / "clinc150.safetensors"
CORTEX_M = "gcc-arm-none-eabi libnewlib-arm-none-eabi qemu-system-arm"
needs_cortex_m = needs("arm-none-eabi-gcc", "qemu-system-arm", package=CORTEX_M)


def aarch64(folder: Path) -> Driver:
    """Compile the driver for Linux on 64-bit ARM."""
    packages = "gcc-aarch64-linux-gnu libc6-dev-arm64-cross qemu-user"
    require("aarch64-linux-gnu-gcc", "qemu-aarch64", package=packages)
    program = compiled("aarch64-linux-gnu-gcc", [*STRICT, "-O3", "-static"])
    return Driver(["qemu-aarch64", program], folder)


def cortex_m4(folder: Path) -> Driver:
    """Compile the driver for a machine without an operating system; it reads the host's files."""
    require("arm-none-eabi-gcc", "qemu-system-arm", package=CORTEX_M)
    flags = [*STRICT, "-O2", "--specs=rdimon.specs", f"-Wl,-T,{devices.MEMORY}"]
    program = cached(
        lambda path: devices.compile_for("cortex-m4", path, *flags, *DRIVER), "cortex-m4", flags
    )

    def command(path: Path) -> list[str | Path]:
        machine = devices.emulator("cortex-m4", "arg=driver", f"arg={path}")
        return [*machine, "-kernel", program]

    return EmulatedDriver(command, folder)


@pytest.fixture(scope="module", params=[aarch64, cortex_m4], ids=lambda target: target.__name__)
def driver(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Driver]:
    with request.param(tmp_path_factory.mktemp("target")) as started:
        yield started


@pytest.mark.parametrize("zeros", [0.0, 0.97])
@pytest.mark.parametrize("precision", ["binary", "ternary", "int4", "int8"])
def test_any_weights_are_answered_as_by_the_reference(
    driver: Driver, precision: Precision, zeros: float
) -> None:
    model = make(first=precision, later=precision, zeros=zeros, layers=4)
    assert_alike(driver, model, TEXTS)


@pytest.fixture(scope="module", params=tiers(150, 4500))
def texts(request: pytest.FixtureRequest, data_folder: Path) -> list[str]:
    """Texts of CLINC150's test split, evenly spaced, so that each intent has one."""
    from neuralbits.model_training.data import load_file

    texts = load_file(data_folder / "clinc150" / "test.csv").examples.texts
    return texts[:: len(texts) // request.param]


@pytest.mark.parametrize("driver", [aarch64], ids=["aarch64"], indirect=True)
def test_a_program_explains_as_the_reference_does(driver: Driver) -> None:
    assert_explained_alike(driver, make(), TEXTS)


def assert_those_of_this_machine(
    texts: Sequence[str], scores: npt.NDArray[Any], answers: Mapping[str, Sequence[Any]]
) -> None:
    """Compare answers to CLINC150's test split with those that this machine's processor gives."""
    classifier = neuralbits.load(CLINC150)
    expected = classifier.scores(texts)
    assert np.array_equal(scores, expected)
    assert np.array_equal(answers["margin"], margin(expected))
    predictions = classifier.classify_batch(texts)
    labels = classifier.manifest.labels
    assert [labels[intent] for intent in answers["intent"]] == [each.intent for each in predictions]
    assert [bool(each) for each in answers["in_scope"]] == [each.in_scope for each in predictions]
    assert {each.in_scope for each in predictions} == {True, False}


@pytest.mark.parametrize("driver", [aarch64], ids=["aarch64"], indirect=True)
def test_a_program_answers_as_this_machine_does(driver: Driver, texts: list[str]) -> None:
    answers = driver.answer(CLINC150.read_bytes(), texts)
    fields = {
        name: [answer[name] for answer in answers] for name in ("margin", "intent", "in_scope")
    }
    assert_those_of_this_machine(texts, np.array([each["scores"] for each in answers]), fields)


@needs_cortex_m
@pytest.mark.parametrize("processor", devices.DEVICES)
def test_a_firmware_answers_as_this_machine_does(
    processor: str, texts: list[str], tmp_path: Path
) -> None:
    program = devices.firmware(processor, "-Os", CLINC150, tmp_path)
    _, answers = devices.run(processor, program, texts)
    assert_those_of_this_machine(texts, answers["scores"], answers)


@needs_cortex_m
def test_an_emulator_counts_the_same_instructions_whenever_it_runs(tmp_path: Path) -> None:
    program = devices.firmware("cortex-m0", "-Os", CLINC150, tmp_path)
    texts = ["turn off the lamp", "", "turn off the lamp", "turn off the lamp in the kitchen"]
    _, answers = devices.run("cortex-m0", program, texts, counted=True)
    assert np.array_equal(answers, devices.run("cortex-m0", program, texts, counted=True)[1])
    lamp, empty, again, kitchen = map(int, answers["ticks"])
    assert empty < lamp < kitchen
    assert abs(lamp - again) <= 1  # a tick is many instructions


@needs_cortex_m
def test_a_firmware_refuses_a_file_that_is_no_artifact(tmp_path: Path) -> None:
    (tmp_path / "foreign").write_bytes(b"PK\x03\x04" * 100)
    program = devices.firmware("cortex-m0", "-Os", tmp_path / "foreign", tmp_path)
    with pytest.raises(subprocess.CalledProcessError):
        devices.run("cortex-m0", program, ["lamp"])


@needs_cortex_m
@pytest.mark.parametrize("processor", devices.DEVICES)
def test_scores_need_no_floating_point_and_no_variables(processor: str, tmp_path: Path) -> None:
    # Neither processor has instructions for floating point: each operation is a routine of libgcc.
    routine = re.compile(r"\b__aeabi_(?:c?[df]|u?[il]2[df])\w+$", re.MULTILINE)
    called, variables = {}, {}
    for what, functions in devices.FUNCTIONS.items():
        program = devices.kernel_alone(processor, "-Os", functions, tmp_path)
        listed = subprocess.run(
            ["arm-none-eabi-nm", program], capture_output=True, text=True, check=True
        ).stdout
        assert "T neuralbits_score\n" in listed
        called[what] = set(routine.findall(listed))
        variables[what] = devices.sizes(program)["data"] + devices.sizes(program)["bss"]
    assert called["scores alone"] == set()
    assert "__aeabi_ddiv" in called["and opening a file"]  # the scale by the temperature
    assert set(variables.values()) == {0}


@needs_cortex_m
def test_the_printed_sizes_of_an_artifact_add_up(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setattr(devices, "LEVELS", ("-Os",))
    devices.print_artifacts([CLINC150], ["turn off the lamp"], tmp_path)
    rows = [
        [int(cell.replace(",", "")) for cell in re.findall(r" ([\d,]+) (?=\|)", line)]
        for line in capsys.readouterr().out.splitlines()
        if line.startswith("| clinc150 |")
    ]
    memory, *time = rows
    size, bits, units, *parts, in_all = memory
    assert size == CLINC150.stat().st_size
    assert sum(parts) == in_all < 16 * 1024
    assert [each[0] > size for each in time] == [True] * len(devices.DEVICES)
    # The first layer reads 32 bits at a time, and takes more than one instruction for it.
    assert all(bits * units / 32 < empty < text for *_, empty, text, _ in time)


@needs_cortex_m
def test_an_artifact_that_does_not_fit_a_device_is_reported(tmp_path: Path) -> None:
    model = make(Projection(functions=128, dimensions=64))
    artifact.write(model, tmp_path / "large.safetensors")
    with pytest.raises(NeuralbitsError, match=r"large\.safetensors can't be used .*memory\.ld"):
        devices.print_artifacts([tmp_path / "large.safetensors"], [""], tmp_path)
