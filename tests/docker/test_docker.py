"""The container files, checked without a container builder."""

import json
import re
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

import pytest
import yaml  # type: ignore[import-untyped]
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from neuralbits import artifact
from neuralbits.app.settings import Settings
from tests.support.homes import make_float_artifact
from tests.support.paths import ROOT
from tests.support.requirements import needs_kernel
from tests.support.services import environment, started
from tests.support.waiting import until

DOCKERFILES = ["Dockerfile", "Dockerfile.training"]


@dataclass
class Step:
    instruction: str
    words: str


def stages(name: str) -> list[list[Step]]:
    """The steps of a Dockerfile, by stage; what precedes the first FROM belongs to the first."""
    source = re.sub(r"(?m)^\s*#.*\n", "", (ROOT / "docker" / name).read_text())
    lines = re.sub(r"\\\n\s*", "", source).splitlines()
    steps = [Step(*line.split(maxsplit=1)) for line in lines if line.strip()]
    starts = [index for index, step in enumerate(steps) if step.instruction == "FROM"]
    return [steps[a:b] for a, b in zip([0, *starts[1:]], [*starts[1:], len(steps)], strict=True)]


def words(steps: list[Step], instruction: str) -> list[str]:
    return [step.words for step in steps if step.instruction == instruction]


def variables(steps: list[Step]) -> dict[str, str]:
    return dict(word.split("=", 1) for each in words(steps, "ENV") for word in shlex.split(each))


@pytest.mark.parametrize("name", DOCKERFILES)
def test_every_stage_starts_from_a_slim_python_of_a_pinned_version(name: str) -> None:
    defaults = dict(each.split("=", 1) for each in words(stages(name)[0], "ARG"))
    for steps in stages(name):
        (base,) = words(steps, "FROM")
        base = re.sub(r"\$\{(\w+)\}", lambda argument: defaults[argument[1]], base)
        assert re.fullmatch(r"python:3\.\d+\.\d+-slim-[a-z]+( AS [a-z]+)?", base)


@pytest.mark.parametrize("name", DOCKERFILES)
def test_nothing_depends_on_the_architecture(name: str) -> None:
    for step in (step for steps in stages(name) for step in steps):
        assert not re.search(r"amd64|x86|arm64|aarch64|--platform", step.words)


@pytest.mark.parametrize("name", DOCKERFILES)
def test_the_image_runs_as_a_numbered_user_other_than_root(name: str) -> None:
    user = words(stages(name)[-1], "USER")[-1]
    assert all(int(number) > 0 for number in user.split(":"))


@pytest.mark.parametrize("name", DOCKERFILES)
def test_every_copied_file_exists_and_is_not_ignored(name: str) -> None:
    everything, *exceptions = (ROOT / ".dockerignore").read_text().splitlines()[1:]
    assert everything == "*"
    for copied in (copied for steps in stages(name) for copied in words(steps, "COPY")):
        if not copied.startswith("--from="):
            *sources, _ = copied.split()
            assert {f"!{source}" for source in sources} <= set(exceptions)
            assert all((ROOT / source).exists() for source in sources)


def test_the_last_stage_of_the_service_installs_nothing() -> None:
    _, last = stages("Dockerfile")
    assert words(last, "RUN") == []
    assert words(last, "COPY") == ["--from=builder /opt/neuralbits /opt/neuralbits"]


def installed_with(requirements: Iterable[str]) -> set[str]:
    """Return the packages that these requirements install, directly or indirectly."""
    waiting = [("", Requirement(requirement)) for requirement in requirements]
    seen = set()
    while waiting:
        extra, requirement = waiting.pop()
        if not requirement.marker or requirement.marker.evaluate({"extra": extra}):
            needed = canonicalize_name(requirement.name)
            new = {(needed, each) for each in {"", *requirement.extras}} - seen
            seen |= new
            for name, extra in new:
                waiting += [(extra, Requirement(each)) for each in metadata.requires(name) or []]
    return {name for name, _ in seen}


@pytest.fixture(scope="module")
def installed() -> set[str]:
    """The packages of the image, beside neuralbits."""
    (install,) = (each for each in words(stages("Dockerfile")[0], "RUN") if "'.[" in each)
    (extras,) = re.findall(r"'\.(\[[\w,]+\])'", install)
    return installed_with([f"neuralbits{extras}"])


def test_the_image_has_neither_the_reference_nor_the_command_line_nor_training(
    installed: set[str],
) -> None:
    assert {"safetensors", "fastapi", "uvicorn"} <= installed
    assert {"numpy", "mmh3", "typer", "rich", "torch", "scikit-learn", "pyarrow"}.isdisjoint(
        installed
    )


