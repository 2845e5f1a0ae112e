"""Short texts are computed once, long ones each time, and no more is kept than was said."""

from aaos.core.memo import KEPT_CHARS, memo


def test_a_short_text_is_computed_once_and_a_long_one_each_time() -> None:
    """R9: who chooses the texts does not choose how much is kept."""
    seen: list[tuple[int, str]] = []

    @memo(2)
    def joined(number: int, text: str) -> str:
        seen.append((number, text))
        return f"{number} {text}"

    short, long = "s" * KEPT_CHARS, "l" * (KEPT_CHARS + 1)
    assert [joined(1, short), joined(1, short), joined(2, short)] == [f"1 {short}", f"1 {short}", f"2 {short}"]
    assert [joined(1, long), joined(1, long)] == [f"1 {long}"] * 2
    assert seen == [(1, short), (2, short), (1, long), (1, long)]


def test_no_more_is_kept_than_was_said() -> None:
    """R9"""
    seen: list[str] = []

    @memo(2)
    def noted(text: str) -> None:
        seen.append(text)

    for text in "abcacb":
        noted(text)
    assert seen == ["a", "b", "c", "a", "b"]
