"""Settings, as the environment gives them."""

import pytest

from neuralbits.app.settings import Settings, StartupError


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("API_KEY", "API_KEYS"),
        ("LOGLEVEL", "LOG_LEVEL"),
        ("MAX_BODY_SIZE", "MAX_BODY"),
        ("ARTEFACT", "ARTIFACT"),
        ("ALLOWED_HOST", "ALLOWED_HOSTS"),
        ("CORS_ORIGIN", "CORS_ORIGINS"),
        ("MAX_CONNECTION", "MAX_CONNECTIONS"),
    ],
)
def test_a_misspelt_setting_is_refused_with_the_nearest_name(
    monkeypatch: pytest.MonkeyPatch, name: str, meant: str
) -> None:
    monkeypatch.setenv(f"NEURALBITS_{name}", "a secret")
    with pytest.raises(StartupError) as refused:
        Settings.read()
    assert str(refused.value) == (
        f"neuralbits: there is no setting 'NEURALBITS_{name}'; did you mean NEURALBITS_{meant}?"
    )


def test_a_setting_that_is_like_none_is_refused_with_all_names(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("NEURALBITS_XYZZY\x1b", "a secret")
    with pytest.raises(StartupError) as refused:
        Settings.read()
    said = str(refused.value)
    assert r"there is no setting 'NEURALBITS_XYZZY\x1b'; unset it" in said
    assert "NEURALBITS_WATCH" in said
    assert "secret" not in said


def test_the_folder_of_the_data_sets_is_no_setting_of_the_service(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("NEURALBITS_DATA", "data")
    Settings.read()


@pytest.mark.parametrize(
    ("written", "size"),
    [("262144", 262_144), ("256KiB", 262_144), ("256 kib", 262_144), ("1.5 MB", 1_500_000)],
)
def test_sizes_take_units(monkeypatch: pytest.MonkeyPatch, written: str, size: int) -> None:
    monkeypatch.setenv("NEURALBITS_MAX_BODY", written)
    assert Settings.read().max_body == size


@pytest.mark.parametrize("wrong", ["much", "-1", "0", "64k", "1e3"])
def test_what_is_no_size_is_refused(monkeypatch: pytest.MonkeyPatch, wrong: str) -> None:
    monkeypatch.setenv("NEURALBITS_MAX_BODY", wrong)
    with pytest.raises(StartupError, match="NEURALBITS_MAX_BODY: "):
        Settings.read()
