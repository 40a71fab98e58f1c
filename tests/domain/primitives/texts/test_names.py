import pytest
from pydantic import TypeAdapter, ValidationError

from rota.domain.primitives.texts.names import RESERVED_KEYS, RESERVED_NAMES, Name, key_fault

ADAPTER: TypeAdapter[str] = TypeAdapter(Name)


@pytest.mark.parametrize(
    "name", ["a", "9", "invoice-digest", "A.b_c~d-e", "x" * 128, "batches", "Run"]
)
def test_a_name(name: str) -> None:
    assert ADAPTER.validate_python(name) == name


@pytest.mark.parametrize(
    "wrong",
    ["", "x" * 129, ".a", "-a", "_a", "a b", "a/b", "a:b", "ä", "a\n", *sorted(RESERVED_NAMES)],
)
def test_no_name(wrong: str) -> None:
    with pytest.raises(ValidationError):
        ADAPTER.validate_python(wrong)


@pytest.mark.parametrize("key", ["a", "9", "user:7", "a.b_c~d-e", "x" * 255, "Export"])
def test_a_key(key: str) -> None:
    assert key_fault(key) is None


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ("_result", "read-only"),
        ("", "1 to 255 letters"),
        ("x" * 256, "1 to 255 letters"),
        ("a b", "1 to 255 letters"),
        ("a/b", "1 to 255 letters"),
        ("a\n", "1 to 255 letters"),
        (":a", "1 to 255 letters"),
        *((word, "reserved") for word in sorted(RESERVED_KEYS)),
    ],
)
def test_no_key(wrong: str, says: str) -> None:
    fault = key_fault(wrong)

    assert fault is not None
    assert says in fault
