"""The bytes of conversations as they were sent, so that a turn serialises only what is new.

Invariant: what is sent is what serialising the whole request afresh would give; a cache that is lost costs time only.
Bounded in bytes: the conversation that was longest not asked for goes first.
"""

from collections import OrderedDict
from dataclasses import dataclass, field

from aaos.core.ids import AgentId
from aaos.llm.types import Message, ModelRequest, ToolSchema
from aaos.llm.wire import Wire

MAX_BYTES = 64 * 2**20


@dataclass(slots=True)
class _Kept:
    """One conversation. It goes on from `last`, the message that stands at `count` - 1."""

    system: str
    tools: tuple[ToolSchema, ...]
    head: bytes
    count: int = 0
    last: Message | None = None
    joined: bytearray = field(default_factory=bytearray)

    def is_start_of(self, request: ModelRequest) -> bool:
        """By identity: messages are immutable and a conversation only grows."""
        is_same = self.tools is request.tools and self.system is request.system
        if not self.count or not is_same:
            return is_same and not self.count
        return self.count <= len(request.messages) and request.messages[self.count - 1] is self.last


class JoinedBytes:
    """For one model."""

    def __init__(self, wire: Wire, *, max_bytes: int = MAX_BYTES) -> None:
        self._wire = wire
        self._max_bytes = max_bytes
        self._kept: OrderedDict[AgentId, _Kept] = OrderedDict()
        self._size = 0

    def body(self, request: ModelRequest) -> bytes:
        """The body of the request that answers `request`."""
        kept = self._take(request)
        new = request.messages[kept.count :]
        if new:
            kept.joined += (b"," if kept.joined else b"") + self._wire.piece(new)
            kept.count, kept.last = len(request.messages), request.messages[-1]
        self._put(request.agent, kept)
        return self._wire.body(kept.head, kept.joined, output_tokens=request.max_output_tokens)

    def _take(self, request: ModelRequest) -> _Kept:
        kept = self._kept.pop(request.agent, None)
        if kept is not None:
            self._size -= len(kept.joined)
            if kept.is_start_of(request):
                return kept
        return _Kept(request.system, request.tools, self._wire.head(request))

    def _put(self, agent: AgentId, kept: _Kept) -> None:
        self._kept[agent] = kept
        self._size += len(kept.joined)
        while self._size > self._max_bytes and len(self._kept) > 1:
            _, oldest = self._kept.popitem(last=False)
            self._size -= len(oldest.joined)
