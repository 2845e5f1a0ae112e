"""What a goal names, and whether its plan may be executed: made of known roles, within the envelope.

Invariant: a plan that leaves here passes `check_plan`, and each capability that its roles ask for is within the
envelope; what is not is refused with the grant that would allow it. The runner checks again for every agent.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import assert_never

from aaos.core.capability import Capability, Kind, narrow_each, path_resource
from aaos.core.envelope import Envelope
from aaos.core.errors import DeniedError, InputError
from aaos.core.graph import Plan, Subtask, check_plan
from aaos.core.ids import RoleName, SubtaskId
from aaos.core.paths import normalise
from aaos.core.role import Param, Role, expand
from aaos.core.rolefile import RoleSet
from aaos.core.url import parse_url
from aaos.plan.clauses import (
    Clause,
    Compare,
    CompareStories,
    Count,
    Fetch,
    ListStories,
    Parsed,
    Report,
    Search,
    Summarise,
    Work,
    Write,
)
from aaos.plan.goal import AtomKind, read_goal
from aaos.plan.outputs import written
from aaos.plan.phrases import parse_goal

PROGRAM = RoleName("program")
READING_TOOLS = ("file_list", "file_read", "glob", "grep")
WRITING_TOOLS = ("file_write",)
FETCHING_TOOLS = ("web_fetch",)


@dataclass(frozen=True, slots=True)
class GoalPaths:
    """What a goal's text names: absolute paths to read and to write, addresses of pages in their normal form, and the
    tools that its plan needs."""

    reads: tuple[str, ...]
    writes: tuple[str, ...]
    tools: tuple[str, ...]
    urls: tuple[str, ...] = ()


def goal_paths(goal: str, *, cwd: str) -> GoalPaths:
    """The paths and addresses that the goal names, by code.

    A goal that no shape fits is read by its words: `outputs` says which of what it names is to be written.
    Raises InputError for a path or an address that has no one meaning (`~`, `..`, `http://127.1/`).
    """
    try:
        reads, writes, urls = _named(parse_goal(goal))
    except InputError:
        reads, writes, urls = _named_in_words(goal)
    absolute_reads = tuple(dict.fromkeys(normalise(path, cwd) for path in reads))
    absolute_writes = tuple(dict.fromkeys(normalise(path, cwd) for path in writes))
    tools = READING_TOOLS + (WRITING_TOOLS if writes else ()) + (FETCHING_TOOLS if urls else ())
    return GoalPaths(absolute_reads, absolute_writes, tools, tuple(dict.fromkeys(urls)))


def plan_program(*, roles: RoleSet, envelope: Envelope, now_s: float) -> Plan:
    """The plan of one program: a single subtask that may use all that the envelope grants. Raises as `check_within`."""
    subtask = Subtask(SubtaskId("program-1"), PROGRAM, whole_envelope(envelope))
    plan = Plan((subtask,), subtask.id, "program")
    return check_within(plan, roles=roles, envelope=envelope, now_s=now_s)


def whole_envelope(envelope: Envelope) -> Mapping[str, Param]:
    """All that the envelope grants as the parameters of a role that may use it all. Raises InputError for a pattern."""
    granted = {
        "reads": tuple(map(_as_path, envelope.of_kind(Kind.FILE_READ))),
        "writes": tuple(map(_as_path, envelope.of_kind(Kind.FILE_WRITE))),
        "hosts": tuple(host.resource for host in envelope.of_kind(Kind.NETWORK)),
        "tools": tuple(tool.resource for tool in envelope.of_kind(Kind.TOOL)),
        "secrets": tuple(secret.resource for secret in envelope.of_kind(Kind.SECRET)),
    }
    return {name: resources for name, resources in granted.items() if resources}


def check_within(plan: Plan, *, roles: RoleSet, envelope: Envelope, now_s: float) -> Plan:
    """The plan, when it can be executed and asks for nothing beyond the envelope. `now_s` is UTC.

    Raises:
        InputError: a cycle, too many subtasks, a parameter that a role does not have.
        DeniedError: a role asks for more than the envelope grants; the remedy is the flag that would grant it.
        NotFoundError: a role that the plan needs is not installed.
    """
    check_plan(plan)
    check_size(plan, envelope)
    for subtask in plan.subtasks:
        check_subtask(subtask, roles.get(subtask.role), envelope=envelope, now_s=now_s)
    return plan


def check_size(plan: Plan, envelope: Envelope) -> None:
    """Whether the run may have as many agents as the plan has subtasks. Raises InputError."""
    if len(plan.subtasks) > envelope.limits.max_agents:
        raise InputError(
            f"the plan has {len(plan.subtasks)} subtasks, and the run may have {envelope.limits.max_agents} agents",
            "name fewer files in one goal, or raise limits.run_agents in agentd.toml",
        )


def check_subtask(subtask: Subtask, role: Role, *, envelope: Envelope, now_s: float) -> None:
    """Whether the role can be had with these parameters within the envelope. Raises InputError, DeniedError."""
    asked = expand(role, subtask.params, inputs=dict.fromkeys(subtask.inputs, ""), now_s=now_s)
    for capability in asked.capabilities:
        try:
            narrow_each(envelope.capabilities, capability)
        except DeniedError as error:
            message = f"subtask {subtask.id} (role {subtask.role}) needs more than this run may do: {error.message}"
            raise DeniedError(message, error.remedy) from error


def _as_path(granted: Capability) -> str:
    """A granted resource as the parameter of a role: a file, or a directory with `/**`."""
    if granted.is_exact:
        return granted.root
    tree = f"{granted.root.rstrip('/')}/**"
    if granted.resource == path_resource(granted.root, is_dir=True):
        return tree
    flag = "--read" if granted.kind is Kind.FILE_READ else "--write"
    message = f"a program can be granted files and whole directories, not the pattern {granted.resource}"
    raise InputError(message, f"grant the directory: {flag} '{tree}'")


# --- what the text names ------------------------------------------------------------------------------------------


def _named(clauses: tuple[Parsed, ...]) -> tuple[list[str], list[str], list[str]]:
    reads: list[str] = []
    writes: list[str] = []
    urls: list[str] = []
    for clause in clauses:
        match clause:
            case Clause(work, output):
                reads += _read_by(work)
                urls += _fetched_by(work)
                writes += [output] if output else []
            case Write(_, output):
                writes.append(output)
            case _:
                assert_never(clause)
    return reads, writes, urls


def _read_by(work: Work) -> tuple[str, ...]:
    match work:
        case Report(path):
            return (path,)
        case Summarise(paths) | Compare(paths) | Search(paths) | Count(paths):
            return paths
        case Fetch() | ListStories() | CompareStories():
            return ()
        case _:
            assert_never(work)


def _fetched_by(work: Work) -> tuple[str, ...]:
    match work:
        case Fetch() | ListStories() | CompareStories() | Summarise() | Compare():
            return work.urls
        case Report() | Search() | Count():
            return ()
        case _:
            assert_never(work)


def _named_in_words(goal: str) -> tuple[list[str], list[str], list[str]]:
    """The unquoted paths and the addresses of a goal that no shape fits."""
    text = read_goal(goal, is_free=True)
    outputs = written(text.template)
    paths = {at: atom.text for at, atom in enumerate(text.atoms) if atom.kind is AtomKind.PATH}
    urls = [parse_url(atom.text).text for atom in text.atoms if atom.kind is AtomKind.URL]
    reads = [path for at, path in paths.items() if at not in outputs]
    return reads, [paths[at] for at in sorted(outputs & set(paths))], urls
