"""The container files keep their promises, as far as can be told without building them."""

import json
import re
import shlex
import subprocess
import sys
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

import pytest
import yaml  # type: ignore[import-untyped]
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from app.settings import Settings
from tests.services import environment, started

ROOT = Path(__file__).parents[1]
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
def test_nothing_hangs_on_the_architecture(name: str) -> None:
    for step in (step for steps in stages(name) for step in steps):
        assert not re.search(r"amd64|x86|arm64|aarch64|--platform", step.words)


@pytest.mark.parametrize("name", DOCKERFILES)
def test_it_runs_as_a_user_by_number_who_is_not_root(name: str) -> None:
    user = words(stages(name)[-1], "USER")[-1]
    assert all(int(number) > 0 for number in user.split(":"))


@pytest.mark.parametrize("name", DOCKERFILES)
def test_all_that_is_copied_is_there_and_reaches_the_builder(name: str) -> None:
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
    assert words(last, "COPY") == [
        "--from=builder /opt/neuralbits /opt/neuralbits",
        "artifacts /artifacts",
    ]


def test_the_service_has_the_serving_dependencies_and_nothing_that_trains() -> None:
    builder, _ = stages("Dockerfile")
    installs = re.findall(r"pip .*?install .*?'(.*?)'", "\n".join(words(builder, "RUN")))
    assert installs == [".[serve]"]
    assert not [copied for copied in words(builder, "COPY") if "model_training" in copied]

    trains = {"torch", "scikit-learn", "scipy", "pyarrow", "matplotlib", "hassil"}
    assert trains.isdisjoint(installed_with("serve"))
    assert trains <= installed_with("train")  # so they would have been seen


def installed_with(extra: str) -> set[str]:
    """All that installing the project with an extra installs: what it requires, and so on."""
    seen = {("neuralbits", extra)}
    waiting = list(seen)
    while waiting:
        name, extra = waiting.pop()
        for requirement in map(Requirement, metadata.requires(name) or []):
            if not requirement.marker or requirement.marker.evaluate({"extra": extra}):
                needed = canonicalize_name(requirement.name)
                new = {(needed, each) for each in {"", *requirement.extras}} - seen
                seen |= new
                waiting += new
    return {name for name, _ in seen}


def test_its_command_serves_and_its_health_check_tells_whether_it_does(
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


def test_its_variables_are_settings_that_fit_the_image() -> None:
    _, last = stages("Dockerfile")
    ours = {name: v for name, v in variables(last).items() if name.startswith("NEURALBITS_")}
    settings = Settings.read(
        open=True, **{name.removeprefix("NEURALBITS_").lower(): v for name, v in ours.items()}
    )
    assert settings.model_fields_set == {"artifact", "host", "port", "open"}
    assert settings.host == "0.0.0.0"
    assert words(last, "EXPOSE") == [str(settings.port)]
    assert (ROOT / settings.artifact.relative_to("/")).exists()


def test_compose_locks_the_service_down() -> None:
    compose = yaml.safe_load((ROOT / "docker" / "compose.yaml").read_text())
    service = compose["services"]["neuralbits"]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["mem_limit"] == service["memswap_limit"]  # that is, no swap
    assert all(port.startswith("127.0.0.1:") for port in service["ports"])
    assert (ROOT / "docker" / service["build"]["context"] / service["build"]["dockerfile"]).exists()
    names = {name.removeprefix("NEURALBITS_").lower() for name in service["environment"]}
    assert names <= Settings.model_fields.keys()


def test_the_training_image_trains() -> None:
    (steps,) = stages("Dockerfile.training")
    assert any("'.[train]'" in command for command in words(steps, "RUN"))
    assert words(steps, "ENTRYPOINT") == ['["neuralbits", "train"]']
