import hashlib

import pytest

from neuralbits.app import api_keys


def test_a_made_key_is_admitted_by_its_hash_and_no_other() -> None:
    (key, hashed), (other, other_hash) = api_keys.make(), api_keys.make()
    header = f"Bearer {key}".encode()
    assert api_keys.admits([hashed], header)
    assert not api_keys.admits([other_hash], header)
    assert not api_keys.admits([], header)
    assert not api_keys.admits([hashed], f"Bearer {other}".encode())


def test_several_keys_are_admitted_at_once_so_that_they_can_be_changed() -> None:
    made = [api_keys.make() for _ in range(3)]
    hashes = [hashed for _, hashed in made]
    assert all(api_keys.admits(hashes, f"Bearer {key}".encode()) for key, _ in made)


@pytest.mark.parametrize(
    "header",
    [
        "",
        "{key}",
        "Bearer",
        "Bearer ",
        "Basic {key}",
        "Bearer {key}x",
        "Bearer {hash}",
        "{key} Bearer",
    ],
)
def test_nothing_else_is_admitted(header: str) -> None:
    key, hashed = api_keys.make()
    assert not api_keys.admits([hashed], header.format(key=key, hash=hashed).encode())


def test_the_scheme_is_written_as_one_likes() -> None:
    key, hashed = api_keys.make()
    assert api_keys.admits([hashed], f"bearer  {key}".encode())


def test_a_key_has_256_random_bits_and_its_hash_is_sha256() -> None:
    key, hashed = api_keys.make()
    assert len(key.removeprefix("nb_")) == 43  # of 6 bits
    assert hashed == "sha256:" + hashlib.sha256(key.encode()).hexdigest()
    assert api_keys.key_hash(hashed) == hashed


@pytest.mark.parametrize(
    "wrong", ["nb_secret", "sha256:", "sha256:" + "0" * 63, "sha256:" + "G" * 64]
)
def test_what_is_no_hash_is_refused_without_repeating_it(wrong: str) -> None:
    with pytest.raises(ValueError, match="neuralbits key") as caught:
        api_keys.key_hash(wrong)
    assert "secret" not in str(caught.value)
