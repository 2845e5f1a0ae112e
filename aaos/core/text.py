"""Text that goes to people: made harmless for a terminal, cut to a bound, and the nearest known name for a wrong one.

Invariant: what `escape_for_terminal` returns cannot move a cursor, change a colour, reorder or hide characters.
It must import only the standard library, since the command line starts with it.
"""

import difflib
import re
from collections.abc import Iterable

_LINE_KEEPERS = "\n\t"
# C0, DEL, C1; soft hyphen; Arabic letter mark; Hangul fillers; Khmer and Mongolian invisibles; zero width and bidi
# marks; line and paragraph separators; bidi embeddings; word joiner to bidi isolates and deprecated formats; variation
# selectors; BOM; interlinear anchors; surrogates; musical formats; tags. Source: Unicode 15, categories Cc, Cf, Zl, Zp,
# Cs and Default_Ignorable_Code_Point.
_UNSAFE = re.compile(
    "[\x00-\x1f\x7f-\x9f\xad\u034f\u0600-\u0605\u061c\u06dd\u070f\u0890\u0891\u08e2\u115f\u1160\u17b4\u17b5\u180b-\u180f"
    "\u200b-\u200f\u2028-\u202e\u2060-\u206f\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffb\ud800-\udfff"
    "\U000110bd\U000110cd\U00013430-\U0001343f\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff]"
)
_SHORT = {"\n": "\\n", "\t": "\\t", "\r": "\\r", "\x1b": "\\e"}


def escape_for_terminal(text: str, *, keep_newlines: bool = False) -> str:
    """`text` with every control, bidi and invisible character shown as an escape such as `\\x1b` or `\\u202e`.

    With `keep_newlines`, line feeds and tabs stay: for blocks of text that begin on a line of their own.
    """
    if text.isascii() and text.isprintable():
        return text
    return _UNSAFE.sub(_keep_lines if keep_newlines else _shown, text)


def neutral(text: str) -> str:
    """`text` without control, bidi and invisible characters, line feeds and tabs excepted: for foreign text."""
    if text.isascii() and text.isprintable():
        return text
    return _UNSAFE.sub(_lines_alone, text.replace("\r\n", "\n").replace("\r", "\n"))


def clip(text: str, max_bytes: int, *, max_lines: int | None = None, hint: str = "") -> tuple[str, bool]:
    """`text` cut to `max_bytes` of UTF-8 and `max_lines`, and whether anything was cut.

    A cut text ends with a line that says how much is missing, then `hint`: how to get the rest. That line is not
    counted against the bounds. A character is never cut in half.
    """
    kept = text
    if max_lines is not None:
        end = _end_of_line(text, max_lines)
        kept = text if end < 0 else text[:end]
    if len(kept) > max_bytes or not (kept.isascii() or len(kept.encode("utf-8", "replace")) <= max_bytes):
        kept = kept[:max_bytes].encode("utf-8", "replace")[:max_bytes].decode("utf-8", "ignore")
    if len(kept) == len(text):
        return text, False
    missing = len(text[len(kept) :].encode("utf-8", "replace"))
    marker = f"[cut: {missing} bytes are missing{'; ' if hint else ''}{hint}]"
    return f"{kept}{'' if kept.endswith(chr(10)) or not kept else chr(10)}{marker}", True


def nearest(name: str, known: Iterable[str]) -> str:
    """The known name that is most like `name`, or is a word of it, or "" when none is near."""
    names, wrong = list(known), name[:80].lower()
    found = difflib.get_close_matches(wrong, names, n=1, cutoff=0.8)
    found += [word for word in wrong.split("_") if word in names]
    found += difflib.get_close_matches(wrong, names, n=1, cutoff=0.6)
    return found[0] if found else ""


def suggestion(name: str, known: Iterable[str]) -> str:
    """A remedy for a wrong name: the nearest known one, or else the whole list."""
    names = sorted(known)
    near = nearest(name, names)
    if near:
        return f"did you mean {near!r}?"
    return f"known: {', '.join(names)}" if names else "none are known here"


def quoted(value: object, *, max_chars: int = 80) -> str:
    """`repr` of a foreign value for an error message: bounded, on one line, harmless for a terminal."""
    text = repr(value[: max_chars + 1]) if isinstance(value, str | bytes) else _bounded_repr(value)
    text = escape_for_terminal(text)
    return text if len(text) <= max_chars else f"{text[: max_chars - 3]}..."


def _bounded_repr(value: object) -> str:
    if isinstance(value, int) and value.bit_length() > 256:  # beyond 4,300 digits repr() raises
        return f"a number of {value.bit_length()} bits"
    if isinstance(value, dict | list | tuple | set | frozenset):
        return f"a {type(value).__name__} of {len(value)}"
    return repr(value)


def _keep_lines(match: re.Match[str]) -> str:
    return match[0] if match[0] in _LINE_KEEPERS else _shown(match)


def _lines_alone(match: re.Match[str]) -> str:
    return match[0] if match[0] in _LINE_KEEPERS else ""


def _shown(match: re.Match[str]) -> str:
    char = match[0]
    if char in _SHORT:
        return _SHORT[char]
    code = ord(char)
    if code < 0x100:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def _end_of_line(text: str, count: int) -> int:
    """The index after the `count`-th line, or -1 when there are no more lines than that."""
    end = 0
    for _ in range(count):
        end = text.find("\n", end) + 1
        if end == 0:
            return -1
    return end if end < len(text) else -1
