"""Takes a secret out of bytes that a server says, before a cell gets them.

Invariant: what leaves has the length of what came, and holds none of the forms that it knows, also where one stands
across two pieces. What cannot be told yet from the begin of a form is held back until the next piece, or the end.
"""

from collections.abc import Iterable

SHOWN = b"*"


class Masking:
    """Knows the forms of one secret, the long ones first, so that none leaves a part of another."""

    def __init__(self, forms: Iterable[str]) -> None:
        self._forms = sorted((form.encode() for form in forms if form), key=len, reverse=True)
        self._held = b""

    def feed(self, piece: bytes) -> bytes:
        """What can be said by now."""
        data = self.whole(self._held + piece)
        keep = max((_overlap(data, form) for form in self._forms), default=0)
        self._held = data[len(data) - keep :]
        return data[: len(data) - keep]

    def end(self) -> bytes:
        """The rest: nothing comes any more, so it was no secret."""
        held, self._held = self._held, b""
        return held

    def whole(self, data: bytes) -> bytes:
        """Bytes that have come to their end."""
        for form in self._forms:
            if form in data:
                data = data.replace(form, SHOWN * len(form))
        return data


def _overlap(data: bytes, form: bytes) -> int:
    """How many bytes at the end of `data` are the first of `form`."""
    at = data.find(form[:1], max(0, len(data) - len(form) + 1))
    while at >= 0:
        if form.startswith(data[at:]):
            return len(data) - at
        at = data.find(form[:1], at + 1)
    return 0
