"""Which step of the script answers a request.

Invariant: the same request in the same conversation gets the same answer again, but a fault only as often as the
script says, so that a client which tries again gets on. Conversations that begin alike (same model, system prompt and
first user message) are told apart by nothing else: each of them takes the steps in order, by its turn.
"""

from dataclasses import dataclass, field

from aaos.devprovider.asked import Asked
from aaos.devprovider.script import Script, Step, When

MAX_CONVERSATIONS = 10_000

_Kind = tuple[str, str, str]


@dataclass(slots=True)
class _Conversation:
    """`places` is the next step in order for each turn, `tried` the one after the faults met in that turn, `counts` how
    often each rule answered; `is_begun` when the first turn has been answered well."""

    places: dict[int, int] = field(default_factory=dict)
    tried: dict[int, int] = field(default_factory=dict)
    counts: dict[int, int] = field(default_factory=dict)
    is_begun: bool = False


class Chooser:
    """Remembers how far each conversation is."""

    def __init__(self, script: Script) -> None:
        self._steps = script.steps
        self._order = [i for i, step in enumerate(script.steps) if step.when is None for _ in range(step.times or 1)]
        self._conversations: dict[_Kind, _Conversation] = {}

    def choose(self, asked: Asked) -> Step | None:
        """The step for it; None when the script has nothing more to say."""
        conversation = self._conversation(asked)
        place = conversation.tried.get(asked.turn, conversation.places.get(asked.turn, 0))
        for index, step in enumerate(self._steps):
            if step.when is None:
                if place < len(self._order) and self._order[place] == index:
                    return self._taken(conversation, asked.turn, step=step, place=place + 1)
            elif fits(step.when, asked) and conversation.counts.get(index, 0) < (step.times or 1_000_000_000):
                conversation.counts[index] = conversation.counts.get(index, 0) + 1
                return self._taken(conversation, asked.turn, step=step, place=place)
        return None

    def _taken(self, conversation: _Conversation, turn: int, *, step: Step, place: int) -> Step:
        if step.is_fault:
            conversation.tried[turn] = place
        else:
            conversation.is_begun |= turn == 1
            conversation.tried.pop(turn, None)
            conversation.places[turn + 1] = place
        return step

    def _conversation(self, asked: Asked) -> _Conversation:
        kind = (asked.model, asked.system, asked.goal)
        known = self._conversations.pop(kind, None)
        if known is None:
            known = _Conversation()
            while len(self._conversations) >= MAX_CONVERSATIONS:
                del self._conversations[next(iter(self._conversations))]
        elif asked.turn == 1 and known.is_begun:  # it begins again, or another begins alike
            known.is_begun = False
            known.counts.clear()
        self._conversations[kind] = known
        return known


def fits(when: When, asked: Asked) -> bool:
    """Whether a request is what `when` says."""
    texts = (
        (when.last, asked.last),
        (when.user, asked.user),
        (when.goal, asked.goal),
        (when.result, "\n".join(asked.results)),
        (when.system, asked.system),
    )
    return (
        all(wanted is None or wanted in text for wanted, text in texts)
        and when.model in (None, asked.model)
        and when.has_results in (None, bool(asked.results))
        and when.turn in (None, asked.turn)
    )
