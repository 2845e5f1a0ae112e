"""The pieces that all phrases share: placeholders for the goal's atoms, lists of them, and numbers in words.

Invariant: an atom is used as a path only when it can be one; an address is refused where a path is expected.
"""

import re
from dataclasses import dataclass

from aaos.core.errors import InputError
from aaos.core.text import quoted
from aaos.core.url import parse_url
from aaos.plan.goal import Atom, AtomKind, GoalText

ATOM = r"‹\d+›"
JOIN = r"(?:\s*,\s*(?:and\s+)?|\s+(?:and|&|plus|as\s+well\s+as|along\s+with|or)\s+)"
LIST = rf"{ATOM}(?:{JOIN}{ATOM})*"

_INDEX = re.compile(r"‹(\d+)›")
_COUNTED = """one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen
    seventeen eighteen nineteen twenty"""
_NUMBERS = {word: at for at, word in enumerate(_COUNTED.split(), start=1)} | {
    "dozen": 12, "thirty": 30, "forty": 40, "fifty": 50, "hundred": 100,
}  # fmt: skip
NUMBER = rf"(?:\d[\d,]{{0,8}}|(?:a\s+)?(?:{'|'.join(sorted(_NUMBERS, key=len, reverse=True))}))"
MAX_NUMBER = 100_000


@dataclass(frozen=True, slots=True)
class Sources:
    """What a list names: paths of files and addresses of pages."""

    paths: tuple[str, ...]
    urls: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Words:
    """A part of the goal's template, with the atoms it refers to."""

    text: str
    goal: GoalText

    def atom(self, placeholder: str) -> Atom:
        """The atom of a placeholder."""
        return self.goal.atoms[int(placeholder.strip("‹›"))]

    def path(self, placeholder: str) -> str:
        """The text of an atom that stands where a path is expected. Raises InputError for an address."""
        atom = self.atom(placeholder)
        if atom.kind is AtomKind.URL:
            raise InputError(
                f"{quoted(atom.text)} is an address, and a file is expected here",
                f'save the page first, and name the file then: agentd submit "fetch {atom.text} to ./page.md"',
            )
        return atom.text

    def urls(self, placeholders: str) -> tuple[str, ...]:
        """The addresses of a list of placeholders in their normal form, each once. Raises InputError for a file."""
        named = self.sources(placeholders)
        if named.paths:
            raise InputError(
                f"{quoted(named.paths[0])} is no address", "write it with its scheme: https://example.com/page"
            )
        return named.urls

    def sources(self, placeholders: str) -> Sources:
        """The paths and the addresses of a list of placeholders, each once, in order. Raises InputError."""
        atoms = [self.atom(found) for found in re.findall(ATOM, placeholders)]
        paths = [atom.text for atom in atoms if atom.kind is not AtomKind.URL]
        urls = [parse_url(atom.text).text for atom in atoms if atom.kind is AtomKind.URL]
        return Sources(tuple(dict.fromkeys(paths)), tuple(dict.fromkeys(urls)))

    def paths(self, placeholders: str) -> tuple[str, ...]:
        """The paths of a list of placeholders, each once, in order."""
        return tuple(dict.fromkeys(self.path(found) for found in re.findall(ATOM, placeholders)))

    def shown(self, text: str) -> str:
        """`text` with its placeholders replaced by what they stand for."""
        return _INDEX.sub(lambda match: self.goal.atoms[int(match[1])].text, text)

    def show(self) -> str:
        """The words as the operator wrote them, quotes aside."""
        return self.shown(self.text)

    def hint(self) -> str:
        """Why these words may not have been understood."""
        if re.search(rf"{ATOM}\s+{ATOM}", self.text):
            return "a path with spaces needs quotes"
        if any(self.atom(found).kind is AtomKind.URL for found in re.findall(ATOM, self.text)):
            return "a page can be fetched, summarised, compared, or searched for its top stories"
        return (
            ""
            if re.search(ATOM, self.text)
            else "it names no file: write a path such as ./notes.txt, in quotes if it is one word"
        )


def to_number(word: str) -> int | None:
    """A count: `20`, `1,000`, `twenty`, `a dozen` without its article; None for another word or an absurd number."""
    plain = word.casefold().removeprefix("a ").strip().replace(",", "")
    if plain.isascii() and plain.isdigit() and len(plain) <= 9:
        return min(int(plain), MAX_NUMBER)
    return _NUMBERS.get(plain)
