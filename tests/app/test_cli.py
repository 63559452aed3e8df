"""The commands of the service, as a user runs them."""

import hashlib
import sys

import pytest

from tests.support.commands import COMMAND, run


@pytest.mark.parametrize(
    "command",
    [[*COMMAND, "key"], [sys.executable, "-m", "neuralbits.app.api_keys"]],
    ids=["the command line", "the module, for an image without it"],
)
def test_key_makes_a_key_and_the_setting_that_lets_it_in(command: list[str]) -> None:
    for_client, for_service = run(command=command).splitlines()
    key, setting = for_client.split()[0], for_service.split()[0]
    name, hashed = setting.split("=")
    assert name == "NEURALBITS_API_KEYS"
    assert hashed == "sha256:" + hashlib.sha256(key.encode()).hexdigest()
    assert run(command=command) != run(command=command)
