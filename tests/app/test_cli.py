"""The commands of the service, as a user runs them."""

import hashlib

from tests.support.commands import run


def test_key_makes_a_key_and_the_setting_that_lets_it_in() -> None:
    for_client, for_service = run("key").splitlines()
    key, setting = for_client.split()[0], for_service.split()[0]
    name, hashed = setting.split("=")
    assert name == "NEURALBITS_API_KEYS"
    assert hashed == "sha256:" + hashlib.sha256(key.encode()).hexdigest()
    assert run("key") != run("key")
