"""The repeat guard (TOL-7, H-LLM-07)."""

from aaos.tools.repeat import END_AT, HINT_AT, MAX_REMEMBERED, RepeatGuard, hint, too_often


def test_identical_calls_are_counted_whatever_comes_between() -> None:
    guard = RepeatGuard()
    for number in range(1, 10):
        assert guard.count("a", is_effect=False) == number
        assert guard.count("b", is_effect=False) == number


def test_an_effect_makes_reading_again_sensible_but_not_itself() -> None:
    guard = RepeatGuard()
    for number in range(1, 5):
        assert guard.count("read", is_effect=False) == 1
        assert guard.count("write", is_effect=True) == number
        guard.changed()


def test_what_is_remembered_is_bounded() -> None:
    guard = RepeatGuard()
    for number in range(10 * MAX_REMEMBERED):
        guard.count(str(number), is_effect=bool(number % 2))
    assert len(guard._counts) == len(guard._effects) == MAX_REMEMBERED


def test_the_words() -> None:
    assert [bool(hint(count)) for count in range(5)] == [count >= HINT_AT for count in range(5)]
    assert str(END_AT) in too_often("echo").message
    assert too_often("echo").remedy
