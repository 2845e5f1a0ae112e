"""What a wire format is to the rest: how a request becomes bytes, and how what comes back becomes an answer.

Invariant: no implementation here but the reading of one JSON document, which is strict: repeated keys, NaN and depth
are errors of the provider.
"""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from aaos.core.errors import ProviderError
from aaos.core.text import quoted
from aaos.llm.assembly import Assembly
from aaos.llm.quirks import Echo, Quirks
from aaos.llm.types import Json, Message, ModelRequest

_REMEDY = "look at the provider's `url` and `kind` in models.yaml"


@dataclass(frozen=True, slots=True)
class WireModel:
    """The model as its server knows it. `provider` is its name here; `answers_as` are names it may give itself."""

    provider: str
    model: str
    quirks: Quirks
    answers_as: tuple[str, ...] = ()
    is_streamed: bool = True

    @property
    def origin(self) -> str:
        """Whose reasoning it is that an answer carries: what one model has signed, another may not read."""
        return f"{self.provider}/{self.model}"

    def check_echo(self, name: object) -> None:
        """Whether the answer is of the model that was asked. Raises ProviderError (H-LLM-11)."""
        if self.quirks.echo is Echo.ANY or not isinstance(name, str) or not name:
            return
        asked = self.model.lower()
        known = (asked, asked.rpartition("/")[2], *(other.lower() for other in self.answers_as))
        if not any(name.lower() == one or name.lower().startswith((f"{one}-", f"{one}@", f"{one}:")) for one in known):
            raise ProviderError(
                f"{self.provider} was asked for the model {self.model} and answered as {quoted(name)}",
                f"if that is the same model, add to it in models.yaml: answers_as: [{quoted(name)[1:-1]}]",
            )


class Reader(Protocol):
    """Takes one answer apart, into its Assembly. `is_done` when its end was seen: what follows does not matter."""

    assembly: Assembly
    is_done: bool

    def event(self, document: Json) -> None:
        """One event of a stream. Raises ProviderError, LimitError."""

    def whole(self, document: Json) -> None:
        """An answer that was not streamed. Raises ProviderError, LimitError."""


class Wire(Protocol):
    """A wire format, for one model."""

    path: str

    def headers(self, secret: str | None) -> list[tuple[bytes, bytes]]:
        """The headers of a request, the key in its place."""

    def head(self, request: ModelRequest) -> bytes:
        """The body up to its messages: what stays the same from turn to turn."""

    def piece(self, messages: Sequence[Message]) -> bytes:
        """Messages in their order, as they stand in the list of messages; never empty."""

    def body(self, head: bytes, joined: bytearray, *, output_tokens: int) -> bytes:
        """The whole body: `joined` are all pieces with commas between them; `output_tokens` bound the answer, if any
        do. What changes from turn to turn stands behind the messages."""

    def reader(self) -> Reader:
        """For one answer."""


def dumped(document: Json) -> bytes:
    """The one JSON form of what is sent."""
    return json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")


def parsed(data: str | bytes) -> Json:
    """A JSON document of a provider. Raises ProviderError."""
    try:
        return _DECODER.decode(data if isinstance(data, str) else data.decode())
    except (ValueError, RecursionError) as error:
        reason = quoted(str(error), max_chars=120)[1:-1]
        raise ProviderError(f"the provider sent what is not JSON: {reason}", _REMEDY) from error


def malformed(what: str, value: object) -> ProviderError:
    """For JSON that is not an answer."""
    return ProviderError(f"the provider's answer has a wrong {what}: {quoted(value)}", _REMEDY)


def _unique(pairs: list[tuple[str, Json]]) -> dict[str, Json]:
    document = dict(pairs)
    if len(document) != len(pairs):
        raise ValueError("a repeated key in an object")
    return document


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError("NaN or infinity")
    return number


_DECODER = json.JSONDecoder(object_pairs_hook=_unique, parse_constant=_finite, parse_float=_finite)
