"""Libraries of an artifact, built by the tool of each, or else by its compiler."""

import json
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest
import yaml  # type: ignore[import-untyped]

import neuralbits
from neuralbits import export
from tests.support.builds import STRICT
from tests.support.paths import ROOT
from tests.support.requirements import needs, needs_compiler, needs_kernel, require

HOME, CLINC150 = (
    ROOT / "artifacts" / f"{name}.safetensors" for name in ("home-assistant-en", "clinc150")
)
TEXTS = ["turn of teh lamp", "order a pizza", "", "20 %", "éteins la lumière", "x" * 255, "x" * 256]
FIRMWARE = ["arduino", "platformio", "esp-idf", "zephyr"]

needs_node = needs("node", package="nodejs")
needs_cmake = needs("cmake", package="cmake")
pytestmark = needs_kernel

MAIN = """
#include <stdio.h>
#include <string.h>
#include "home_assistant_en.h"
#include "clinc150.h"

int main(int count, char **texts)
{
    for (int i = 1; i < count; i++) {
        home_assistant_en_answer one;
        clinc150_answer other;
        if (home_assistant_en_classify(texts[i], strlen(texts[i]), &one)
            && clinc150_classify(texts[i], strlen(texts[i]), &other))
            printf("%s %d %s %d\\n", one.intent, one.in_scope, other.intent, other.in_scope);
        else
            puts("too long");
    }
}
"""

SKETCH = """
#include <stdlib.h>
struct String {
  const char *c_str() const { return ""; }
  unsigned length() const { return 0; }
};
struct {
  void begin(long) {}
  int available() { return 0; }
  String readStringUntil(char) { return String(); }
  void println(const char *) {}
} Serial;
"""


def kit(path: Path, form: export.Format, folder: Path) -> Path:
    export.export(path, form, folder)
    return folder


def answers(text: str) -> str:
    if len(text.encode()) > export.MAX_TEXT_BYTES:
        return "too long"
    said = [neuralbits.load(path).classify(text) for path in (HOME, CLINC150)]
    return " ".join(f"{each.intent} {each.in_scope:d}" for each in said)


@needs_compiler
def test_two_kits_in_one_program_answer_as_python_does(tmp_path: Path) -> None:
    kits = [kit(path, "platformio", tmp_path / path.stem) for path in (HOME, CLINC150)]
    (tmp_path / "main.c").write_text(MAIN)
    sources = [tmp_path / "main.c", *(source for each in kits for source in each.glob("src/*.c"))]
    included = [f"-I{each / 'src'}" for each in kits]
    program = tmp_path / "main"
    subprocess.run(["cc", *STRICT, *included, *sources, "-o", program], check=True)
    ran = subprocess.run([program, *TEXTS], capture_output=True, text=True, check=True)
    assert ran.stdout.splitlines() == [answers(text) for text in TEXTS]


@pytest.mark.parametrize("form", FIRMWARE)
def test_the_source_is_the_same_in_every_firmware_kit(form: export.Format, tmp_path: Path) -> None:
    folder = kit(HOME, form, tmp_path / form)
    reference = kit(HOME, "arduino", tmp_path / "reference")
    for file in (reference / "src").rglob("*.*"):
        assert (folder / file.relative_to(reference)).read_bytes() == file.read_bytes()


@pytest.mark.parametrize("form", FIRMWARE)
def test_two_artifacts_of_one_name_in_c_are_refused_in_one_folder(
    form: export.Format, tmp_path: Path
) -> None:
    one, other = tmp_path / "a-b.safetensors", tmp_path / "a_b.safetensors"
    shutil.copy(HOME, one)
    shutil.copy(CLINC150, other)
    folder = kit(one, form, tmp_path / "kit")
    with pytest.raises(export.ExportError, match=r"has an export of a-b\.safetensors"):
        export.export(other, form, folder)


