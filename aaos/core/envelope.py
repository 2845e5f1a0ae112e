"""The envelope of a run: who asked for it, what it may touch, how far it may go. Plans and roles only narrow it.

Invariant: an envelope never changes after its run was submitted; `from_json(to_json(e)) == e`.
"""

import json
from dataclasses import asdict, dataclass, fields, replace

from aaos.core.capability import Capability, Constraints, Kind, parse_capabilities
from aaos.core.constraint import NONE
from aaos.core.errors import InputError, StorageError
from aaos.core.ids import Gid, Uid
from aaos.core.text import quoted

MAX_ID = 2**32 - 2  # (uid_t) -1 means "no change" to the kernel
MAX_GROUPS = 65_536  # NGROUPS_MAX, linux/limits.h
MAX_LIMIT = 2**31 - 1
MAX_COST_USD = 1_000_000.0


@dataclass(frozen=True, slots=True)
class Submitter:
    """The operator's ids as the kernel gave them (SO_PEERCRED and the group database), never as the client said."""

    uid: Uid
    gid: Gid
    groups: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        for number in (self.uid, self.gid, *self.groups):
            if type(number) is not int or not 0 <= number <= MAX_ID:
                raise InputError(f"submitter: {quoted(number)} is not a user or group id", "submit as a real user")
        if len(self.groups) > MAX_GROUPS:
            raise InputError(f"submitter: {len(self.groups)} groups are too many", "submit as another user")


def _check_amount(name: str, amount_usd: object) -> None:
    """Raises InputError."""
    number = amount_usd if isinstance(amount_usd, float | int) and not isinstance(amount_usd, bool) else -1
    if not 0 < number <= MAX_COST_USD:  # a NaN is neither
        message = f"{name}: {quoted(amount_usd)} is not an amount of money up to ${MAX_COST_USD:g}"
        raise InputError(message, f"give {name} such an amount")


@dataclass(frozen=True, slots=True)
class Limits:
    """How far a run may go; each number is at least 1, money is more than nothing. The defaults are those of the
    settings."""

    wall_s: int = 3600
    subtask_wall_s: int = 600
    max_agents: int = 64
    max_parallel: int = 16
    max_turns: int = 64
    max_calls: int = 4096
    call_timeout_s: int = 60
    max_tokens: int = 2_000_000
    max_cost_usd: float = 5.0

    def __post_init__(self) -> None:
        for field in fields(self):
            number = getattr(self, field.name)
            if field.type is float:
                _check_amount(field.name, number)
            elif type(number) is not int or not 1 <= number <= MAX_LIMIT:
                raise InputError(
                    f"{field.name}: {quoted(number)} is not a whole number from 1 to {MAX_LIMIT}",
                    f"give {field.name} such a number",
                )


@dataclass(frozen=True, slots=True)
class Envelope:
    """What a run may do at most."""

    submitter: Submitter
    capabilities: tuple[Capability, ...]
    limits: Limits = Limits()

    def of_kind(self, kind: Kind) -> tuple[Capability, ...]:
        """The capabilities of one kind, in the order of the grant."""
        return tuple(capability for capability in self.capabilities if capability.kind is kind)

    def lines(self) -> tuple[str, ...]:
        """The echo to the operator before the start, one grant or limit on each line; not escaped for a terminal."""
        grants = tuple(map(_line, self.capabilities)) or ("nothing is granted",)
        limits = self.limits
        return (
            *grants,
            f"at most {limits.wall_s} s, {limits.max_agents} agents, {limits.max_calls} tool calls",
            f"at most {limits.max_tokens} tokens of models, ${limits.max_cost_usd:g}",
        )

    def to_json(self) -> str:
        """The envelope as the database keeps it."""
        document = {
            "submitter": asdict(self.submitter),
            "capabilities": [capability.text() for capability in self.capabilities],
            "limits": asdict(self.limits),
        }
        return json.dumps(document, ensure_ascii=True, separators=(",", ":"))


def from_json(text: str) -> Envelope:
    """The inverse of `Envelope.to_json`. Raises StorageError: the row was damaged or written by another program."""
    try:
        document = json.loads(text)
        submitter = document["submitter"]
        return Envelope(
            submitter=Submitter(submitter["uid"], submitter["gid"], tuple(submitter["groups"])),
            capabilities=parse_capabilities(document["capabilities"], now_s=0.0),
            limits=Limits(**document["limits"]),
        )
    except (ValueError, KeyError, TypeError, RecursionError, InputError) as error:
        message = f"the envelope of a run cannot be read: {error}"
        raise StorageError(message, "restore the database from its backup") from error


def _line(capability: Capability) -> str:
    """For people: reading as the owner, or only to read from the web, is what they expect and takes no URI to say."""
    if capability.constraints.is_approved_first:
        free = replace(capability, constraints=replace(capability.constraints, is_approved_first=False))
        return f"{_line(free)} (each use waits for an approval)"
    if capability.as_owner:
        return f"{replace(capability, as_owner=False).text()} (as its owner)"
    methods = capability.constraints.methods
    if capability.kind is Kind.NETWORK and methods and capability.constraints == Constraints(methods=methods):
        return f"{replace(capability, constraints=NONE).text()} ({', '.join(sorted(methods)).upper()})"
    return capability.text()
