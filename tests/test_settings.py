"""Settings with a form of their own."""

from base64 import b64encode, urlsafe_b64encode
from pathlib import Path

import pytest
import typer
from pydantic import ValidationError
from pydantic_settings import SettingsError

from rota.cli.local.terminal import settings_of
from rota.configuration import keyring
from rota.handlers.processes.fork_server import handlers_environment
from rota.setting_names import unknown_variables
from rota.settings import Settings

ONE, OTHER = bytes(range(32)), bytes(range(224, 256))


def encoded(key: bytes) -> str:
    return b64encode(key).decode()


def test_the_first_encryption_key_encrypts(monkeypatch: pytest.MonkeyPatch) -> None:
    keys = f"k2:{encoded(ONE)}, k1:{urlsafe_b64encode(OTHER).decode()}"
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
        encoded(ONE),
        f"k1:{encoded(ONE)[:-4]}",
        f"k1:{encoded(ONE + OTHER)}",
        "k1:not base64 at all, is it",
        f":{encoded(ONE)}",
        f"a b:{encoded(ONE)}",
        f"k1:{encoded(ONE)},k1:{encoded(OTHER)}",
        "k1:",
        " , ,",
    ],
)
def test_a_malformed_encryption_key_is_refused_and_not_shown(
    monkeypatch: pytest.MonkeyPatch, wrong: str
) -> None:
    monkeypatch.setenv("ROTA_ENCRYPTION_KEYS", wrong)

    with pytest.raises(ValidationError) as refused:
        Settings()

    assert "encryption_keys" in str(refused.value)
    for part in wrong.replace(",", ":").split(":"):
        assert len(part) < 8 or part not in str(refused.value)


