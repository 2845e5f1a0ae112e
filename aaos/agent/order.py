"""The order of one session's frames: what a worker may send now, as a state machine without I/O.

Invariant: request ids rise strictly, at most `credits` calls are open, one model turn at a time, a `tool.done` names an
open permit of this session, and after `finish` comes nothing. A breach raises AbiBrokenError, which ends the session.
A call is open from its request until its final answer: for a worker tool until its `tool.done` was answered.
"""

from aaos.core.errors import WorkerLostError


class AbiBrokenError(WorkerLostError):
    """The worker sent what the ABI does not allow at this point."""

    def __init__(self, message: str) -> None:
        super().__init__(message, "mend the agent's program: aaos-abi(7) gives the order of frames")


class Order:
    """What is open in one session. The service asks before it acts and settles after it answered."""

    __slots__ = ("_finished", "_last_id", "_max_open", "_model_id", "_permits", "_waiting")

    def __init__(self, max_open: int) -> None:
        self._max_open = max_open
        self._last_id = -1
        self._waiting: set[int] = set()  # request ids that still get an answer
        self._permits: dict[str, float] = {}  # permit -> deadline, monotonic seconds, in order of deadline
        self._model_id: int | None = None
        self._finished = False

    @property
    def open_calls(self) -> int:
        """Calls that have no final answer yet."""
        return len(self._waiting) + len(self._permits)

    @property
    def is_finished(self) -> bool:
        """Whether the worker said `finish`."""
        return self._finished

    def call(self, request: int) -> None:
        """A request that opens a call. Raises AbiBrokenError."""
        self._next(request)
        if self.open_calls >= self._max_open:
            raise AbiBrokenError(f"id {request}: {self.open_calls} calls are open and {self._max_open} are allowed")
        self._waiting.add(request)

    def model_call(self, request: int) -> None:
        """A request for a model's turn: nothing else may be open. Raises AbiBrokenError."""
        if self._model_id is not None:
            raise AbiBrokenError(f"id {request}: model.complete {self._model_id} has no answer yet")
        if self.open_calls:
            raise AbiBrokenError(f"id {request}: model.complete while {self.open_calls} tool calls are open")
        self.call(request)
        self._model_id = request

    def busy(self, request: int) -> None:
        """A request that is turned away unread. Raises AbiBrokenError."""
        self._next(request)

    def permitted(self, request: int, permit: str, *, deadline_s: float) -> None:
        """The call's first answer was a permit: the call stays open under the permit's name."""
        self._waiting.discard(request)
        self._permits[permit] = deadline_s

    def done(self, request: int, permit: str) -> None:
        """A `tool.done`: the permit closes, its request takes its place. Raises AbiBrokenError."""
        self._next(request)
        if self._permits.pop(permit, None) is None:
            raise AbiBrokenError(f"id {request}: tool.done for {permit[:80]!r}, which is no open permit here")
        self._waiting.add(request)

    def settled(self, request: int) -> bool:
        """The final answer goes out now; False when the request is not open any more."""
        if request not in self._waiting:
            return False
        self._waiting.remove(request)
        if self._model_id == request:
            self._model_id = None
        return True

    def finish(self) -> None:
        """The worker's last frame. Raises AbiBrokenError while a call is open."""
        self.not_finished("finish")
        if self.open_calls:
            raise AbiBrokenError(f"finish while {self.open_calls} calls are open")
        self._finished = True

    def not_finished(self, frame: str) -> None:
        """Raises AbiBrokenError when `finish` was already said."""
        if self._finished:
            raise AbiBrokenError(f"{frame} after finish")

    def first_deadline_s(self) -> float | None:
        """The earliest deadline of an open permit; all permits of a session have the same time to live."""
        return next(iter(self._permits.values()), None)

    def _next(self, request: int) -> None:
        if self._finished:
            raise AbiBrokenError(f"id {request}: a request after finish")
        if request <= self._last_id:
            raise AbiBrokenError(f"id {request} does not rise above {self._last_id}")
        self._last_id = request
