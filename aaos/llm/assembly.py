"""One answer in the making: what a stream of a provider adds up to, whatever its wire format.

Invariant: only an answer whose end was seen becomes a ModelAnswer, so a call that was cut off is never made; arguments
are taken as they were given or not at all; everything is bounded. Text of a provider is data.
"""

from dataclasses import dataclass, field

from aaos.core.errors import LimitError, ProviderError
from aaos.core.text import quoted
from aaos.llm.types import AskedCall, Json, ModelAnswer, Stop, Usage
from worker import abi

MAX_TEXT_CHARS = 262_144
MAX_CARRIED_CHARS = 1_048_576
MAX_CALLS = 1_024
MAX_ARGUMENT_CHARS = 524_288  # of one call
MAX_ARGUMENTS_CHARS = 786_432  # of all calls of an answer: they travel to the worker in one frame
MAX_DEPTH = abi.MAX_DEPTH - 8  # the frame around the arguments has levels of its own
MAX_TOKENS = 10**9

_NAME_CHARS = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-")
_NAME_LENGTH = 64


@dataclass(slots=True)
class Draft:
    """A call in the making."""

    id: str = ""
    name: str = ""
    size: int = 0
    pieces: list[str] = field(default_factory=list)
    wrong: str = ""  # why its arguments can't be used, beyond what reading them shows

    def add_name(self, piece: str) -> None:
        """Names come whole, in pieces, or again and again."""
        if piece != self.name and len(self.name) <= _NAME_LENGTH:
            self.name += piece[: _NAME_LENGTH + 1]

    def add_arguments(self, piece: str) -> None:
        """Pieces beyond the bound are counted and dropped."""
        self.size += len(piece)
        if self.size <= MAX_ARGUMENT_CHARS:
            self.pieces.append(piece)


class Assembly:
    """Collects an answer. The reader of a wire format says when it is finished."""

    def __init__(self) -> None:
        self.usage = Usage()
        self.stop: Stop | None = None
        self.remedy = ""
        self.carried = ""
        self.drafts: list[Draft] = []
        self.texts: list[str] = []  # in the order in which they came
        self._size = 0
        self._has_begun = False

    @property
    def has_begun(self) -> bool:
        """Whether the model has said anything: from then on it costs, and nothing is asked again."""
        return self._has_begun

    def begin(self) -> None:
        """Something of the answer came: reasoning counts too."""
        self._has_begun = True

    def add_text(self, piece: str) -> None:
        """A piece of the answer's text. Raises LimitError."""
        self._has_begun = self._has_begun or bool(piece)
        self._size += len(piece)
        if self._size > MAX_TEXT_CHARS:
            raise LimitError(f"the model's answer is longer than {MAX_TEXT_CHARS} characters", "ask for less at once")
        self.texts.append(piece)

    def add_call(self) -> Draft:
        """One call more. Raises LimitError."""
        self._has_begun = True
        if len(self.drafts) >= MAX_CALLS:
            raise LimitError(f"the model asks for more than {MAX_CALLS} calls at once", "ask for less at once")
        self.drafts.append(Draft())
        return self.drafts[-1]

    @property
    def text(self) -> str:
        """The text so far, as UTF-8 can carry it."""
        return "".join(self.texts).encode("utf-8", "replace").decode()

    def answer(self) -> ModelAnswer:
        """The finished answer. Raises ProviderError when its end never came."""
        if self.stop is None:
            raise ProviderError("the model's answer was cut off before its end", "submit the goal again")
        calls = self._calls() if self.stop in (Stop.CALLS, Stop.ANSWER) else ()
        stop = Stop.CALLS if calls else self.stop  # some servers end an answer of calls with "stop"
        carried = self.carried if len(self.carried) <= MAX_CARRIED_CHARS else ""
        text = self.text
        if stop is Stop.REFUSED:
            text = f"the model declined: {text[:500] or 'it gave no reason'}"
        return ModelAnswer(text, calls, self.usage, stop, self.remedy, carried)

    def _calls(self) -> tuple[AskedCall, ...]:
        left = MAX_ARGUMENTS_CHARS
        calls: list[AskedCall] = []
        for draft in self.drafts:
            left -= min(draft.size, MAX_ARGUMENT_CHARS)
            calls.append(_asked(draft, is_too_much=left < 0))
        return tuple(calls)


def _asked(draft: Draft, *, is_too_much: bool) -> AskedCall:
    name = "".join(char if char in _NAME_CHARS else "_" for char in draft.name[:_NAME_LENGTH]) or "unnamed"
    if name != draft.name:
        return AskedCall(
            draft.id[:64], name, {}, f"This call was not made: {quoted(draft.name)} is not the name of a tool."
        )
    try:
        if draft.wrong:
            raise ValueError(draft.wrong)
        if draft.size > MAX_ARGUMENT_CHARS:
            raise ValueError(f"{draft.size} characters of arguments; at most {MAX_ARGUMENT_CHARS} are taken")
        if is_too_much:
            raise ValueError(f"the arguments of all calls together have more than {MAX_ARGUMENTS_CHARS} characters")
        return AskedCall(draft.id[:64], name, arguments("".join(draft.pieces)))
    except ValueError as error:
        reason = quoted(str(error), max_chars=200)[1:-1]
        return AskedCall(draft.id[:64], name, {}, f"This call was not made; its arguments cannot be used: {reason}")


def arguments(text: str) -> dict[str, Json]:
    """The arguments of a call from the JSON that a model wrote; empty text is no arguments.

    Raises ValueError for everything else that is not one plain object: repeated keys, NaN, NUL, lone surrogates, depth.
    """
    if not text.strip():
        return {}
    try:
        document = abi.parse(text.encode("utf-8", "surrogatepass"))
    except abi.FrameError as error:
        raise ValueError(str(error)) from error
    if not isinstance(document, dict):
        raise ValueError("the arguments must be a JSON object")
    _refuse_deep(document)
    return document


def _refuse_deep(document: Json) -> None:
    level = [document]
    for _ in range(MAX_DEPTH):
        values = (item.values() if isinstance(item, dict) else item for item in level)
        level = [item for group in values for item in group if isinstance(item, dict | list)]
        if not level:
            return
    raise ValueError(f"nested deeper than {MAX_DEPTH} levels")


def usage_of(input_tokens: object, output_tokens: object, cached_tokens: object = 0) -> Usage:
    """The provider's count, or none at all when any part of it is odd: then the budget counts for itself."""
    counts = (input_tokens, output_tokens, cached_tokens or 0)
    if not all(type(count) is int and 0 <= count <= MAX_TOKENS for count in counts):
        return Usage()
    fed, given, cached = (count for count in counts if isinstance(count, int))
    return Usage(fed, given, cached) if cached <= fed else Usage()
