"""Regular expressions in linear time: no pattern and no text can make matching slow or large.

Syntax: literals, `.`, classes `[a-z] [^a]`, `\\d \\D \\w \\W \\s \\S \\t`, escaped punctuation, `^`, `$`, groups `( )`
and `(?: )`, `|`, and the repeats `* + ? {m} {m,} {m,n}` (also lazy, which finds the same lines). Not: back-references,
look-around, `\\b`.

Invariant: the position automaton (Glushkov, 1961) has at most MAX_POSITIONS states; its deterministic moves are made
while matching and forgotten at MAX_MOVES, so time is at most positions x characters and memory is bounded.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

MAX_POSITIONS = 500
MAX_VISITS = 20_000
MAX_DEPTH = 40
MAX_REPEATS = 3
MAX_COUNT = 1_000
MAX_MOVES = 20_000

Test = Callable[[str], bool]
_CLASSES: dict[str, Test] = {"d": str.isdecimal, "s": str.isspace, "w": lambda c: c == "_" or c.isalnum()}
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "f": "\f", "v": "\v"}


class PatternError(Exception):
    """The pattern is not of this syntax, or too large."""


@dataclass(frozen=True, slots=True)
class _Char:
    """One character that passes `test`; `literal` when it can be only one. An anchor passes none."""

    test: Test
    literal: str = ""
    anchor: str = ""


@dataclass(frozen=True, slots=True)
class _Many:
    """Parts one after the other, or with `is_choice` one of them."""

    parts: tuple["_Node", ...]
    is_choice: bool = False


@dataclass(frozen=True, slots=True)
class _Repeat:
    """`low` to `high` times; None is without end."""

    part: "_Node"
    low: int
    high: int | None


@dataclass(frozen=True, slots=True)
class _Shape:
    """Positions (bit sets) where a match of a node may begin and end, and whether it may be empty."""

    first: int
    last: int
    is_nullable: bool


_Node = _Char | _Many | _Repeat


class Pattern:
    """A compiled pattern. `required` is text that every matching line has, in lower case when case is ignored."""

    def __init__(self, text: str, *, ignore_case: bool = False) -> None:
        node = _Parser(text, ignore_case=ignore_case).parse()
        self.required = _required(node)
        self._ignore_case = ignore_case
        self._chars: list[_Char] = []
        self._follow: list[int] = []
        self._visits = self._made = 0
        self._moves: dict[int, dict[str, int]] = {}
        self._masks: dict[str, int] = {}
        self._whole = self._shape(node)
        self._begin, self._end = (sum(1 << i for i, c in enumerate(self._chars) if c.anchor == a) for a in "^$")

    def search(self, line: str) -> bool:
        """Whether the line, which has no newline, matches anywhere."""
        if self._ignore_case:
            line = line.lower()
        if self.required not in line:
            return False
        if self._whole.is_nullable:
            return True
        last, moves = self._whole.last, self._moves
        state = self._spread(0, self._begin if line else self._begin | self._end)
        if state & last:
            return True
        for char in line:
            try:
                state = moves[state][char]
            except KeyError:
                state = self._move(state, char)
            if state & last:
                return True
        return bool(line) and bool(self._spread(state, self._end) & last)

    def _move(self, state: int, char: str) -> int:
        """The positions after `char`, kept for the next time."""
        self._made += 1
        if self._made > MAX_MOVES:
            self._made = 0
            self._moves.clear()
            self._masks.clear()
        mask = self._masks.get(char)
        if mask is None:
            mask = self._masks[char] = sum(1 << i for i, c in enumerate(self._chars) if c.test(char))
        after = self._moves.setdefault(state, {})[char] = self._next(state) & mask
        return after

    def _next(self, state: int) -> int:
        """Positions that may come after those of `state`, or begin a new match."""
        found = self._whole.first
        for position in _bits(state):
            found |= self._follow[position]
        return found

    def _spread(self, state: int, anchors: int) -> int:
        """`state` with those of `anchors` that can be passed from it."""
        while (wider := state | (self._next(state) & anchors)) != state:
            state = wider
        return state

    def _shape(self, node: _Node) -> _Shape:
        self._visits += 1
        if self._visits > MAX_VISITS or len(self._chars) >= MAX_POSITIONS:
            raise PatternError(f"the pattern has more than {MAX_POSITIONS} positions: use smaller counts")
        if isinstance(node, _Char):
            self._chars.append(node)
            self._follow.append(0)
            bit = 1 << (len(self._chars) - 1)
            return _Shape(bit, bit, is_nullable=False)
        if isinstance(node, _Repeat):
            return self._repeat(node)
        if node.is_choice:
            return self._choice([self._shape(part) for part in node.parts])
        whole = _Shape(0, 0, is_nullable=True)
        for part in node.parts:
            whole = self._join(whole, self._shape(part))
        return whole

    def _choice(self, shapes: list[_Shape]) -> _Shape:
        first = last = 0
        for shape in shapes:
            first, last = first | shape.first, last | shape.last
        return _Shape(first, last, any(shape.is_nullable for shape in shapes))

    def _repeat(self, node: _Repeat) -> _Shape:
        """Copies of the part: the needed ones, then those that may be left out, or one that follows itself."""
        whole = _Shape(0, 0, is_nullable=True)
        needed = node.low if node.high is not None else max(0, node.low - 1)
        for index in range(needed + 1 if node.high is None else node.high):
            copy = self._shape(node.part)
            if node.high is None and index == needed:
                self._join(copy, copy)
            can_skip = index >= needed and (node.high is not None or node.low == 0)
            whole = self._join(whole, _Shape(copy.first, copy.last, copy.is_nullable or can_skip))
        return whole

    def _join(self, left: _Shape, right: _Shape) -> _Shape:
        for position in _bits(left.last):
            self._follow[position] |= right.first
        first = left.first | right.first if left.is_nullable else left.first
        last = right.last | left.last if right.is_nullable else right.last
        return _Shape(first, last, left.is_nullable and right.is_nullable)


class _Parser:
    def __init__(self, text: str, *, ignore_case: bool) -> None:
        self._text = text
        self._at = self._depth = 0
        self._ignore_case = ignore_case

    def parse(self) -> _Node:
        node = self._choice()
        if self._at < len(self._text):
            raise PatternError(f"unmatched ) at character {self._at + 1}: write \\) for the character itself")
        return node

    def _choice(self) -> _Node:
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise PatternError(f"groups are nested deeper than {MAX_DEPTH}")
        parts = [self._sequence()]
        while self._take("|"):
            parts.append(self._sequence())
        self._depth -= 1
        return parts[0] if len(parts) == 1 else _Many(tuple(parts), is_choice=True)

    def _sequence(self) -> _Node:
        parts: list[_Node] = []
        while self._at < len(self._text) and self._text[self._at] not in "|)":
            parts.append(self._repeated(self._atom()))
        return parts[0] if len(parts) == 1 else _Many(tuple(parts))

    def _atom(self) -> _Node:
        char = self._next()
        if char == "(":
            return self._group()
        if char == "[":
            return _Char(self._class())
        if char == ".":
            return _Char(lambda _: True)
        if char in "^$":
            return _Char(lambda _: False, anchor=char)
        if char in "*+?":
            raise PatternError(f"nothing to repeat before {char} at character {self._at}: write \\{char} for itself")
        if char == "\\":
            char = self._next()
            test = _class_test(char)
            return _Char(test) if test else self._literal(_unescaped(char))
        return self._literal(char)

    def _group(self) -> _Node:
        if self._take("?") and not self._take(":"):
            raise PatternError("groups are ( ) or (?: ): look-around, names and flags are not known here")
        node = self._choice()
        if not self._take(")"):
            raise PatternError("unclosed (: write \\( for the character itself")
        return node

    def _literal(self, char: str) -> _Node:
        chars = char.lower() if self._ignore_case else char
        parts = tuple(_Char(c.__eq__, c) for c in chars)
        return parts[0] if len(parts) == 1 else _Many(parts)

    def _class(self) -> Test:
        is_negated = self._take("^")
        tests = [self._class_item()]
        while not self._take("]"):
            tests.append(self._class_item())
        if self._ignore_case:
            return lambda c: any(test(c) or test(c.upper()) for test in tests) is not is_negated
        return lambda c: any(test(c) for test in tests) is not is_negated

    def _class_item(self) -> Test:
        low = self._class_char()
        if not isinstance(low, str):
            return low
        if self._text[self._at : self._at + 1] != "-" or self._text[self._at + 1 : self._at + 2] in ("]", ""):
            return low.__eq__
        self._at += 1
        high = self._class_char()
        if not isinstance(high, str) or high < low:
            raise PatternError(f"the range from {low!r} in [ ] does not rise to a character")
        return lambda c: low <= c <= high

    def _class_char(self) -> str | Test:
        char = self._next()
        if char != "\\":
            return char
        char = self._next()
        return _class_test(char) or _unescaped(char)

    def _repeated(self, node: _Node) -> _Node:
        repeats = 0
        while (counts := self._counts()) is not None:
            repeats += 1
            if repeats > MAX_REPEATS:
                raise PatternError(f"more than {MAX_REPEATS} repeats of one thing: one says the same")
            node = _Repeat(node, *counts)
            self._take("?")  # lazy: the same lines match
        return node

    def _counts(self) -> tuple[int, int | None] | None:
        """The repeat that follows, if any; a brace that holds no counts is the character itself."""
        for sign, counts in (("*", (0, None)), ("+", (1, None)), ("?", (0, 1))):
            if self._take(sign):
                return counts
        low, comma, high = self._text[self._at + 1 : self._at + 12].partition("}")[0].partition(",")
        text = f"{{{low}{comma}{high}}}"
        if not low.isdecimal() or (high and not high.isdecimal()) or not self._take(text):
            return None
        least, most = int(low), int(high) if high else None if comma else int(low)
        if max(least, most or 0) > MAX_COUNT or (most is not None and most < least):
            raise PatternError(f"{text}: counts rise and are at most {MAX_COUNT}")
        return least, most

    def _take(self, wanted: str) -> bool:
        is_there = self._text.startswith(wanted, self._at)
        self._at += len(wanted) if is_there else 0
        return is_there

    def _next(self) -> str:
        if self._at >= len(self._text):
            raise PatternError("the pattern ends too early: [ needs its ], and \\ a character")
        self._at += 1
        return self._text[self._at - 1]


def _unescaped(char: str) -> str:
    if char.isalnum() and char not in _ESCAPES:
        raise PatternError(f"\\{char} is not known here: no back-references, no \\b")
    return _ESCAPES.get(char, char)


def _class_test(char: str) -> Test | None:
    test = _CLASSES.get(char.lower())
    return test if test is None or char.islower() else lambda c: not test(c)


def _required(node: _Node) -> str:
    """The longest text that is in every match."""
    if isinstance(node, _Char):
        return node.literal
    if isinstance(node, _Repeat):
        return _required(node.part) if node.low else ""
    if node.is_choice:
        return ""
    best = run = ""
    for part in node.parts:
        run = run + part.literal if isinstance(part, _Char) and part.literal else ""
        best = max(best, run, _required(part), key=len)
    return best


def _bits(number: int) -> Iterator[int]:
    while number:
        low = number & -number
        yield low.bit_length() - 1
        number ^= low
