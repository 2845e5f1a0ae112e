"""A goal's text with the things it names taken out: paths, quoted texts, addresses.

What counts as a path in a goal: a quoted text where a path is expected; a word that begins with `/`, `./`, `../` or
`~`; a word with a `/` in it; a word that ends like a file's name (`notes.md`). Quotes may be ' " ` “ ” ‘ ’ « »; a path
with a space or a comma needs them. Punctuation at the end of an unquoted path belongs to the sentence.

Invariant: nothing of the goal is lost: `template` with its atoms put back is the goal but for white space. No path is
looked at here: what it means is `core.paths.normalise`, which refuses `~`, `$HOME`, `..` and addresses with a remedy.
"""

import re
from dataclasses import dataclass
from enum import StrEnum

from aaos.core.errors import InputError

MAX_GOAL_CHARS = 4_000
MAX_FREE_CHARS = 16_384
MAX_WORDS_CHARS = 1_500  # of a goal without the things it names; the phrases' expressions take at most its square
MAX_ATOMS = 64
OPEN, CLOSE = "‹", "›"

_QUOTED = (  # bounded: an opening mark that is never closed costs no more than this each time it occurs
    r"\"(?P<q1>[^\"\n]{1,1024})\"|“(?P<q2>[^”\n]{1,1024})”|‘(?P<q3>[^’\n]{1,1024})’|«(?P<q4>[^»\n]{1,1024})»"
    r"|`(?P<q5>[^`\n]{1,1024})`"
)
_SINGLE = r"(?<![^\s(,;:=])'(?P<q6>[^'\n]{1,1024})'(?![^\s),.;:!?])"
_URL = r"(?<![^\s(<\[])(?P<url>[A-Za-z][A-Za-z0-9+.-]*://[^\s\"'<>“”‘’«»]+)"
_PATH = r"(?<![^\s(,;])(?P<path>(?:~|\$\w+|\.{0,2})/[^\s\"'`;]*|~\w*(?=[\s,.;]|$)|[^\s\"'`,;()/<>]+/[^\s\"'`;]+)"
_FILE = r"(?<![^\s(,;])(?P<file>[\w@%+=-][\w.@%+=-]*\.[A-Za-z][A-Za-z0-9]{0,7})(?=[\s,.;:!?)]|$)"
_ATOM = re.compile(f"{_URL}|{_QUOTED}|{_SINGLE}|{_PATH}|{_FILE}")
_WEB = re.compile(r"https?://\S+", re.I)
_ECHO = re.compile(r"([,;.!?])(?:[ \t]*[,;.!?])+")
_NOT_PATHS = frozenset({"and/or", "either/or", "his/her", "he/she", "w/o", "n/a", "e.g", "i.e", "a.m", "p.m", "tl;dr"})
_ENDINGS = ",;:!?)]}"


class AtomKind(StrEnum):
    """What a thing in a goal looks like."""

    QUOTED = "quoted"
    PATH = "path"
    URL = "url"


@dataclass(frozen=True, slots=True)
class Atom:
    """One thing that a goal names, as it is written there without its quotes."""

    text: str
    kind: AtomKind


@dataclass(frozen=True, slots=True)
class GoalText:
    """A goal: `template` is its words with `‹0›`, `‹1›` … in place of its atoms; line feeds stay, as single ones."""

    template: str
    atoms: tuple[Atom, ...]


def read_goal(text: str, *, is_free: bool = False) -> GoalText:
    """The goal's words and atoms; a free goal, whose words no phrase is tried on, may be longer.

    Raises InputError: empty, too long, or with characters that can't be shown.
    """
    max_chars, max_words_chars = (MAX_FREE_CHARS,) * 2 if is_free else (MAX_GOAL_CHARS, MAX_WORDS_CHARS)
    if not text.strip():
        raise InputError("the goal is empty", 'say what to do: agentd submit "summarise /etc/services"')
    if len(text) > max_chars:
        raise InputError(
            f"a goal of {len(text)} characters is too long", f"say it in {max_chars}, or submit several goals"
        )
    if any(ord(char) < 32 and char not in "\t\n\r" for char in text) or OPEN in text or CLOSE in text:
        raise InputError(f"the goal contains control characters, {OPEN} or {CLOSE}", "write it without them")
    atoms: list[Atom] = []
    parts: list[str] = []
    end = 0
    for match in _ATOM.finditer(text):
        if match.start() < end:
            continue
        parts.append(text[end : match.start()])
        end = match.end()
        for piece in _pieces(match):
            if isinstance(piece, Atom):
                parts.append(f"{OPEN}{len(atoms)}{CLOSE}")
                atoms.append(piece)
            else:
                parts.append(piece)
    parts.append(text[end:])
    if len(atoms) > MAX_ATOMS:
        raise InputError(
            f"the goal names {len(atoms)} things", f"name at most {MAX_ATOMS}, or the directory they are in"
        )
    lines = _ECHO.sub(r"\1", "".join(parts)).splitlines()
    template = "\n".join(words for line in lines if (words := " ".join(line.split())))
    if len(template) > max_words_chars:
        raise InputError(f"the goal has {len(template)} characters of words", f"say it in {max_words_chars}")
    return GoalText(template, tuple(atoms))


def _pieces(match: re.Match[str]) -> list[Atom | str]:
    """The match as atoms and plain text between them."""
    url, path, file = match["url"], match["path"], match["file"]
    if url is not None:
        bare = _balanced(url)
        return [Atom(bare, AtomKind.URL), url[len(bare) :]]
    if path is not None:
        return _unquoted(path)
    if file is not None:
        return [file] if file.casefold() in _NOT_PATHS else [Atom(file, AtomKind.PATH)]
    quoted = next(text for name, text in match.groupdict().items() if name.startswith("q") and text is not None)
    return [Atom(quoted, AtomKind.URL if _WEB.fullmatch(quoted) else AtomKind.QUOTED)]


def _balanced(url: str) -> str:
    """Where an address ends: brackets that it opens belong to it, those around it do not."""
    bare = url.rstrip(f"{_ENDINGS}.")
    while url[len(bare) :].startswith(")") and bare.count("(") > bare.count(")"):
        bare = url[: len(bare) + 1]
    return bare


def _unquoted(path: str) -> list[Atom | str]:
    """Paths in a run without spaces: a comma before a slash divides two, punctuation at the end is the sentence's."""
    if path.casefold().rstrip(_ENDINGS + ".") in _NOT_PATHS:
        return [path]
    pieces: list[Atom | str] = []
    for at, part in enumerate(path.split(",/")):
        pieces += [", ", *_one_path(f"/{part}")] if at else _one_path(part)
    return pieces


def _one_path(path: str) -> list[Atom | str]:
    if path.casefold().rstrip(_ENDINGS + ".") in _NOT_PATHS:
        return [path]
    bare = path.rstrip(_ENDINGS)
    name = bare.rpartition("/")[2]
    if name.strip("."):  # a name of dots alone is a place, and stays for the refusal of `..`
        bare = bare.rstrip(f".{_ENDINGS}")
    return [Atom(bare, AtomKind.PATH), path[len(bare) :]] if bare else [path]