@pytest.mark.parametrize("name", ["API_KEY", "ENCRYPTION_KEYS", "HANDLERS"])
def test_a_list_of_commas_only_is_refused_and_an_empty_one_is_accepted(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv(f"ROTA_{name}", ",")
    with pytest.raises(ValidationError, match="only commas"):
        Settings()

    monkeypatch.setenv(f"ROTA_{name}", "")
    assert getattr(Settings(), name.lower()) == ()


def test_secrets_can_be_read_from_files(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name, text in (
        ("database_url", "sqlite:///elsewhere.db\n"),
        ("api_key", f"{'a' * 20},{'b' * 20}\n"),
        ("encryption_keys", f"k1:{encoded(ONE)}\n"),
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
    ("text", "also", "message"),
    [
        (None, "", "cannot be read: No such file"),
        (b"\n", "", "is empty"),
        (b"\xff\xfe", "", "is not UTF-8"),
        (b"a" * 20, "b" * 20, "are both set; give one of them"),
    ],
)
def test_a_secret_file_that_cannot_be_used_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, text: bytes | None, also: str, message: str
) -> None:
    path = tmp_path / "key"
    if text is not None:
        path.write_bytes(text)
    monkeypatch.setenv("ROTA_API_KEY_FILE", str(path))
    monkeypatch.setenv("ROTA_API_KEY", also)

    with pytest.raises(SettingsError, match=message) as refused:
        Settings()

    assert "ROTA_API_KEY_FILE" in str(refused.value)


def test_settings_do_not_show_the_keys() -> None:
    made = Settings(encryption_keys=(f"k1:{encoded(ONE)}",))  # type: ignore[arg-type]

    assert encoded(ONE) not in f"{made!r} {made.model_dump()}"


def test_a_key_pattern_must_be_a_regular_expression() -> None:
    with pytest.raises(ValidationError, match="not a regular expression"):
        Settings(kv_key_pattern="(")


@pytest.mark.parametrize(
    "address",
    [
        "rota.example.com",
        "ftp://rota.example.com",
        "https://user:pass@rota.example.com",
        "https://rota.example.com/?a=1",
        "https://rota.example.com/#a",
        "https://",
        "https://rota.example.com\r\nX: 1",
    ],
)
def test_a_public_address_is_that_of_a_server(address: str) -> None:
    with pytest.raises(ValidationError, match=r"https://rota\.example\.com"):
        Settings(public_url=address)


@pytest.mark.parametrize("address", ["", "https://rota.example.com/jobs", "http://[::1]:8000"])
def test_a_slash_at_the_end_of_a_public_address_is_left_out(address: str) -> None:
    assert Settings(public_url=address and f"{address}/").public_url == address


def test_an_unknown_variable_is_found_with_the_most_similar_setting() -> None:
    names = ["ROTA_API_KEY", "rota_port", "ROTA_API_KEYS", "Rota_Log_Levle", "ROTA_X", "HOME"]

    assert unknown_variables(names) == {
        "ROTA_API_KEYS": "ROTA_API_KEY",
        "ROTA_X": None,
        "Rota_Log_Levle": "ROTA_LOG_LEVEL",
    }


PAIRS = [
    ("stale_after", 3, "watchdog_interval", 2, "at least 4", "at most 1.5"),
    (
        "max_kv_bytes",
        2_000_000,
        "max_value_bytes",
        3_000_000,
        "at least 3000000",
        "at most 2000000",
    ),
    ("max_result_bytes", 4_096, "http_max_body_bytes", 5_000, "at least 5000", "at most 4096"),
]


@pytest.mark.parametrize(("more", "large", "less", "small", "at_least", "at_most"), PAIRS)
def test_contradicting_values_are_refused_with_both_names_and_valid_values(
    more: str, large: int, less: str, small: int, at_least: str, at_most: str
) -> None:
    with pytest.raises(ValidationError) as refused:
        Settings(**{more: large, less: small})  # type: ignore[arg-type]

    message = str(refused.value)
    for name, limit in ((more, at_least), (less, at_most)):
        assert f"ROTA_{name.upper()} {limit}" in message.replace("or ", "")
        assert name.upper() in message


@pytest.mark.parametrize(
    ("given", "follows"),
    [
        ({"watchdog_interval": 60}, {"stale_after": 120.0}),
        ({"watchdog_interval": 5}, {"stale_after": 15.0}),
        ({"stale_after": 0.5}, {"watchdog_interval": 0.25}),
        ({"stale_after": 1e-9}, {"watchdog_interval": 0.1}),
        ({"freeze_limit": 1}, {"watchdog_interval": 0.5}),
        ({"freeze_limit": 0, "watchdog_interval": 3}, {}),
        ({"max_value_bytes": 50_000_000}, {"max_kv_bytes": 50_000_000}),
        ({"max_kv_bytes": 1_024}, {"max_value_bytes": 1_024}),
        ({"http_max_body_bytes": 9_000_000}, {"max_result_bytes": 9_000_000}),
        ({"max_result_bytes": 1_024}, {"http_max_body_bytes": 1_024}),
        ({"stale_after": 4, "watchdog_interval": 2}, {}),
    ],
)
def test_the_default_of_a_setting_is_adjusted_to_the_value_of_another(
    given: dict[str, float], follows: dict[str, float]
) -> None:
    made = Settings(**given)  # type: ignore[arg-type]

    assert {name: getattr(made, name) for name in (given | follows)} == given | follows
    for name, value in follows.items():
        assert type(getattr(made, name)) is type(value)
    assert made.model_fields_set == given.keys()


def test_defaults_do_not_contradict_each_other() -> None:
    made = Settings()

    assert {name: getattr(made, name) for name in Settings.model_fields} == {
        name: field.get_default() for name, field in Settings.model_fields.items()
    }


def test_secrets_come_from_variables_and_files(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "hook").write_text("whsec_MfKQ9r8GKYqrTwjU\n")
    variables = {
        "ROTA_SECRET_CRM_TOKEN": "hunter2-and-more",
        "ROTA_SECRET_CRM_TOKEN_ORIGINS": "https://a.example, https://b.example:8443",
        "ROTA_SECRET_CRM_TOKEN_TASKS": "crm-*,report",
        "ROTA_SECRET_HOOK_FILE": str(tmp_path / "hook"),
        "ROTA_SECRET_HOOK_ORIGINS": "https://a.example",
    }
    for name, text in variables.items():
        monkeypatch.setenv(name, text)

    made = Settings()

    assert [(each.name, each.value, each.origins, each.tasks) for each in made.secrets] == [
        (
            "crm-token",
            "hunter2-and-more",
            ("https://a.example", "https://b.example:8443"),
            ("crm-*", "report"),
        ),
        ("hook", "whsec_MfKQ9r8GKYqrTwjU", ("https://a.example",), ("*",)),
    ]
    assert unknown_variables(variables) == {}
    assert "hunter2" not in repr(made)
    assert "hunter2" not in repr(made.secrets)
    assert handlers_environment(variables) == {}


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        ({"ROTA_SECRET_CRM": "hunter2-and-more"}, "ROTA_SECRET_CRM needs ROTA_SECRET_CRM_ORIGINS"),
        ({"ROTA_SECRET_CRM_ORIGINS": "https://a.example"}, "ROTA_SECRET_CRM is not set"),
        (
            {"ROTA_SECRET_CRM": "hunter2-and-more", "ROTA_SECRET_CRM_FILE": "/x"},
            "ROTA_SECRET_CRM_FILE and ROTA_SECRET_CRM are both set",
        ),
        (
            {"ROTA_SECRET_CRM_FILE": "/nowhere", "ROTA_SECRET_CRM_ORIGINS": "https://a.example"},
            "ROTA_SECRET_CRM_FILE: the file '/nowhere' cannot be read",
        ),
    ],
)
def test_incomplete_secrets_are_refused_by_their_variable(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], message: str
) -> None:
    for name, text in variables.items():
        monkeypatch.setenv(name, text)

    with pytest.raises(ValueError, match=message) as refused:
        Settings()

    assert "hunter2" not in str(refused.value)


@pytest.mark.parametrize(
    ("variable", "choices"),
    [
        ("ROTA_SMTP_TLS", "'starttls', 'tls' or 'none'"),
        ("ROTA_LOG_FORMAT", "'console' or 'json'"),
        ("ROTA_LOG_LEVEL", "'debug', 'info', 'warning' or 'error'"),
    ],
)
def test_a_setting_of_few_values_lists_them(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    variable: str,
    choices: str,
) -> None:
    monkeypatch.setenv(variable, "maybe")

    with pytest.raises(typer.Exit):
        settings_of()

    assert capsys.readouterr().err == f"rota: {variable}: give {choices}\n"
