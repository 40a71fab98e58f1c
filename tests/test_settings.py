"""Settings whose form matters."""

from base64 import b64encode, urlsafe_b64encode
from pathlib import Path

import pytest
from pydantic import ValidationError
from pydantic_settings import SettingsError

from app.main import keyring
from app.settings import Settings, unknown_variables

ONE, OTHER = bytes(range(32)), bytes(range(224, 256))


def said(key: bytes) -> str:
    return b64encode(key).decode()


def test_the_first_encryption_key_encrypts(monkeypatch: pytest.MonkeyPatch) -> None:
    keys = f"k2:{said(ONE)}, k1:{urlsafe_b64encode(OTHER).decode()}"
    monkeypatch.setenv("ROTA_ENCRYPTION_KEYS", keys)

    made = Settings()

    assert made.keys_by_id == {"k2": ONE, "k1": OTHER}
    assert repr(keyring(made)) == "Keyring(k2, k1)"


def test_without_a_key_nothing_is_encrypted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ROTA_ENCRYPTION_KEYS", "")

    assert keyring(Settings()) is None


@pytest.mark.parametrize(
    "wrong",
    [
        said(ONE),
        f"k1:{said(ONE)[:-4]}",
        f"k1:{said(ONE + OTHER)}",
        "k1:not base64 at all, is it",
        f":{said(ONE)}",
        f"a b:{said(ONE)}",
        f"k1:{said(ONE)},k1:{said(OTHER)}",
        "k1:",
        " , ,",
    ],
)
def test_what_is_no_key_is_refused_and_not_shown(
    monkeypatch: pytest.MonkeyPatch, wrong: str
) -> None:
    monkeypatch.setenv("ROTA_ENCRYPTION_KEYS", wrong)

    with pytest.raises(ValidationError) as refused:
        Settings()

    assert "encryption_keys" in str(refused.value)
    for part in wrong.replace(",", ":").split(":"):
        assert len(part) < 8 or part not in str(refused.value)


@pytest.mark.parametrize("name", ["API_KEY", "ENCRYPTION_KEYS", "HANDLERS"])
def test_a_list_of_nothing_but_commas_has_lost_what_it_had_and_an_empty_one_is_none(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv(f"ROTA_{name}", ",")
    with pytest.raises(ValidationError, match="commas only"):
        Settings()

    monkeypatch.setenv(f"ROTA_{name}", "")
    assert getattr(Settings(), name.lower()) == ()


def test_secrets_can_be_read_from_files(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name, text in (
        ("database_url", "sqlite:///elsewhere.db\n"),
        ("api_key", f"{'a' * 20},{'b' * 20}\n"),
        ("encryption_keys", f"k1:{said(ONE)}\n"),
    ):
        (tmp_path / name).write_text(text)
        monkeypatch.delenv(f"ROTA_{name.upper()}", raising=False)
        monkeypatch.setenv(f"ROTA_{name.upper()}_FILE", str(tmp_path / name))

    made = Settings()

    assert made.database_url == "sqlite:///elsewhere.db"
    assert [key.get_secret_value() for key in made.api_key] == ["a" * 20, "b" * 20]
    assert made.keys_by_id == {"k1": ONE}
    assert unknown_variables(["ROTA_API_KEY_FILE", "ROTA_PORT_FILE"]).keys() == {"ROTA_PORT_FILE"}


@pytest.mark.parametrize(
    ("text", "also", "told"),
    [
        (None, "", "cannot be read: No such file"),
        (b"\n", "", "is empty"),
        (b"\xff\xfe", "", "is not UTF-8"),
        (b"a" * 20, "b" * 20, "are both set; give one of them"),
    ],
)
def test_a_file_of_a_secret_that_is_wrong_is_told(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, text: bytes | None, also: str, told: str
) -> None:
    path = tmp_path / "key"
    if text is not None:
        path.write_bytes(text)
    monkeypatch.setenv("ROTA_API_KEY_FILE", str(path))
    monkeypatch.setenv("ROTA_API_KEY", also)

    with pytest.raises(SettingsError, match=told) as refused:
        Settings()

    assert "ROTA_API_KEY_FILE" in str(refused.value)


def test_settings_do_not_show_the_keys() -> None:
    made = Settings(encryption_keys=(f"k1:{said(ONE)}",))  # type: ignore[arg-type]

    assert said(ONE) not in f"{made!r} {made.model_dump()}"


def test_a_key_pattern_must_be_a_regular_expression() -> None:
    with pytest.raises(ValidationError, match="no regular expression"):
        Settings(kv_key_pattern="(")


def test_a_variable_that_is_none_of_rotas_settings_is_found_with_the_nearest() -> None:
    names = ["ROTA_API_KEY", "rota_port", "ROTA_API_KEYS", "Rota_Log_Levle", "ROTA_X", "HOME"]

    assert unknown_variables(names) == {
        "ROTA_API_KEYS": "ROTA_API_KEY",
        "ROTA_X": None,
        "Rota_Log_Levle": "ROTA_LOG_LEVEL",
    }
