"""The repeat guard: an agent that asks for the same thing again and again is told so, and then stopped (TOL-7).

Invariant: identical calls are counted over the agent's life, in whatever order others come between them; an effect that
was carried out may have changed the world, so after it everything but effects counts anew. Pure.
"""

from collections import OrderedDict

from aaos.core.errors import LimitError

HINT_AT = 3
END_AT = 6
MAX_REMEMBERED = 256


class RepeatGuard:
    """The calls of one agent, by digest."""

    __slots__ = ("_counts", "_effects")

    def __init__(self) -> None:
        self._counts: OrderedDict[str, int] = OrderedDict()
        self._effects: OrderedDict[str, int] = OrderedDict()

    def count(self, digest: str, *, is_effect: bool) -> int:
        """Count one more such call; how many there were with it."""
        counts = self._effects if is_effect else self._counts
        number = counts.pop(digest, 0) + 1
        counts[digest] = number
        if len(counts) > MAX_REMEMBERED:
            counts.popitem(last=False)
        return number

    def changed(self) -> None:
        """An effect was carried out."""
        self._counts.clear()


def hint(count: int) -> str:
    """What is added to the result of the `count`-th identical call; "" before the third."""
    if count < HINT_AT:
        return ""
    return f"\n[this is call {count} with the same arguments; call {END_AT} ends the turn: use the result you have]"


def too_often(tool: str) -> LimitError:
    """The end of the turn."""
    message = f"{tool} was called {END_AT} times with the same arguments: the turn ends"
    return LimitError(message, "submit the goal in other words, or to a larger model")