def test_the_npm_package_needs_no_compiled_kernel(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("neuralbits.kernel.COMPILED", False)
    kit(HOME, "npm", tmp_path / "npm")
    with pytest.raises(export.ExportError, match="without the compiled kernel"):
        export.export(HOME, "arduino", tmp_path / "arduino")


@pytest.mark.parametrize("form", FIRMWARE)
def test_each_manifest_says_the_same(form: export.Format, tmp_path: Path) -> None:
    folder = kit(HOME, form, tmp_path / "kit")
    summary = "Classifies texts into 42 intents on the device (home-assistant-en)."
    if form == "arduino":
        lines = (folder / "library.properties").read_text().splitlines()
        facts = dict(line.split("=", 1) for line in lines)
        described = (facts["name"], facts["version"], facts["sentence"])
        assert facts["includes"] == "home_assistant_en.h"
        assert described == ("home_assistant_en", neuralbits.__version__, summary)
    elif form == "platformio":
        facts = json.loads((folder / "library.json").read_text())
        described = (facts["name"], facts["version"], facts["description"])
        assert described == ("home-assistant-en", neuralbits.__version__, summary)
    elif form == "esp-idf":
        facts = yaml.safe_load((folder / "idf_component.yml").read_text())
        assert (facts["version"], facts["description"]) == (neuralbits.__version__, summary)
    else:
        assert yaml.safe_load((folder / "zephyr" / "module.yml").read_text()) == {
            "name": "home_assistant_en",
            "build": {"cmake": "zephyr", "kconfig": "zephyr/Kconfig"},
        }
        assert f'bool "{summary}"' in (folder / "zephyr" / "Kconfig").read_text()


@pytest.mark.parametrize("compiler", ["c++", "arm-none-eabi-g++"])
def test_the_arduino_sketch_compiles(compiler: str, tmp_path: Path) -> None:
    package = "g++" if compiler == "c++" else "gcc-arm-none-eabi libstdc++-arm-none-eabi-newlib"
    require(compiler, package=package)
    folder = kit(HOME, "arduino", tmp_path / "home_assistant_en")
    # As Arduino does, the sketch becomes C++ with the board's header in front.
    (tmp_path / "Arduino.h").write_text(SKETCH)
    sketch = folder / "examples" / "Classify" / "Classify.ino"
    command = [compiler, "-x", "c++", "-include", "Arduino.h", f"-I{folder / 'src'}", "-I."]
    subprocess.run(
        [*command, "-fsyntax-only", "-Wall", "-Werror", sketch], cwd=tmp_path, check=True
    )


@needs_compiler
@needs_cmake
def test_esp_idf_and_zephyr_find_the_sources_by_cmake(tmp_path: Path) -> None:
    """With stand-ins for the functions of the two build systems."""
    esp, zephyr = (kit(HOME, form, tmp_path / form) for form in ("esp-idf", "zephyr"))
    (tmp_path / "CMakeLists.txt").write_text(f"""
cmake_minimum_required(VERSION 3.20)
project(kits C)
set(CMAKE_C_STANDARD 99)
function(idf_component_register)
    cmake_parse_arguments(each "" "" "SRCS;INCLUDE_DIRS" ${{ARGN}})
    add_library(esp STATIC ${{each_SRCS}})
    target_include_directories(esp PUBLIC ${{each_INCLUDE_DIRS}})
endfunction()
function(zephyr_include_directories)
    include_directories(${{ARGN}})
endfunction()
function(zephyr_library)
endfunction()
function(zephyr_library_sources)
    add_library(zephyr STATIC ${{ARGN}})
endfunction()
set(CONFIG_HOME_ASSISTANT_EN y)
add_subdirectory({esp} esp)
add_subdirectory({zephyr / "zephyr"} zephyr)
""")
    build = tmp_path / "build"
    subprocess.run(["cmake", "-S", tmp_path, "-B", build], check=True, capture_output=True)
    subprocess.run(["cmake", "--build", build], check=True, capture_output=True)
    assert {file.name for file in build.rglob("*.a")} == {"libesp.a", "libzephyr.a"}


@needs_node
def test_the_npm_package_is_imported_by_its_name(tmp_path: Path) -> None:
    folder = kit(HOME, "npm", tmp_path / "kit")
    installed = tmp_path / "node_modules" / "home-assistant-en"
    if npm := shutil.which("npm"):
        subprocess.run([npm, "pack", folder], cwd=tmp_path, check=True, capture_output=True)
        packed = next(tmp_path.glob("*.tgz"))
        shutil.unpack_archive(packed, tmp_path / "unpacked")
        shutil.move(tmp_path / "unpacked" / "package", installed)
    else:
        shutil.copytree(folder, installed)
    (tmp_path / "try.mjs").write_text(
        'import { load } from "home-assistant-en";\n'
        "const classifier = await load();\n"
        "console.log(classifier.classify(process.argv[2]).intent);\n"
    )
    ran = subprocess.run(
        ["node", "try.mjs", TEXTS[0]], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert ran.stdout.strip() == neuralbits.load(HOME).classify(TEXTS[0]).intent


def test_the_wheel_has_the_templates() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert "exported/*" in project["tool"]["setuptools"]["package-data"]["neuralbits"]
    names = {file.name for file in (ROOT / "neuralbits" / "exported").glob("kit.*")}
    assert names == {"kit.c", "kit.h", "kit.ino", "kit.md"}
