"""When a wait begins with a look."""

from worker.linger import Linger

WINDOW_S = 0.000_4
SHORT_S = WINDOW_S
LONG_S = 0.01


def test_one_looks_after_a_short_sleep_and_not_after_a_long_one() -> None:
    linger = Linger(WINDOW_S)
    assert not linger.is_worth
    linger.slept(LONG_S)
    assert not linger.is_worth
    linger.slept(SHORT_S)
    assert linger.is_worth
    linger.found()
    assert linger.is_worth


def test_looking_in_vain_grows_rare_and_success_makes_it_common_again() -> None:
    linger = Linger(WINDOW_S)
    needed = []
    for _ in range(12):
        count = 0
        while not linger.is_worth:
            linger.slept(SHORT_S)
            count += 1
        needed.append(count)
        linger.missed()
    assert needed == [1, 1, 2, 4, 8, 16, 32, 64, 128, 256, 256, 256]
    for _ in range(256):
        linger.slept(SHORT_S)
    linger.found()
    linger.missed()
    linger.slept(SHORT_S)
    assert linger.is_worth


def test_what_is_short_depends_on_how_long_one_would_look() -> None:
    quick, patient = Linger(WINDOW_S), Linger(WINDOW_S * 3)
    for linger in (quick, patient):
        linger.slept(WINDOW_S * 2)
    assert (quick.is_worth, patient.is_worth) == (False, True)
