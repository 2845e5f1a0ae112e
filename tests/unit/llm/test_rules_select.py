"""Which records are chosen, and what is said when it is not clear which."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aaos.core.errors import ProviderError
from aaos.llm.rules_records import Format, Records
from aaos.llm.rules_select import Order, Query, select


def records(*rows: dict[str, str], kind: Format = Format.COMMA) -> Records:
    return Records(kind, tuple(dict.fromkeys(name for row in rows for name in row)), rows, 0)


def query(order: Order = Order.ALL, count: int = 0, field: str = "", words: tuple[str, ...] = ()) -> Query:
    return Query(order, count, field, "rows", words)


PACKAGES = records(
    {"Package": "a", "Status": "install ok installed", "Installed-Size": "30", "Section": "libs", "Essential": "yes"},
    {"Package": "b", "Status": "deinstall ok config-files", "Installed-Size": "900", "Section": "libs"},
    {"Package": "c", "Status": "install ok installed", "Installed-Size": "200", "Section": "python"},
    {"Package": "d", "Status": "install ok installed", "Section": "python"},
    kind=Format.DEB822,
)


def names(order: Order, *, count: int = 0, field: str = "", words: tuple[str, ...] = ()) -> list[str]:
    return [row["Package"] for row in select(PACKAGES, query(order, count, field, words)).rows]


def test_a_word_filters_by_the_field_that_says_it() -> None:
    assert names(Order.ALL, words=("installed",)) == ["a", "c", "d"]
    assert names(Order.ALL, words=("Python",)) == ["c", "d"]
    assert names(Order.ALL, words=("essential",)) == ["a"]
    assert names(Order.ALL, words=("installed", "libs")) == ["a"]
    kept = select(PACKAGES, query(words=("installed",))).filters
    assert [(one.field, one.before, one.after) for one in kept] == [("Status", 4, 3)]


def test_a_word_is_a_whole_word() -> None:
    """`installed` is not `not-installed`."""
    found = records({"status": "not-installed"}, {"status": "installed"})
    assert len(select(found, query(words=("installed",))).rows) == 1


def test_a_word_that_no_field_says_is_an_error_with_the_fields() -> None:
    with pytest.raises(ProviderError, match=r"'blue'.*Package") as caught:
        select(PACKAGES, query(words=("blue",)))
    assert "leave out" in caught.value.remedy


def test_orders_by_the_field_that_fits_or_the_one_that_was_named() -> None:
    assert names(Order.LARGEST) == ["b", "c", "a"]
    assert names(Order.SMALLEST, count=2) == ["a", "c"]
    assert names(Order.LARGEST, field="installed size") == ["b", "c", "a"]
    assert names(Order.LARGEST, field="size") == ["b", "c", "a"]
    assert select(PACKAGES, query(Order.LARGEST)).without_value == 1


def test_the_order_of_the_file() -> None:
    assert names(Order.FIRST, count=2) == ["a", "b"]
    assert names(Order.LAST, count=2) == ["c", "d"]
    assert names(Order.ALL) == ["a", "b", "c", "d"]


def test_newest_and_oldest_go_by_dates() -> None:
    found = records({"n": "1", "day": "2024-03-01"}, {"n": "2", "day": "2023-12-31"}, {"n": "3", "day": "2024-03-02"})
    assert [row["n"] for row in select(found, query(Order.NEWEST)).rows] == ["3", "1", "2"]
    assert [row["n"] for row in select(found, query(Order.OLDEST, 1)).rows] == ["2"]


def test_when_several_fields_could_be_meant_they_are_named() -> None:
    found = records({"uid": "1", "gid": "2"}, {"uid": "3", "gid": "1"})
    with pytest.raises(ProviderError, match="uid and gid") as caught:
        select(found, query(Order.LARGEST))
    assert "by uid" in caught.value.remedy
    assert [row["uid"] for row in select(found, query(Order.TOP, 1)).rows] == ["1"]
    assert select(found, query(Order.TOP, 1)).field == ""


@pytest.mark.parametrize(
    ("order", "field", "said", "remedy"),
    [
        (Order.LARGEST, "sise", "no field 'sise'", "Installed-Size"),
        (Order.LARGEST, "Section", "does not hold numbers", "Installed-Size"),
        (Order.NEWEST, "", "holds dates", "first N"),
    ],
)
def test_fields_that_give_no_order(order: Order, field: str, said: str, remedy: str) -> None:
    with pytest.raises(ProviderError, match=said) as caught:
        select(PACKAGES, query(order, field=field))
    assert remedy in caught.value.remedy or remedy in caught.value.message


@given(
    st.lists(st.integers(-50, 50), min_size=1, max_size=40),
    st.sampled_from([Order.LARGEST, Order.SMALLEST]),
    st.integers(0, 50),
)
def test_the_choice_is_the_beginning_of_a_stable_sort(values: list[int], order: Order, count: int) -> None:
    rows = [{"at": f"r{at}", "value": str(value)} for at, value in enumerate(values)]
    sign = -1 if order is Order.LARGEST else 1
    expected = sorted(rows, key=lambda row: sign * int(row["value"]))[: count or 10]
    assert list(select(records(*rows), query(order, count, "value")).rows) == expected
