"""Takes keys out of texts that came from a provider, before anybody else sees them.

Invariant: what leaves here holds no key, whole or in a part of eight characters or more, and not in the forms that
servers give it: JSON, HTML, percent and base64. Nothing is remembered of the text. It cannot know other secrets.
"""

import base64
import html
import json
from collections.abc import Iterable
from urllib.parse import quote

SHOWN = "[key]"
PART_CHARS = 8  # of a key; shorter pieces are in any text

_ENCODED_CHARS = 12  # of an encoded form


class Redactor:
    """Knows the keys of one provider."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        self._secrets = tuple(secrets)
        self._whole: tuple[str, ...] = ()
        self._parts: dict[int, frozenset[str]] = {}
        for secret in self._secrets:
            encoded = _encodings(secret)
            self._whole = (*self._whole, secret, *encoded)
            self._add({secret}, PART_CHARS)
            self._add(encoded, _ENCODED_CHARS)

    def _add(self, forms: Iterable[str], length: int) -> None:
        parts = {form[at : at + length] for form in forms for at in range(len(form) - length + 1)}
        self._parts[length] = self._parts.get(length, frozenset()) | parts

    @property
    def forms(self) -> tuple[str, ...]:
        """What is taken out as a whole: the keys, and the forms that servers give them."""
        return self._whole

    def stream(self) -> "RedactedStream":
        """For a text that comes in pieces."""
        return RedactedStream(self._secrets)

    def error(self, text: str) -> str:
        """A short text such as an error's: any part of a key is taken out. Bound `text` first: it is walked."""
        secret = bytearray(len(text))
        for length, parts in self._parts.items():
            for at in range(len(text) - length + 1):
                if text[at : at + length] in parts:
                    secret[at : at + length] = b"\1" * length
        return _masked(text, secret) if any(secret) else text

    def answer(self, text: str) -> str:
        """A model's text, which may be long: whole keys are taken out."""
        for form in self._whole:
            if form in text:
                text = text.replace(form, SHOWN)
        return text


class RedactedStream:
    """A text that comes in pieces: holds back an end that may be the begin of a key."""

    def __init__(self, secrets: Iterable[str]) -> None:
        self._secrets = tuple(secrets)
        self._held = ""

    def feed(self, piece: str) -> str:
        """What can be shown by now."""
        text = self._held + piece
        for secret in self._secrets:
            text = text.replace(secret, SHOWN)
        keep = max((_overlap(text, secret) for secret in self._secrets), default=0)
        self._held = text[len(text) - keep :]
        return text[: len(text) - keep]

    def end(self) -> str:
        """The rest: the text is over, so it was no key."""
        held, self._held = self._held, ""
        return held


def _overlap(text: str, secret: str) -> int:
    """How many characters at the end of `text` are the first of `secret`."""
    for length in range(min(len(text), len(secret) - 1), 0, -1):
        if text.endswith(secret[:length]):
            return length
    return 0


def _masked(text: str, secret: bytearray) -> str:
    shown: list[str] = []
    for char, is_secret, was_secret in zip(text, secret, b"\0" + secret, strict=False):
        if not is_secret:
            shown.append(char)
        elif not was_secret:
            shown.append(SHOWN)
    return "".join(shown)


def _encodings(secret: str) -> set[str]:
    data = secret.encode()
    forms = {
        json.dumps(secret)[1:-1],
        html.escape(secret),
        html.escape(secret, quote=False),
        secret.replace("/", "\\/"),
        quote(secret, safe=""),
        data.hex(),
        data.hex().upper(),
    }
    for shift in range(3):  # where the key stands in what was encoded decides its base64 form
        whole = base64.b64encode(b"\0" * shift + data).decode().rstrip("=")
        inner = whole[(shift * 8 + 5) // 6 : len(whole) - 1]  # the outer characters depend on the neighbours
        forms |= {inner, inner.replace("+", "-").replace("/", "_")}
    return {form for form in forms if form != secret and len(form) >= _ENCODED_CHARS}
