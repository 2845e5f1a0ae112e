"""Provenance of tool calls: which calls the model asked for in its last answer, and which of them were used.

Invariant: a call id is accepted once, for exactly the tool and arguments the model gave. Ids are made here, durable and
unique in the machine, whatever ids the model's own answer carried. Pure.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from aaos.core.errors import DeniedError
from aaos.core.ids import AgentId, CallId, call_id


@dataclass(frozen=True, slots=True)
class Asked:
    """One call of the model's last answer; `arguments` is canonical JSON, so that equal means equal in type too."""

    tool: str
    arguments: str


class AskedCalls:
    """The calls of one agent, turn by turn."""

    __slots__ = ("_agent", "_calls", "_index", "_open", "_turn")

    def __init__(self, agent: AgentId) -> None:
        self._agent = agent
        self._turn = 0
        self._index = 0
        self._calls: dict[str, Asked] = {}
        self._open: set[str] = set()

    @property
    def turn(self) -> int:
        """The model turn that calls belong to now; 0 before the first."""
        return self._turn

    @property
    def index(self) -> int:
        """The index of the turn's next call."""
        return self._index

    def go_on(self, turn: int, index: int, calls: Iterable[tuple[str, str, Mapping[str, object]]]) -> None:
        """Take up a turn of an earlier session at its `index`-th call; `calls` are (id, tool, args) of its answer."""
        self._turn, self._index = turn, index
        self._calls = {call: Asked(tool=tool, arguments=canonical(args)) for call, tool, args in calls}
        self._open = set(self._calls)

    def begin_turn(self) -> int:
        """A new turn: calls of the last one can't be used any more."""
        self._turn += 1
        self._index = 0
        self._calls = {}
        self._open = set()
        return self._turn

    def add(self, tool: str, args: Mapping[str, object]) -> CallId:
        """A call of the model's answer gets its durable id."""
        call = self._new_id()
        self._calls[call] = Asked(tool=tool, arguments=canonical(args))
        self._open.add(call)
        return call

    def code_call(self) -> CallId:
        """The durable id of a call that the worker's own code makes."""
        return self._new_id()

    def use(self, call: str, *, tool: str, args: Mapping[str, object]) -> CallId:
        """The call when it is one that the model asked for, unchanged and unused. Raises DeniedError."""
        asked = self._calls.get(call)
        if asked is None:
            raise DeniedError(f"call {call[:80]!r} is not one that the model asked for in its last answer", _REMEDY)
        if call not in self._open:
            raise DeniedError(f"call {call} was made already", _REMEDY)
        if asked.tool != tool:
            raise DeniedError(f"call {call}: the model asked for {asked.tool}, not {tool[:80]!r}", _REMEDY)
        if asked.arguments != canonical(args):
            raise DeniedError(f"call {call}: the arguments are not those that the model gave", _REMEDY)
        self._open.remove(call)
        return CallId(call)

    def _new_id(self) -> CallId:
        call = call_id(self._agent, self._turn, self._index)
        self._index += 1
        return call


_REMEDY = "pass on the model's calls as they are; a role with `code_calls: true` may make its own"


def canonical(args: Mapping[str, object]) -> str:
    """Canonical JSON: sorted keys, no spaces; `1`, `1.0` and `true` stay apart."""
    return json.dumps(args, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
