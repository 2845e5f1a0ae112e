"""The document of a report."""

from dataclasses import replace

from aaos.llm.rules_file import FileText
from aaos.llm.rules_records import Records, find_records
from aaos.llm.rules_report import name_field, report
from aaos.llm.rules_select import Order, Query, select

CHEAP = tuple(f"Nut{at},1,Kiel" for at in range(20))
LINES = ("name,price,city", "Pen,1200,Rome", "Ink,300,Oslo", "Cap,45000,Bonn", "bad line", *CHEAP)
FILE = FileText("/data/shop.csv", LINES)


def made(query: Query, file: FileText = FILE) -> str:
    records = find_records(file.lines)
    assert isinstance(records, Records)
    return report(file, records, query, select(records, query))


def query(order: Order = Order.LARGEST, count: int = 2, field: str = "price") -> Query:
    return Query(order, count, field, "things", ())


def test_the_document_says_what_from_where_and_how() -> None:
    text = made(query())
    assert text.startswith("# The 2 largest things\n\nFrom `/data/shop.csv`.\n")
    assert "| 1 | Cap | 45,000 | Bonn |" in text
    assert "| 2 | Pen | 1,200 | Rome |" in text
    assert "Ink" not in text
    assert "Together: **46,200**, 99 % of the 46,520 of all 23." in text
    assert "25 lines, 317 bytes, read as CSV: 23 records." in text
    assert "1 line or record could not be read" in text
    assert "by `price` (as in the file), descending" in text
    assert text.endswith("\n")


def test_sizes_are_told_in_their_unit_and_for_people() -> None:
    stanzas = FileText("/s", ("Package: a", "Installed-Size: 2048", "", "Package: b", "Installed-Size: 10"))
    text = made(query(field=""), stanzas)
    assert "Installed-Size (KiB)" in text
    assert "| 1 | a | 2,048 | 2.0 MiB |" in text
    assert "the goal named no field, this one fits" in text


def test_what_was_not_read_is_said_first() -> None:
    text = made(query(), replace(FILE, is_whole=False, total_bytes=10_000_000))
    assert "Only the first 25 lines (317 bytes of 9.5 MiB) were read" in text.split("|")[0]


def test_other_titles() -> None:
    assert made(query(Order.ALL, 0, "")).startswith("# All 23 things")
    assert made(query(Order.FIRST, 1, "")).startswith("# The first of the things")
    assert "Order: as in the file (the first comes from there)." in made(query(Order.FIRST, 1, ""))


def test_hostile_cells_are_inert_and_passwords_are_no_column() -> None:
    lines = ("name,price,password", "a|b <script>,7,secret", "`c` *d*,5,hidden")
    text = made(query(), FileText("/x.csv", lines))
    assert "| 1 | a\\|b \\<script> | 7 |" in text
    assert "secret" not in text


def test_the_field_that_tells_records_apart() -> None:
    records = find_records(LINES)
    assert records is not None
    assert name_field(records) == "name"
    assert name_field(Records(records.format, (), (), 0)) == ""
