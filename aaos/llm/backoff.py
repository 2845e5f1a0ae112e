"""How long to wait before a provider is asked again. Pure.

Invariant: a wait is never negative and never longer than the cap, whatever the server says; unlucky clients spread.
Source: RFC 9110, section 10.2.3 (Retry-After).
"""

import email.utils
import re

MAX_ATTEMPTS = 8
MAX_CONNECTIONS_TRIED = 3  # nobody there: who waits for the answer should know within two seconds
MAX_WAIT_S = 60.0

_FIRST_S = 0.5
_GROWN_S = 30.0
_SECONDS = re.compile(r"[0-9]{1,12}(\.[0-9]{1,6})?", re.ASCII)


def retry_after_s(value: str | None, *, now_s: float) -> float | None:
    """What a Retry-After header asks for: seconds or a date, capped; None for anything else. `now_s` is UTC."""
    if value is None or len(value) > 80:
        return None
    text = value.strip()
    if _SECONDS.fullmatch(text):
        return min(float(text), MAX_WAIT_S)
    try:
        then_s = email.utils.parsedate_to_datetime(text).timestamp()
    except (ValueError, TypeError, OverflowError, IndexError):  # what email.utils raises depends on the text
        return None
    return min(max(0.0, then_s - now_s), MAX_WAIT_S)


def wait_s(attempt: int, asked_s: float | None, *, chance: float) -> float:
    """Before attempt `attempt` + 1; the first is 1. `chance`, in [0, 1), spreads those who were refused at once."""
    if asked_s is not None:
        return min(asked_s, MAX_WAIT_S) + chance * min(1.0, asked_s / 4)
    grown_s = min(_GROWN_S, _FIRST_S * 2.0 ** min(attempt - 1, 16))
    return grown_s * (0.5 + chance / 2)
