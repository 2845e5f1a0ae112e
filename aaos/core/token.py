"""Tokens: which agent holds which capability, what was narrowed from what, and the counting of their use.

Agents hold opaque handles; tokens never leave the daemon. Invariant: a use is counted on the token and on every token
that it was narrowed from, all or none, before the use; so a family of tokens together never exceeds any of its limits.
A token ends with the one it was narrowed from. The box may be used from several threads.
"""

import hashlib
import hmac
import secrets
import threading
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from aaos.core.capability import Capability, Kind, denial, narrow_each, resource_matcher
from aaos.core.constraint import NONE, Constraints, Rate
from aaos.core.errors import DeniedError, LimitError
from aaos.core.ids import AgentId
from aaos.core.pattern import Matcher
from aaos.core.text import quoted

HANDLE_BYTES = 32


class Clock(Protocol):
    """The two clocks: `monotonic_s` never jumps, `now_s` is UTC in seconds since the epoch and may be set."""

    def monotonic_s(self) -> float: ...
    def now_s(self) -> float: ...


@dataclass(frozen=True, slots=True)
class Handle:
    """What an agent holds in place of a token: 256 random bits. It never shows itself in a log or a prompt."""

    secret: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Charge:
    """A use that was counted. `capability` is the one that allowed it; its timeout binds the caller."""

    agent: AgentId
    capability: Capability
    serial: int


Record = Callable[[AgentId, Capability], None]


class _Meter:
    """The counters of one token."""

    __slots__ = ("_bytes", "_calls", "_limits", "_times")

    def __init__(self, limits: Constraints) -> None:
        self._limits = limits
        self._calls = 0
        self._bytes = 0
        self._times: deque[float] = deque()

    def refusal(self, now_s: float, bytes_used: int) -> str:
        """Why one more use of `bytes_used` is too much, or "". `now_s` is monotonic."""
        limits = self._limits
        if limits.max_calls is not None and self._calls >= limits.max_calls:
            return f"all {limits.max_calls} uses are spent"
        if limits.max_bytes is not None and self._bytes + bytes_used > limits.max_bytes:
            return f"{bytes_used} bytes are more than the {limits.max_bytes - self._bytes} left of {limits.max_bytes}"
        if limits.rate is not None and self._is_too_fast(limits.rate, now_s):
            return f"more than {limits.rate.count} uses in {limits.rate.window_s} s"
        return ""

    def add(self, now_s: float, bytes_used: int) -> None:
        self._calls += 1
        self._bytes += bytes_used
        if self._limits.rate is not None:
            self._times.append(now_s)

    def _is_too_fast(self, rate: Rate, now_s: float) -> bool:
        times = self._times
        while times and times[0] <= now_s - rate.window_s:
            times.popleft()
        return len(times) >= rate.count


@dataclass(frozen=True, slots=True, eq=False)
class _Token:
    """A granted capability. `meters` are its own and those of all tokens it was narrowed from."""

    serial: int
    agent: AgentId
    capability: Capability
    covers: Matcher
    digest: bytes
    deadline_s: float | None  # monotonic; expiry is whatever of both clocks comes first
    meters: tuple[_Meter, ...]
    parent: "_Token | None"
    is_free: bool  # a use needs neither a check of limits nor counting
    children: "dict[int, _Token]" = field(default_factory=dict)


