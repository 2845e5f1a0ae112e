"""What can go wrong, as types: each error says what happened and what the operator types next.

Invariant: every error that reaches an operator, a worker or the audit is an `AaosError` with a stable `code`.
"""

from collections.abc import Mapping
from enum import IntEnum
from typing import ClassVar


class ExitCode(IntEnum):
    """Exit status of every `agentd` command; documented in agentd(1) and never renumbered."""

    OK = 0
    RUN_FAILED = 1
    USAGE = 2
    REFUSED = 3
    NOT_FOUND = 4
    UNREACHABLE = 5
    UNCONFINED = 6
    CANCELLED = 7
    INTERNAL = 8


class AaosError(Exception):
    """Base of all errors: `message` is what happened, with the value; `remedy` is what to type or change next."""

    code: ClassVar[str] = "internal"
    exit_code: ClassVar[ExitCode] = ExitCode.INTERNAL

    def __init__(self, message: str, remedy: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy

    def to_wire(self) -> Mapping[str, str]:
        """The error as the operator socket and the event stream carry it."""
        return {"code": self.code, "message": self.message, "remedy": self.remedy}


class InputError(AaosError):
    """The operator, a file or a model gave something that cannot be accepted."""

    code = "input"
    exit_code = ExitCode.USAGE


class SettingsError(InputError):
    """agentd.toml or a role file is wrong; the message names file, key and line where known."""

    code = "settings"


class DeniedError(AaosError):
    """A capability, the envelope or the gate said no; the remedy is the grant that would allow it."""

    code = "denied"
    exit_code = ExitCode.REFUSED


class NotFoundError(AaosError):
    """No such run, agent, tool or role, or it belongs to somebody else."""

    code = "not_found"
    exit_code = ExitCode.NOT_FOUND


class ConflictError(AaosError):
    """The thing changed in between, exists already, or is in a state that does not allow this."""

    code = "conflict"
    exit_code = ExitCode.REFUSED


class BusyError(AaosError):
    """A bound was reached: queue, rate, agents; try again later."""

    code = "busy"
    exit_code = ExitCode.REFUSED


class ConfinementError(AaosError):
    """A layer of the wall is missing or could not be confirmed; nothing runs without it."""

    code = "unconfined"
    exit_code = ExitCode.UNCONFINED


class WorkerLostError(AaosError):
    """The worker ended before it finished: killed, crashed, or broke the ABI."""

    code = "worker_lost"
    exit_code = ExitCode.RUN_FAILED


class ReplayError(AaosError):
    """A resumed program did not make the calls that it had made before."""

    code = "replay"
    exit_code = ExitCode.RUN_FAILED


class OutcomeUnknownError(AaosError):
    """An effect was under way when agentd stopped, and nobody can tell whether it happened: it is not repeated."""

    code = "outcome_unknown"
    exit_code = ExitCode.RUN_FAILED


class LimitError(AaosError):
    """A limit of the run was reached: time, iterations, repeats, bytes."""

    code = "limit"
    exit_code = ExitCode.RUN_FAILED


class ContractError(AaosError):
    """The role's output contract does not hold on observed evidence."""

    code = "contract"
    exit_code = ExitCode.RUN_FAILED


class PlanError(AaosError):
    """The plan that a model made cannot be executed; what it may do is never widened to make it fit."""

    code = "plan"
    exit_code = ExitCode.RUN_FAILED


class ToolError(AaosError):
    """A tool could not do what was asked: no such file, not text, ambiguous edit."""

    code = "tool"
    exit_code = ExitCode.RUN_FAILED


class ProviderError(AaosError):
    """The model could not answer."""

    code = "provider"
    exit_code = ExitCode.RUN_FAILED


class CancelledError(AaosError):
    """The operator stopped it."""

    code = "cancelled"
    exit_code = ExitCode.CANCELLED


class StorageError(AaosError):
    """The database or the state directory cannot be used: full, read-only, damaged, newer than this program."""

    code = "storage"
    exit_code = ExitCode.INTERNAL


class UnreachableError(AaosError):
    """The client found no daemon at the socket, or may not speak to it."""

    code = "unreachable"
    exit_code = ExitCode.UNREACHABLE
