"""YAML is read without surprises, and every bomb is refused with its place."""

import contextlib
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aaos.core.errors import SettingsError
from aaos.core.yamlfile import MAX_DEPTH, Places, load_yaml


def _load(text: str) -> object:
    return load_yaml(text.encode(), "a.yaml")


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("", None), ("# only this", None), ("~", None), ("null", None), ("true", True), ("False", False), ("0", 0),
        ("-7", -7),
        ("+7", 7), ("1.5", 1.5), ("1e3", 1000.0), (".5", 0.5), ("no", "no"), ("on", "on"), ("Yes", "Yes"), ("y", "y"),
        ("12:30:45", "12:30:45"), ("190:20:30", "190:20:30"), ("2001-12-14", "2001-12-14"), ("0o7", "0o7"),
        ("0x1F", "0x1F"),
        ("1_000", "1_000"), ("'5'", "5"), ('"true"', "true"), ("|\n  5\n", "5\n"), ("=", "="), ("1.2.3", "1.2.3"),
        ("'<<'", "<<"),
        ("{a: [1, x], b: {c: }}", {"a": [1, "x"], "b": {"c": None}}), ("'é': ü", {"é": "ü"}), ("'<<': 5", {"<<": 5}),
        ("file_read: /data/**", {"file_read": "/data/**"}), ("---\na: 1\n...\n", {"a": 1}),
    ],
)  # fmt: skip
def test_scalars_have_the_types_of_the_core_schema(text: str, value: object) -> None:
    """H-FUZZ-01"""
    loaded = _load(text)
    assert loaded == value
    assert type(loaded) is type(value)


_BOMB = "a: &a [x]\n" + "".join(f"{b}: &{b} [*{a}, *{a}]\n" for a, b in zip("abcdefgh", "bcdefghi", strict=True))


@pytest.mark.parametrize(
    ("text", "place"),
    [
        (_BOMB, "line 1, column 4: anchors and aliases"),
        ("a: &x 1", "line 1, column 4: anchors"),
        ("a: *x", "line 1, column 4: anchors"),
        ("a: 1\nb: !!python/object/apply:os.system ['id']", "line 2, column 4: the tag"),
        ("!!str 5", "line 1, column 1: the tag"),
        ("! 5", "line 1, column 1: the tag"),
        ("!mine {}", "line 1, column 1: the tag"),
        ("<<: {a: 1}", "line 1, column 1: '<<' is not accepted as a key"),
        ("a: 1\nb: 2\na: 3", "line 3, column 1: the key 'a' is there twice"),
        ("1: x", "line 1, column 1: 1 is not accepted as a key"),
        ("true: x", "line 1, column 1: True is not accepted as a key"),
        ("? [a]\n: x", "line 1, column 3: a list of 1 is not accepted as a key"),
        ("[" * 60_000, f"line 1, column {MAX_DEPTH + 2}: more than"),
        ("a:\n" + "- x\n" * 12_000, "line 9999, column 3: more than"),
        (".nan", "line 1, column 1: .nan is not accepted"),
        ("-.INF", "line 1, column 1: -.INF is not accepted"),
        ("1e999", "line 1, column 1: '1e999' is beyond the range"),
        ("9" * 19, "is too long"),
        ("9" * 60_000, "is too long"),
        ("007", "line 1, column 1: '007' is too long or begins with 0"),
        ("a: 1\n---\nb: 2", "line 2, column 1: a second document"),
        ("%YAML 1.1\n---\na: 1", "a second document or a directive"),
        ("%TAG ! !x\n---\na: 1", "a second document or a directive"),
        ("a: [", "line 1, column 5: "),
        ("a: 'x", "line 1, column 6: "),
        ("a:\tb: c", "line 1"),
        ('"\\ud800"', "line 1, column 1: NUL and lone surrogates"),
        ('"\\0"', "line 1, column 1: NUL"),
        ('"\\UFFFFFFFF"', "not YAML"),
        ("\x07", "not YAML"),
        ("a\0b", "not YAML"),
    ],
    ids=range(31),
)
def test_what_is_not_plain_data_is_refused_with_its_place(text: str, place: str) -> None:
    """H-FUZZ-01, H-FUZZ-02, H-FUZZ-03"""
    with pytest.raises(SettingsError) as caught:
        _load(text)
    assert caught.value.message.startswith("a.yaml")
    assert place in caught.value.message
    assert caught.value.remedy
    assert caught.value.message.isprintable()


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"a: 1\nb: \xff", "line 2: not UTF-8"),
        (b"\xc0\xaf", "line 1: not UTF-8"),
        ("\ud800".encode("utf-8", "surrogatepass"), "line 1: not UTF-8"),
        ("\ufeffa: 1".encode(), "byte order mark"),
        ("a: 1".encode("utf-16"), "not UTF-8"),
        (b"a" * 65_537, "65537 bytes are over the limit"),
    ],
    ids=range(6),
)
def test_bytes_that_are_no_text_are_refused(data: bytes, message: str) -> None:
    """H-FUZZ-03"""
    with pytest.raises(SettingsError, match=message):
        load_yaml(data, "a.yaml")


def _is_plain(value: object) -> bool:
    if isinstance(value, dict):
        return all(type(key) is str and _is_plain(item) for key, item in value.items())
    if isinstance(value, list):
        return all(map(_is_plain, value))
    return value is None or type(value) in (str, int, bool) or (type(value) is float and math.isfinite(value))


@given(
    st.one_of(st.text(alphabet="a:- \n[]{}&*!|>'\"#%,?~01.e\\\t<", max_size=60).map(str.encode), st.binary(max_size=60))
)
def test_any_bytes_are_plain_data_or_a_settings_error(data: bytes) -> None:
    """H-FUZZ-10"""
    with contextlib.suppress(SettingsError):
        assert _is_plain(load_yaml(data, "a.yaml"))


def test_places_of_values_are_kept_for_later_errors() -> None:
    """TOL-4: the nearest value around one that is not there."""
    places = Places()
    load_yaml(b"a:\n  - b: 1\n    c: {d: x}\n", "f", places=places)
    assert places.named("f", ("a", 0, "c", "d")) == "f, line 3, column 12"
    assert places.named("f", ("a", 0, "missing", "deep")) == "f, line 2, column 5"
    assert places.named("f", ()) == "f, line 1, column 1"
    assert Places().named("f", ("a",)) == "f"