class TokenBox:
    """All tokens of the daemon."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._key = secrets.token_bytes(HANDLE_BYTES)
        self._serial = 0
        self._of_agent: dict[AgentId, dict[Kind, list[_Token]]] = {}
        self._by_serial: dict[int, _Token] = {}
        self._by_digest: dict[bytes, _Token] = {}

    def grant(
        self,
        agent: AgentId,
        capabilities: Sequence[Capability],
        *,
        parent: AgentId | None = None,
        record: Record | None = None,
    ) -> tuple[Handle, ...]:
        """Give `agent` tokens for `capabilities`, in order; with `parent`, each one narrowed from a token of it, or a
        host of which it holds parts from each of these.

        `record` is called with each capability as granted, before any token exists; when it raises, nothing is granted.
        It must not call the box.

        Raises:
            DeniedError: the parent holds no live token that covers one of them; nothing is granted then.
        """
        with self._lock:
            sources = self._narrowed(parent, capabilities)
            if record is not None:
                for _, capability in sources:
                    record(agent, capability)
            return tuple(self._add(agent, capability, source) for source, capability in sources)

    def charge(
        self,
        agent: AgentId,
        kind: Kind,
        resource: str,
        *,
        bytes_used: int = 0,
        arguments: Mapping[str, str] | None = None,
    ) -> Charge:
        """Count one use of `resource`, before it happens, on the first token of `agent` that allows it.

        `bytes_used` is the most that the use can move. `arguments` are the values that argument limits are checked
        against; the method of a network use is the argument `method`.

        Raises:
            DeniedError: no live token covers the use; the remedy is the grant that would.
            LimitError: tokens cover it and all of them are spent.
        """
        if bytes_used < 0:
            raise ValueError("bytes_used is negative")
        refusal: DeniedError | LimitError | None = None
        with self._lock:
            for token in self._tokens(agent, kind):
                if not token.covers(resource):
                    continue
                problem = (
                    None
                    if token.is_free
                    else self._spend(token, resource, bytes_used=bytes_used, arguments=arguments or {})
                )
                if problem is None:
                    return Charge(agent, token.capability, token.serial)
                refusal = refusal or problem
        raise refusal or denial(kind, resource)

    def allows(self, agent: AgentId, kind: Kind, resource: str) -> bool:
        """Whether a live token covers the resource; counts nothing and promises nothing about limits."""
        with self._lock:
            found = (token for token in self._tokens(agent, kind) if token.covers(resource))
            return any(not self._is_expired(token) for token in found)

    def is_live(self, charge: Charge) -> bool:
        """Whether the token of the charge was not revoked since; the result of a dead charge is discarded."""
        with self._lock:
            token = self._by_serial.get(charge.serial)
            return token is not None and token.agent == charge.agent

    def is_usable(self, charge: Charge) -> bool:
        """Whether the token of the charge is live and has not expired since."""
        with self._lock:
            token = self._by_serial.get(charge.serial)
            return token is not None and token.agent == charge.agent and not self._is_expired(token)

    def resolve(self, agent: AgentId, handle: Handle) -> Capability | None:
        """What the handle stands for; None for a handle that is unknown, ended, or another agent's."""
        with self._lock:
            token = self._find(handle)
            if token is None or token.agent != agent or self._is_expired(token):
                return None
            return token.capability

    def revoke(self, what: Handle | AgentId) -> tuple[Capability, ...]:
        """End a token, or all tokens of an agent, with everything narrowed from them; what was ended."""
        with self._lock:
            if not isinstance(what, Handle):
                return self._end(self._held(what))
            token = self._find(what)
            return self._end([] if token is None else [token])

    def drop(self, agent: AgentId) -> None:
        """Forget an agent that has ended; what was narrowed from its tokens ends with them."""
        self.revoke(agent)

    def capabilities(self, agent: AgentId) -> tuple[Capability, ...]:
        """What `agent` may do now, in the order of the grants."""
        with self._lock:
            return tuple(token.capability for token in self._held(agent) if not self._is_expired(token))

    def _tokens(self, agent: AgentId, kind: Kind) -> Sequence[_Token]:
        return self._of_agent.get(agent, _NOTHING).get(kind, ())

    def _held(self, agent: AgentId) -> list[_Token]:
        held = [token for tokens in self._of_agent.get(agent, _NOTHING).values() for token in tokens]
        return sorted(held, key=lambda token: token.serial)

    def _narrowed(
        self, parent: AgentId | None, capabilities: Sequence[Capability]
    ) -> list[tuple[_Token | None, Capability]]:
        if parent is None:
            return [(None, capability) for capability in capabilities]
        sources = [token for token in self._held(parent) if not self._is_expired(token)]
        held = tuple(token.capability for token in sources)
        found = (part for wanted in capabilities for part in narrow_each(held, wanted))
        return [(sources[index], capability) for index, capability in found]

    def _add(self, agent: AgentId, capability: Capability, parent: _Token | None) -> Handle:
        handle = Handle(secrets.token_urlsafe(HANDLE_BYTES))
        self._serial += 1
        own = (_Meter(capability.constraints),) if capability.constraints.is_metered else ()
        meters = own + (parent.meters if parent else ())
        token = _Token(
            serial=self._serial,
            agent=agent,
            capability=capability,
            covers=resource_matcher(capability.kind, capability.resource),
            digest=self._digest(handle),
            deadline_s=self._deadline(capability, parent),
            meters=meters,
            parent=parent,
            is_free=not meters and capability.constraints == NONE,
        )
        tokens = self._of_agent.setdefault(agent, {}).setdefault(capability.kind, [])
        tokens.append(token)
        tokens.sort(key=lambda held: (not held.is_free, held.serial))  # what costs nothing is used first
        self._by_serial[token.serial] = token
        self._by_digest[token.digest] = token
        if parent is not None:
            parent.children[token.serial] = token
        return handle

    def _deadline(self, capability: Capability, parent: _Token | None) -> float | None:
        expires_at_s = capability.constraints.expires_at_s
        if expires_at_s is None:
            return None
        deadline_s = self._clock.monotonic_s() + expires_at_s - self._clock.now_s()
        inherited = parent.deadline_s if parent else None
        return deadline_s if inherited is None else min(deadline_s, inherited)

    def _is_expired(self, token: _Token) -> bool:
        expires_at_s = token.capability.constraints.expires_at_s
        if expires_at_s is None or token.deadline_s is None:
            return False
        return self._clock.monotonic_s() >= token.deadline_s or self._clock.now_s() >= expires_at_s

    def _spend(
        self, token: _Token, resource: str, *, bytes_used: int, arguments: Mapping[str, str]
    ) -> DeniedError | LimitError | None:
        what = f"{token.capability.kind}: {resource}"
        if self._is_expired(token):
            return DeniedError(f"{what}: the grant has expired", denial(token.capability.kind, resource).remedy)
        if problem := _wrong_argument(token.capability.constraints, arguments):
            return DeniedError(f"{what}: {problem}", f"use what is granted: {token.capability.text()}")
        now_s = self._clock.monotonic_s()
        for meter in token.meters:
            if spent := meter.refusal(now_s, bytes_used):
                return LimitError(f"{what}: {spent}", "submit again with a higher limit; a rate recovers with time")
        for meter in token.meters:
            meter.add(now_s, bytes_used)
        return None

    def _find(self, handle: Handle) -> _Token | None:
        digest = self._digest(handle)
        token = self._by_digest.get(digest)
        return token if token is not None and hmac.compare_digest(token.digest, digest) else None

    def _digest(self, handle: Handle) -> bytes:
        """A keyed digest: how long a look-up takes says nothing about the handles that exist."""
        return hashlib.blake2b(handle.secret.encode("utf-8", "surrogatepass"), key=self._key).digest()

    def _end(self, tokens: Iterable[_Token]) -> tuple[Capability, ...]:
        ended: list[Capability] = []
        todo = list(tokens)
        while todo:
            token = todo.pop()
            if self._by_serial.pop(token.serial, None) is None:
                continue
            del self._by_digest[token.digest]
            self._forget(token)
            todo += token.children.values()
            ended.append(token.capability)
        return tuple(ended)

    def _forget(self, token: _Token) -> None:
        if token.parent is not None:
            token.parent.children.pop(token.serial, None)
        kinds = self._of_agent[token.agent]
        kinds[token.capability.kind].remove(token)
        if not any(kinds.values()):
            del self._of_agent[token.agent]


_NOTHING: Mapping[Kind, list[_Token]] = {}


def _wrong_argument(limits: Constraints, arguments: Mapping[str, str]) -> str:
    """Which argument is not allowed, or ""."""
    if limits.methods is not None and arguments.get("method", "").lower() not in limits.methods:
        return f"method {quoted(arguments.get('method', ''))} is not granted"
    for name, allowed in limits.arguments or ():
        if arguments.get(name) not in allowed:
            return f"argument {name}={quoted(arguments.get(name, ''))} is not granted"
    return ""
