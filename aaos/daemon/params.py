"""What each method of the operator's socket takes: strict models, so that a wrong request is named and refused.

Invariant: what a handler gets has the declared types and bounds. Must not look at files or state.
"""

from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Annotated, Literal, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from aaos.core.errors import InputError
from aaos.core.rpc import MAX_ID, Json
from aaos.core.schema import explain, refuse_flood

GOAL_BYTES = 16_384
PROGRAM_BYTES = 262_144
MAX_PATHS = 128


def _plain(text: str) -> str:
    if "\0" in text:
        raise ValueError("must not contain NUL")
    return text


def _at_most(limit: int) -> AfterValidator:
    def check(text: str) -> str:
        size = len(text.encode())
        if size > limit:
            raise ValueError(f"has {size} bytes and may have {limit}")
        return text

    return AfterValidator(check)


def _absolute(path: str) -> str:
    if not PurePosixPath(path).is_absolute():
        raise ValueError("must be an absolute path")
    return path


Text = Annotated[str, Field(min_length=1, max_length=4_096), AfterValidator(_plain)]
Prefix = Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[a-z0-9-]+$")]
Paths = Annotated[tuple[Text, ...], Field(max_length=MAX_PATHS)]
Seq = Annotated[int, Field(ge=0, le=MAX_ID)]
Limit = Annotated[int, Field(ge=1, le=10_000)]


class Params(BaseModel):
    """Base of all: closed, strict, frozen."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


class NoParams(Params):
    """A method that takes nothing."""


class SubmitParams(Params):
    """A goal, with what the operator grants in place of the paths and hosts that the goal itself names."""

    goal: Annotated[str, Field(min_length=1), AfterValidator(_plain), _at_most(GOAL_BYTES)]
    cwd: Annotated[Text, AfterValidator(_absolute)]
    read: Paths = ()
    write: Paths = ()
    net: Annotated[tuple[Text, ...], Field(max_length=64)] = ()
    connect: Annotated[tuple[Text, ...], Field(max_length=64)] = ()
    tool: Annotated[tuple[Text, ...], Field(max_length=64)] = ()
    ask: Annotated[tuple[Text, ...], Field(max_length=64)] = ()
    secret: Annotated[tuple[Text, ...], Field(max_length=16)] = ()
    workspace: Annotated[int, Field(ge=0, le=2**44)] | None = None  # its size in bytes; 0 is the usual one
    program: Annotated[str, Field(min_length=1), AfterValidator(_plain), _at_most(PROGRAM_BYTES)] | None = None
    role: Text | None = None
    wall_s: Annotated[int, Field(ge=1, le=30 * 86_400)] | None = None
    orchestration: Literal["plan", "direct"] | None = None
    max_tokens: Annotated[int, Field(ge=1, le=2**31 - 1)] | None = None
    max_usd: Annotated[float, Field(gt=0, le=1_000_000)] | None = None


class RunParams(Params):
    """A run, by an unambiguous beginning of its id."""

    run: Prefix


class WatchParams(RunParams):
    """A run, from one event on."""

    after_seq: Seq = 0


class TailParams(Params):
    """All runs, from one event on; without it, from the start of this daemon."""

    after_seq: Seq | None = None


class LogsParams(WatchParams):
    """Events of a run, at most `limit`."""

    limit: Limit = 1_000


class ListParams(Params):
    """The newest runs."""

    limit: Limit = 100


class ApprovalsParams(ListParams):
    """The newest approvals; those that wait, or all."""

    is_all: bool = False


class ApprovalParams(Params):
    """An approval, by an unambiguous beginning of its id."""

    approval: Prefix


class SettleParams(ApprovalParams):
    """An approval, and the digest of what was shown of it."""

    digest: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    reason: Annotated[str, Field(max_length=500), AfterValidator(_plain)] = ""


class AgentOrRunParams(Params):
    """A live agent, or all live agents of a run."""

    agent: Prefix | None = None
    run: Prefix | None = None


P = TypeVar("P", bound=Params)


def read_params(model: type[P], document: Mapping[str, Json], method: str) -> P:
    """The params of a request as its model. Raises InputError that names method and key."""
    refuse_flood(document, model)
    try:
        return model.model_validate(_tuples(document))
    except ValidationError as error:
        message, remedy = explain(error, model)
        raise InputError(f"{method}: {message}", remedy) from error


def _tuples(document: Mapping[str, Json]) -> Mapping[str, object]:
    return {key: tuple(value) if isinstance(value, list) else value for key, value in document.items()}
