"""Results that are kept because the same text comes again and again, as a grant's resource does.

Invariant: what is kept is bounded in number and in bytes: a long text is computed each time, since whoever chooses the
texts could otherwise fill the memory with them.
"""

from collections.abc import Callable
from functools import lru_cache, wraps
from typing import ParamSpec, TypeVar, cast

KEPT_CHARS = 256
P = ParamSpec("P")
T = TypeVar("T")


def memo(at_most: int) -> Callable[[Callable[P, T]], Callable[P, T]]:
    """Keep so many results of a function whose last argument is a text, those of short texts only."""

    def decorated(compute: Callable[P, T]) -> Callable[P, T]:
        kept = cast(Callable[P, T], lru_cache(maxsize=at_most)(compute))  # typed as taking anything hashable

        @wraps(compute)
        def looked_up(*args: P.args, **named: P.kwargs) -> T:
            return kept(*args, **named) if len(str(args[-1])) <= KEPT_CHARS else compute(*args, **named)

        return looked_up

    return decorated