@needs_kernel
def test_the_packages_of_the_image_are_enough_to_serve(installed: set[str], tmp_path: Path) -> None:
    missing = [
        module
        for module, packages in metadata.packages_distributions().items()
        if not {"neuralbits", *installed} & set(map(canonicalize_name, packages))
    ]
    assert "numpy" in missing
    serve = (
        f"import runpy, sys; [sys.modules.setdefault(each, None) for each in {missing}];"
        "runpy.run_module('neuralbits.app', run_name='__main__')"
    )
    served = tmp_path / "served.safetensors"
    shutil.copy(ROOT / "artifacts" / "home-assistant-en.safetensors", served)
    with started(tmp_path, ["-c", serve], environment(artifact=served, port=0)) as server:
        assert server.post("/classify", json={"text": "turn of teh lamp"}).is_success
        assert server.post("/classify", json={"text": "lamp", "explain": True}).is_success
        batch = {"texts": ["turn of teh lamp", "", "lights on " * 900] * 100, "top_k": 5}
        assert server.post("/classify/batch", json=batch).is_success
        documented = server.get("/openapi.json").json()["paths"].items()
        paths = [path for path, methods in documented if "get" in methods]
        assert "/model" in paths
        for path in (*paths, "/", "/neuralbits.mjs", "/metrics", "/docs"):
            assert server.get(path).is_success
        assert server.post("/classify", json={"text": 5}).status_code == 422

        artifact.write(make_float_artifact(), served)
        server.process.send_signal(signal.SIGHUP)
        reload = until(lambda: server.get("/readyz").json()["reload"])
        assert reload["status"] == "refused"
        assert "this artifact needs the NumPy backend" in reload["detail"]
        assert server.post("/classify", json={"text": "turn of teh lamp"}).is_success
        assert "Traceback" not in server.log.read_text()


def test_the_images_command_serves_and_its_health_check_works(
    artifact_path: Path, tmp_path: Path
) -> None:
    _, last = stages("Dockerfile")
    python, *command = json.loads(words(last, "CMD")[0])
    checking_python, *check = json.loads(words(last, "HEALTHCHECK")[0].split("CMD", 1)[1])
    assert python == checking_python == "python"

    def healthy(port: int) -> bool:
        run = [sys.executable, *check]
        return not subprocess.run(run, env=environment(port=port), capture_output=True).returncode

    with started(tmp_path, command, environment(artifact=artifact_path, port=0)) as server:
        port = server.address()[1]
        assert healthy(port)
    assert not healthy(port)


def test_the_images_variables_are_settings_of_the_service() -> None:
    _, last = stages("Dockerfile")
    ours = {name: v for name, v in variables(last).items() if name.startswith("NEURALBITS_")}
    settings = Settings.read(
        open=True, **{name.removeprefix("NEURALBITS_").lower(): v for name, v in ours.items()}
    )
    assert settings.model_fields_set == {"host", "port", "open"}
    assert settings.host == "0.0.0.0"
    assert words(last, "EXPOSE") == [str(settings.port)]


def test_compose_locks_the_service_down() -> None:
    compose = yaml.safe_load((ROOT / "docker" / "compose.yaml").read_text())
    service = compose["services"]["neuralbits"]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["mem_limit"] == service["memswap_limit"] == "96m"  # so no swap
    # The service needs no key here, so only this machine may reach it.
    assert service["environment"]["NEURALBITS_OPEN"] == "true"
    assert all(port.startswith("127.0.0.1:") for port in service["ports"])
    assert (ROOT / "docker" / service["build"]["context"] / service["build"]["dockerfile"]).exists()
    names = {name.removeprefix("NEURALBITS_").lower() for name in service["environment"]}
    assert names <= Settings.model_fields.keys()


BUILDERS = ["buildah", "podman", "docker"]


@pytest.fixture
def builders(tmp_path: Path) -> Path:
    """A folder with fake builders that print their arguments."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in BUILDERS:
        (folder / name).write_text(f'#!/bin/sh\n[ $1 = info ] || echo {name} "$@"\n')
        (folder / name).chmod(0o755)
    for tool in ("bash", "sh", "dirname"):
        (folder / tool).symlink_to(str(shutil.which(tool)))
    return folder


def build(builders: Path, *options: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [str(ROOT / "docker" / "build"), *options]
    variables = {"PATH": str(builders), **environment}
    return subprocess.run(command, env=variables, capture_output=True, text=True)


def test_the_first_builder_that_works_builds_the_image(builders: Path) -> None:
    common = "--file docker/Dockerfile --tag neuralbits --pull ."
    for builder, command in [
        ("buildah", f"buildah build --layers --format docker {common}"),
        ("podman", f"podman build --format docker {common}"),
        ("docker", f"docker build {common}"),
    ]:
        assert build(builders, "--pull").stdout.splitlines()[1:] == [command]
        chosen = build(builders, "--pull", BUILDER="docker", IMAGE="other").stdout
        assert chosen.splitlines()[1:] == [f"docker build {common.replace('neuralbits', 'other')}"]
        (builders / builder).write_text("#!/bin/sh\nexit 1\n")  # installed, but no use
    nothing = build(builders)
    assert nothing.returncode == 1
    assert "(tried: buildah, podman, docker); install buildah" in nothing.stderr


def test_a_failed_build_exits_with_an_error(builders: Path) -> None:
    (builders / "buildah").write_text("#!/bin/sh\n[ $1 = info ]\n")
    assert build(builders).returncode == 1


def test_the_training_image_trains() -> None:
    (steps,) = stages("Dockerfile.training")
    assert any("'.[train]'" in command for command in words(steps, "RUN"))
    assert words(steps, "ENTRYPOINT") == ['["neuralbits", "train"]']
