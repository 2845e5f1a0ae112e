"""Answers of another version never break the client."""

from hypothesis import given
from hypothesis import strategies as st

from aaos.cli import answers

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
KEYS = ("seq", "time_s", "kind", "run", "subtask", "agent", "fields")


@given(st.dictionaries(st.sampled_from(KEYS), JSON))
def test_any_document_reads_as_an_event(document: answers.Document) -> None:
    event = answers.event(document)
    assert isinstance(event.seq, int)
    assert isinstance(event.kind, str)
    assert isinstance(event.fields, dict)


@given(st.dictionaries(st.sampled_from(KEYS), JSON), st.sampled_from(KEYS))
def test_every_accessor_gives_its_type(document: answers.Document, key: str) -> None:
    assert isinstance(answers.text(document, key), str)
    assert isinstance(answers.number(document, key), int | float)
    assert all(isinstance(item, str) for item in answers.texts(document, key))
    assert all(isinstance(item, dict) for item in answers.rows(document, key))
    assert isinstance(answers.inner(document, key), dict)


@given(JSON)
def test_any_value_reads_as_a_document(value: object) -> None:
    found = answers.document(value)  # type: ignore[arg-type]  # hypothesis does not know the recursive type
    assert found == (value if isinstance(value, dict) else {})


def test_what_is_there_is_read() -> None:
    document: answers.Document = {"n": 1.5, "t": "x", "l": ["a", "b"], "r": [{"a": 1}], "i": {"k": "v"}, "seq": 7}
    assert answers.number(document, "n") == 1.5
    assert answers.text(document, "t") == "x"
    assert answers.texts(document, "l") == ("a", "b")
    assert answers.rows(document, "r") == ({"a": 1},)
    assert answers.inner(document, "i") == {"k": "v"}
    assert answers.event(document).seq == 7
