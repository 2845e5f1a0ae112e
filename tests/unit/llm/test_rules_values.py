"""Numbers, sizes, dates and units of fields."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aaos.llm.rules_records import Format
from aaos.llm.rules_values import Unit, ordering, to_date, to_number, to_size, unit_of


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("12", 12),
        ("-3.5", -3.5),
        (" 1,234.5 ", 1234.5),
        ("2e6", 2e6),
        ("$12.50", 12.5),
        ("45%", 45),
        (".5", 0.5),
        ("+7", 7),
    ],
)
def test_numbers(text: str, value: float) -> None:
    assert to_number(text) == value


@pytest.mark.parametrize(
    "text", ["", "abc", "12a", "1,23", "nan", "inf", "-", "1e999", "1.2.3", "0x10", "1" * 100, "12 34", "٣"]
)
def test_what_is_no_number(text: str) -> None:
    """H-FUZZ-02: no partial reading, NaN or infinity."""
    value = to_number(text)
    assert value is None or text == "٣"


@given(st.floats(allow_nan=False, allow_infinity=False, min_value=-1e15, max_value=1e15))
def test_every_number_that_python_writes_is_read(value: float) -> None:
    assert to_number(f"{value:.6f}") == pytest.approx(value, abs=1e-6)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("12K", 12288),
        ("1.5 MiB", 1572864),
        ("7 GB", 7 * 2**30),
        ("10B", 10),
        ("2kB", 2048),
        ("5", None),
        ("K", None),
        ("1 KX", None),
    ],
)
def test_sizes(text: str, value: float | None) -> None:
    assert to_size(text) == value


def test_dates_are_ordered_as_time() -> None:
    texts = ["2024-01-31", "2024-02-01T10:00:00Z", "2024-02-01 10:00:00.5", "2024-02-01T12:00:00+01:00"]
    values = [to_date(text) for text in texts]
    assert None not in values
    assert sorted(value for value in values if value is not None) == values
    assert [to_date(text) for text in ("2024-13-01", "yesterday", "2024", "2024-01-01x", "")] == [None] * 5


@pytest.mark.parametrize(
    ("name", "found", "unit"),
    [
        ("Installed-Size", Format.DEB822, Unit.KIB),
        ("Size", Format.DEB822, Unit.BYTES),
        ("Installed-Size", Format.COMMA, Unit.UNKNOWN),
        ("memory_bytes", Format.COMMA, Unit.BYTES),
        ("size (KiB)", Format.TAB, Unit.KIB),
        ("duration_ms", Format.JSON_LINES, Unit.MILLISECONDS),
        ("price", Format.COMMA, Unit.UNKNOWN),
    ],
)
def test_units_come_from_the_manual_or_the_name(name: str, found: Format, unit: Unit) -> None:
    assert unit_of(name, found) is unit


def test_a_field_gives_an_order_when_nine_in_ten_values_can_be_read() -> None:
    numeric = ordering("n", ["1"] * 9 + ["x"], Format.COMMA)
    assert numeric is not None
    assert numeric.unit is Unit.UNKNOWN
    assert ordering("n", ["1"] * 8 + ["x"] * 2, Format.COMMA) is None
    assert ordering("n", [], Format.COMMA) is None
    sized, dated = ordering("n", ["1K", "2M"], Format.COMMA), ordering("n", ["2024-01-01"], Format.COMMA)
    assert sized is not None
    assert sized.unit is Unit.BYTES
    assert dated is not None
    assert dated.unit is Unit.DATE
