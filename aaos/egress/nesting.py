"""How deep the elements of a page are nested, counted as its parser would, before it does.

Invariant: constant work for each tag. The time that libxml2 takes is quadratic in the depth; since 2.12 it refuses what
is deeper than 2,048, the one of Debian 13 never does. What closes what is libxml2's: a tag that begins closes those
before it that cannot hold it, one that ends closes all that was begun since, unless that weighs more than itself.
Source: htmlStartClose and htmlEndPriority in HTMLparser.c of libxml2 2.9.
"""

from dataclasses import dataclass, field

MAX_DEPTH = 2_000
_LOOK_BACK = 64  # tags; one that ends an element further up is taken for none
_EMPTY = frozenset("area base br col embed frame hr img input link meta param source track wbr".split())
_BLOCKS = (
    "address article aside blockquote center dl div fieldset figure footer form h1 h2 h3 h4 h5 h6 header main nav ol"
    " pre section table ul"
)
_CLOSED = {block: frozenset({"p"}) for block in _BLOCKS.split()} | {
    "a": frozenset({"a"}),
    "p": frozenset({"p"}),
    "li": frozenset({"li", "p"}),
    "dt": frozenset({"dt", "dd", "p"}),
    "dd": frozenset({"dt", "dd", "p"}),
    "option": frozenset({"option"}),
    "td": frozenset({"td", "th", "p"}),
    "th": frozenset({"td", "th", "p"}),
    "tr": frozenset({"tr", "td", "th", "p"}),
    "thead": frozenset({"caption", "colgroup"}),
    "tbody": frozenset({"tr", "td", "th", "p", "thead", "tbody", "caption", "colgroup"}),
    "tfoot": frozenset({"tr", "td", "th", "p", "tbody", "caption", "colgroup"}),
}
_WEIGHT = {"div": 150, "td": 160, "th": 160, "tr": 170, "thead": 180, "tbody": 180, "tfoot": 180, "table": 190} | {
    "head": 200, "body": 200, "html": 220
}  # fmt: skip
_PLAIN = 100


@dataclass(slots=True)
class Nesting:
    """The elements that are open; `is_too_deep` once there were more than MAX_DEPTH at a time."""

    is_too_deep: bool = False
    _open: list[str] = field(default_factory=list)

    def begin(self, name: str) -> None:
        """A tag in lower case, of an element that is not closed by itself."""
        if name in _EMPTY:
            return
        closed = _CLOSED.get(name, frozenset())
        while self._open and self._open[-1] in closed:
            self._open.pop()
        self._open.append(name)
        self.is_too_deep = self.is_too_deep or len(self._open) > MAX_DEPTH

    def end(self, name: str) -> None:
        """A closing tag in lower case; it may be of nothing."""
        weight = _WEIGHT.get(name, _PLAIN)
        for back, begun in enumerate(reversed(self._open[-_LOOK_BACK:]), 1):
            if begun == name:
                del self._open[-back:]
                return
            if _WEIGHT.get(begun, _PLAIN) > weight:
                return
