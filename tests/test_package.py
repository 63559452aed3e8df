"""The wheel and the sdist: what they contain, and that an installed wheel does everything.

It is installed outside the checkout, beside another project that has a top-level package ``app``.
"""

import json
import re
import shutil
import subprocess
import sys
import tarfile
import venv
import zipfile
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

import neuralbits
from tests.support.homes import UTTERANCES
from tests.support.paths import ROOT
from tests.support.services import environment

TABLE = "text,intent\nlights on,turn_on\nplay jazz,play_music\n"


@pytest.fixture(scope="module")
def distributions(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder with an sdist and the wheel that was built from it."""
    folder = tmp_path_factory.mktemp("distributions")
    source = folder / "source"
    tracked = subprocess.check_output(["git", "ls-files", "-z"], cwd=ROOT, text=True)
    for name in filter(None, tracked.split("\0")):
        if (ROOT / name).exists():
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, source / name, follow_symlinks=False)
    build = [sys.executable, "-m", "build", "--outdir", str(folder), str(source)]
    built = subprocess.run(build, capture_output=True, text=True)
    assert built.returncode == 0, built.stdout + built.stderr
    return folder


@pytest.fixture(scope="module")
def wheel(distributions: Path) -> Path:
    (wheel,) = distributions.glob("*.whl")
    return wheel


class Installation:
    """A virtual environment with the wheel in it, and a user's folder outside the checkout."""

    def __init__(self, folder: Path) -> None:
        venv.create(folder / "venv", with_pip=False)
        self.bin = folder / "venv" / "bin"
        (self.site,) = (folder / "venv").glob("lib/python*/site-packages")
        self.folder = folder / "project"
        # Another project's package of the name that neuralbits's service once had.
        (self.folder / "app").mkdir(parents=True)
        (self.folder / "app" / "__init__.py").touch()
        (self.folder / "app" / "main.py").write_text("def create(): return 'shop'\n")
        shutil.copytree(self.folder / "app", self.site / "app")

    def start(self, *arguments: object) -> "subprocess.Popen[str]":
        return subprocess.Popen(
            [self.bin / "python", *map(str, arguments)],
            cwd=self.folder,
            env=environment(port=0) | {"PYTHONPATH": "."},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, *arguments: object, code: int = 0) -> str:
        """Run Python; return what it prints, or its errors if it is to fail."""
        process = self.start(*arguments)
        output, errors = process.communicate()
        assert process.returncode == code, errors
        return output if code == 0 else errors

    def command(self, *arguments: object) -> str:
        return self.run("-m", "neuralbits", *arguments)


def unpacked(wheel: Path, folder: Path, *packages: str) -> Installation:
    """Install the wheel by unpacking it, beside links to packages of this environment."""
    installed = Installation(folder)
    with zipfile.ZipFile(wheel) as file:
        file.extractall(installed.site)
    here = Path(pytest.__file__).parents[1]
    for package in packages:
        (installed.site / package).symlink_to(here / package)
    if not packages:  # all of them, after the wheel
        (installed.site / "all.pth").write_text(f"{here}\n")
    return installed


@pytest.fixture(scope="module")
def installation(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Installation:
    """Return the wheel with all dependencies, of which none is installed again."""
    return unpacked(wheel, tmp_path_factory.mktemp("installation"))


def test_the_wheel_installs_one_name(wheel: Path) -> None:
    version = re.escape(neuralbits.__version__)
    assert re.fullmatch(rf"neuralbits-{version}-cp311-abi3-\w+\.whl", wheel.name)
    with zipfile.ZipFile(wheel) as file:
        names = file.namelist()
    roots = {name.split("/")[0] for name in names}
    assert roots == {"neuralbits", f"neuralbits-{neuralbits.__version__}.dist-info"}
    for needed in (
        *("app/page.html", "app/docs.html", "py.typed"),
        *("exported/kernel.wasm", "exported/kernel/neuralbits.c"),
        *("model_training/cli.py", "shipped/home-assistant-en.safetensors", "_kernel.abi3.so"),
    ):
        assert f"neuralbits/{needed}" in names
    assert "neuralbits/_kernel.c" not in names


def test_the_sdist_has_what_the_build_takes(distributions: Path) -> None:
    (sdist,) = distributions.glob("*.tar.gz")
    with tarfile.open(sdist) as file:
        names = {name.partition("/")[2] for name in file.getnames()}
    for needed in ("kernel/neuralbits.c", "kernel/unicode.h", "neuralbits/_kernel.c", "LICENSE"):
        assert needed in names


def test_the_base_install_classifies_and_names_the_extra_of_the_command(
    wheel: Path, tmp_path: Path
) -> None:
    base = unpacked(wheel, tmp_path, "safetensors")
    load = "import neuralbits; classifier = neuralbits.load('home-assistant-en');"
    assert base.run("-c", f"{load} print(classifier.classify('turn of teh lamp').intent)") == (
        "HassTurnOff\n"
    )
    assert "neuralbits[reference]" in base.run("-c", f"{load} classifier.scores(['x'])", code=1)
    assert base.run("-m", "neuralbits", "models", code=1) == (
        "neuralbits: the command line needs typer: pip install 'neuralbits[cli]'\n"
    )
    assert base.run("-m", "neuralbits.app", code=1).endswith(": pip install 'neuralbits[serve]'\n")
    assert base.run("-c", f"import app.main; {load} print(app.main.create())") == "shop\n"


def check_the_runtime(installed: Installation) -> None:
    assert str(installed.site) in installed.run(
        "-c", "import neuralbits; print(neuralbits.__file__)"
    )
    assert installed.command("--version") == f"neuralbits {neuralbits.__version__} (kernel)\n"
    assert "home-assistant-en" in installed.command("models")
    classify = ("classify", "home-assistant-en", "turn of teh lamp", "--json")
    assert json.loads(installed.command(*classify))["intent"] == "HassTurnOff"
    assert '"HassTurnOff"' in installed.command("inspect", "home-assistant-en")
    (installed.folder / "in.csv").write_text(TABLE)
    score = ("score", "home-assistant-en", "in.csv", "out.csv", "--prefix", "predicted_")
    installed.command(*score, "--workers", 1)
    assert len((installed.folder / "out.csv").read_text().splitlines()) == 3
    for form in ("c", "wasm"):
        installed.command("export", "clinc150", "--format", form, "--output", form)
        assert list((installed.folder / form).iterdir())


def check_the_service(installed: Installation) -> None:
    assert "NEURALBITS_API_KEYS=sha256:" in installed.command("key")
    for command in (["neuralbits", "serve"], ["neuralbits.app"]):
        with installed.start("-m", *command) as process:
            try:
                assert process.stderr is not None
                line = process.stderr.readline()
                url = re.search(r"http://[\d.:]+", line)
                assert url, line + process.stderr.read()
                answer = httpx.post(f"{url[0]}/classify", json={"text": "lights on"}, timeout=60)
                assert answer.json()["intent"] == "HassTurnOn"
                assert httpx.get(url[0], timeout=60).text.startswith("<!doctype html>")
            finally:
                process.terminate()
                process.communicate()


def check_the_training(installed: Installation) -> None:
    rows = [f'"{text}",{intent}' for intent, texts in UTTERANCES.items() for text in texts]
    (installed.folder / "homes.csv").write_text("\n".join(["text,intent", *rows]))
    brief = ("--train", "homes.csv", "--set", "epochs=1")
    installed.command("train", *brief, "--output", "home.safetensors", "--max-size", "8KiB")
    assert "%" in installed.command("evaluate", "home.safetensors", "homes.csv")
    installed.command("sweep", *brief, "--sizes", "4KiB", "--output", "swept", "--workers", "1")
    assert (installed.folder / "swept" / "sweep.json").exists()


def test_the_commands_of_the_runtime_run_beside_another_projects_app(
    installation: Installation,
) -> None:
    check_the_runtime(installation)


def test_the_service_runs_beside_another_projects_app(installation: Installation) -> None:
    check_the_service(installation)


@pytest.mark.long
def test_training_runs_beside_another_projects_app(installation: Installation) -> None:
    check_the_training(installation)


@pytest.mark.long
def test_the_notebook_runs(installation: Installation) -> None:
    shutil.copy(ROOT / "examples" / "quickstart.ipynb", installation.folder)
    installation.run("-c", NOTEBOOK)
    notebook = json.loads((installation.folder / "executed.ipynb").read_text())
    shown = [
        "".join(output.get("data", {}).get("text/plain", []))
        for cell in notebook["cells"]
        for output in cell.get("outputs", [])
    ]
    assert any("of validation right" in each for each in shown)  # trained
    assert any("accuracy: " in each for each in shown)  # evaluated
    assert any(each.startswith("<Classifier: 3 intents") for each in shown)  # saved and loaded
    assert "'intent': 'track_order'" in shown[-1]  # served


NOTEBOOK = """
import nbformat
from nbclient import NotebookClient

notebook = nbformat.read("quickstart.ipynb", 4)
NotebookClient(notebook, kernel_name="python3", timeout=None).execute()
nbformat.write(notebook, "executed.ipynb")
"""


@pytest.fixture(scope="module")
def pip_installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """Return an empty environment into which pip installed the wheel and what it requires."""
    folder = tmp_path_factory.mktemp("pip")
    installed = Installation(folder)
    pip = [sys.executable, "-m", "pip", "--python", str(installed.bin / "python"), "install", "-q"]
    constraint = str(ROOT / "constraints.txt")
    subprocess.run([*pip, "-c", constraint, f"{wheel}[serve,train]"], check=True)
    yield installed
    shutil.rmtree(folder)


@pytest.mark.long
def test_what_pip_installs_does_everything(pip_installed: Installation) -> None:
    check_the_runtime(pip_installed)
    check_the_service(pip_installed)
    check_the_training(pip_installed)
    shown = subprocess.check_output([pip_installed.bin / "neuralbits", "--version"], text=True)
    assert shown.startswith(f"neuralbits {neuralbits.__version__}")
