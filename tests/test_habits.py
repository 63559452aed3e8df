"""The files by which people and machines work on the project are valid, and agree with it."""

import json
import re
import tomllib
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]

import neuralbits
from tests.support.paths import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
YAML = [
    *sorted((ROOT / ".github").rglob("*.yml")),
    ROOT / ".pre-commit-config.yaml",
    ROOT / "CITATION.cff",
    ROOT / ".clang-format",
]


def loaded(name: str) -> Any:
    return yaml.safe_load((ROOT / name).read_text())


@pytest.mark.parametrize("path", YAML, ids=lambda path: str(path.relative_to(ROOT)))
def test_it_is_yaml(path: Any) -> None:
    assert yaml.safe_load(path.read_text())


def test_the_version_is_the_same_everywhere() -> None:
    citation = loaded("CITATION.cff")
    assert neuralbits.__version__ == PROJECT["version"] == citation["version"]
    assert PROJECT["license"] == citation["license"]
    assert f"## {neuralbits.__version__}" in (ROOT / "CHANGELOG.md").read_text()


def test_the_development_container_has_the_packages_of_the_long_tier() -> None:
    script = (ROOT / ".ci" / "run").read_text()
    container = set((ROOT / ".devcontainer" / "Dockerfile").read_text().split())
    lists = re.findall(r"^need (?:\"([^\"]+)\"|([\w-]+))", script, re.MULTILINE)
    packages = {package for quoted, bare in lists for package in (quoted or bare).split()}
    assert packages - {"gcc", "libc6-dev"} <= container
    assert "valgrind" in packages
    json.loads((ROOT / ".devcontainer" / "devcontainer.json").read_text())


def test_wheels_are_built_for_every_platform_and_published_without_a_password() -> None:
    release = loaded(".github/workflows/release.yml")["jobs"]
    archs = {each["archs"] for each in release["wheels"]["strategy"]["matrix"]["include"]}
    assert archs == {"x86_64", "aarch64", "arm64 x86_64", "AMD64"}
    publish = release["publish"]
    assert publish["permissions"]["id-token"] == "write"
    assert "secrets" not in (ROOT / ".github/workflows/release.yml").read_text()
    for name in ("ci", "release", "long"):  # what a job may do is said in it
        assert loaded(f".github/workflows/{name}.yml")["permissions"] == {"contents": "read"}


@pytest.mark.parametrize("name", ["CONTRIBUTING.md", "SECURITY.md"])
def test_links_lead_somewhere(name: str) -> None:
    for target in re.findall(r"\]\(([^):]+)\)", (ROOT / name).read_text()):
        assert (ROOT / target).exists()
