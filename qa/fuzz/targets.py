"""What is fuzzed: each parser with its seeds, the kind of error that it declares, and what holds of what it takes.

Invariant: a target returns True for an input that was taken and False for one that was refused as declared; anything
that it raises is a defect.
"""

import dataclasses
import json
import random
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from aaos.core import pattern, rpc
from aaos.core.capability import Capability, Kind, covers, is_within, narrow, parse_capabilities, path_resource
from aaos.core.config import Settings, load_settings
from aaos.core.errors import AaosError, DeniedError
from aaos.core.graph import Plan, check_plan
from aaos.core.ids import SubtaskId
from aaos.core.paths import MAX_PATH_BYTES
from aaos.core.role import Param, ParameterType, expand
from aaos.core.rolefile import read_role
from aaos.core.url import parse_url, resolve
from aaos.daemon import params
from aaos.egress import wire
from aaos.llm.table import read_table
from aaos.plan.drafting import Terms, drafted
from aaos.plan.phrases import parse_goal
from aaos.tools.wrapperfile import read_wrapper
from qa.fuzz import doors, leftovers, outgoing, readings, seeds
from qa.fuzz.documents import Documents, trees_of
from tests.unit.core.test_pattern import _reference
from tests.unit.plan.test_drafting import BEFORE, terms
from worker import abi
from worker import pattern as expression

Take = Callable[[bytes], bool]
HERE = Path("/fuzz/agentd.toml")


@dataclass(frozen=True, slots=True)
class Target:
    """`full` is how many inputs its part of R9 takes; `make` writes them where they are not mutated seeds."""

    name: str
    take: Take
    seeds: Sequence[bytes]
    full: int = 1_000_000
    make: Callable[[random.Random], bytes] | None = None


def frame_from_worker(data: bytes) -> bool:
    """The ABI, as agentd reads it: what is taken can be sent on as it is."""
    return _frame(data, (*abi.FROM_WORKER, *abi.TO_WORKER))


def frame_of_zygote(data: bytes) -> bool:
    """What zygote, parked workers and agentd say to each other, with policies and mounts."""
    allowed: tuple[type[abi.Spawn] | type[abi.Assign] | type[abi.FromZygote], ...]
    allowed = (*abi.TO_ZYGOTE, *abi.FROM_ZYGOTE, *abi.TO_PARKED)
    try:
        frame = abi.decode(data, allowed)
        if isinstance(frame, abi.Spawn):
            policy = abi.policy_from_json(frame.policy)
            assert (
                abi.policy_from_json(abi.parse(abi.encode(abi.Spawn(1, abi.policy_to_json(policy))))["policy"])
                == policy
            )
        if isinstance(frame, abi.Assign):
            for mount in frame.mounts:
                abi.build(abi.Mount, mount)
    except abi.FrameError:
        return False
    return True


def _frame(data: bytes, allowed: tuple[type[abi.FromWorker] | type[abi.ToWorker], ...]) -> bool:
    try:
        frame = abi.decode(data, allowed)
    except abi.FrameError:
        return False
    assert abi.decode(abi.encode(frame), allowed) == frame
    return True


def frame_of_egress(data: bytes) -> bool:
    """Both directions of the egress' socket."""
    try:
        asked = wire.decode(data, wire.TO_EGRESS)
        assert wire.decode(wire.encode(asked), wire.TO_EGRESS) == asked
        return True
    except abi.FrameError:
        pass
    try:
        told = wire.decode(data, wire.FROM_EGRESS)
    except abi.FrameError:
        return False
    assert wire.decode(wire.encode(told), wire.FROM_EGRESS) == told
    return True


def operator_line(data: bytes) -> bool:
    """A line of the operator's socket, cut from a stream, and the params of the method that it names."""
    try:
        lines = rpc.LineBuffer().feed(data + b"\n")
        requests = [rpc.decode_request(line) for line in lines]
        for request in requests:
            params.read_params(_params_of(request.method), request.params, request.method)
    except (rpc.RpcError, AaosError):
        return False
    return bool(requests)


def _params_of(method: str) -> type[params.Params]:
    known: dict[str, type[params.Params]] = {
        "submit": params.SubmitParams,
        "logs": params.LogsParams,
        "tail": params.TailParams,
        "watch": params.WatchParams,
        "attest": params.AgentOrRunParams,
        "approve": params.SettleParams,
        "approvals": params.ApprovalsParams,
    }
    return known.get(method, params.ListParams)


def answer_line(data: bytes) -> bool:
    """What a client reads from who says that it is agentd."""
    try:
        message = rpc.decode_reply(data)
    except rpc.RpcError:
        return False
    if isinstance(message, rpc.Response) and message.failure is not None:
        assert isinstance(message.failure.to_error(), AaosError)
        assert 0 <= message.failure.exit_code <= 8
    return True


VALUES: dict[ParameterType, Param] = {
    ParameterType.STRING: "{x} \u2028",
    ParameterType.INTEGER: 7,
    ParameterType.PATH: "/a/b",
    ParameterType.PATHS: ("/a/**", "/b"),
    ParameterType.URL: "http://a.example/b",
    ParameterType.HOSTS: ("a.example:443",),
    ParameterType.NAMES: ("file_read", "glob"),
}


def role(data: bytes) -> bool:
    """A role's file, and the role filled in with what its parameters may have: it asks for what can be granted."""
    try:
        found = read_role(data, "fuzz.yaml", name="analyzer")
    except AaosError:
        return False
    values = {name: one.choices[0] if one.choices else VALUES[one.type] for name, one in found.parameters.items()}
    _taken(lambda: expand(found, values, inputs={SubtaskId("one"): "text"}, now_s=0.0))
    _taken(lambda: expand(found, {}, inputs={}, now_s=0.0))
    return True


def settings(data: bytes) -> bool:
    """The settings' file."""
    found: list[Settings] = []
    if not _taken(lambda: found.append(load_settings(HERE, drafts={HERE: data}))):
        return False
    assert found[0].confinement.require == Settings().confinement.require
    return True


def wrapper(data: bytes) -> bool:
    """A wrapped program's file."""
    return _taken(lambda: read_wrapper(data, "/w/lister.yaml", taken=frozenset()))


def models(data: bytes) -> bool:
    """The table of models."""
    return _taken(lambda: read_table(data, "fuzz.yaml"))


def plan(data: bytes) -> bool:
    """A model's answer, as a plan within an envelope."""
    made = drafted(data.decode("utf-8", "replace"), BEFORE, _terms())
    if not isinstance(made, Plan):
        assert made, "neither a plan nor a fault"
        return False
    check_plan(made)
    return True


@cache
def _terms() -> Terms:
    return terms()


def goal(data: bytes) -> bool:
    """An operator's words."""
    return _taken(lambda: parse_goal(data.decode("utf-8", "replace")))


def grant(data: bytes) -> bool:
    """A capability in any of its spellings; what is granted covers itself, when it names one thing."""
    text = data.decode("utf-8", "replace")
    try:
        found = parse_capabilities([text], now_s=0.0)
    except AaosError:
        return False
    for one in found:
        assert parse_capabilities([one.text()], now_s=0.0) == (one,) or one.constraints.is_metered or " (" in one.text()
    return True


def glob(data: bytes) -> bool:
    """A pattern and a path: as the reference matches, which is written for clearness."""
    text = data.decode("utf-8", "replace")
    made, _, path = text.partition("\n")
    try:
        is_covered = pattern.matches(made, path)
    except AaosError:
        return False
    if re.fullmatch(r"[a-d*?\[\]!/-]*", made) and re.fullmatch(r"(/[a-d]+)+", path) and "\\" not in made:
        assert is_covered == _reference(made, path), (made, path)
    if is_covered and len(path.encode("utf-8", "surrogatepass")) <= MAX_PATH_BYTES:
        assert pattern.is_within(pattern.quote(path), made)
    return True


def glob_pair(data: bytes) -> bool:
    """A pattern and a path of few letters: as the reference matches; taken are those that meet."""
    made, _, path = data.decode().partition("\n")
    try:
        is_covered = pattern.matches(made, path)
    except AaosError:
        assert "**/**" in made, made
        return False
    assert is_covered == _reference(made, path), (made, path)
    return is_covered


def narrowings(data: bytes) -> bool:
    """A chain of grants, each narrowed by the next, reaches nothing that its first did not; taken are those that
    lost something on the way."""
    first, *others = (_granted(document) for document in json.loads(data))
    held = first
    for wanted in others:
        try:
            met = narrow([held], wanted)
        except DeniedError:
            continue
        assert is_within(met, held), (met, held)
        assert is_within(met, wanted), (met, wanted)
        held = met
    assert is_within(held, first), (held, first)
    for path in REACHED:
        assert not covers(held, held.kind, path) or covers(first, first.kind, path), (held, first, path)
    return held != first


def _granted(document: object) -> Capability:
    (one,) = parse_capabilities([document], now_s=0.0)
    return one


def path_grant(data: bytes) -> bool:
    """A path as somebody names it: what it is granted as covers nothing beside it."""
    path = data.decode("utf-8", "replace").partition("\n")[0]
    try:
        (granted,) = parse_capabilities([{"file_read": path_resource(path)}], now_s=0.0)
    except AaosError:
        return False
    assert not covers(granted, Kind.FILE_READ, "/outside/secret") or path.startswith("/outside")
    return True


def address(data: bytes) -> bool:
    """A URL: what is taken is its own normal form, and a link on it stays readable."""
    text = data.decode("utf-8", "replace")
    try:
        url = parse_url(text)
    except AaosError:
        return False
    assert parse_url(url.text) == dataclasses.replace(url)
    _taken(lambda: resolve(url, text[::-1]))
    return True


def search(data: bytes) -> bool:
    """A pattern of grep, on a line."""
    text, _, line = data.decode("utf-8", "replace").partition("\n")
    try:
        expression.Pattern(text).search(line)
    except expression.PatternError:
        return False
    return True


def _taken(parse: Callable[[], object]) -> bool:
    try:
        parse()
    except AaosError:
        return False
    return True


REACHED = ("/", "/a", "/a/b", "/a/b/c", "/ab", "/a/bb", "/b/a", "/a/c/x")
_PATTERNS = ("/**", "/a/**", "/a/b", "/a/*", "/a/b*", "/*/b", "/a/[bc]/**", "/a/?", "/b/**", "/**/b", "/a/b/c")
_LIMITS = {
    "max": (1, 2, 10, 2**53 - 1),
    "rate": ("1/min", "3/10s", "100/h"),
    "expires": ("1s", "2h", "1d"),
    "timeout": (1, 0.5, "2m"),
    "bytes": (1, "4KiB", "1GiB"),
}


def chains(chance: random.Random) -> bytes:
    """A chain of grants over few paths, with every constraint that a file's grant may have."""
    links = [_link(chance) for _ in range(chance.randint(2, 7))]
    return json.dumps(links).encode()


def _link(chance: random.Random) -> dict[str, object]:
    kind = "file_read" if chance.random() < 0.9 else "file_write"
    keys = [key for key in _LIMITS if chance.random() < 0.3]
    return {kind: chance.choice(_PATTERNS), **{key: chance.choice(_LIMITS[key]) for key in keys}}


def globs(chance: random.Random) -> bytes:
    """A pattern and a path over few letters, so that they often meet."""
    names = ("**", "*", "?", "a", "b", "ab", "[ab]", "[!a]", "[a-c]", "a*", "*b", "?b*", "[b-d]a")
    path = "/".join("".join(chance.choices("abcd", k=chance.randint(1, 3))) for _ in range(chance.randint(1, 4)))
    return f"/{'/'.join(chance.choices(names, k=chance.randint(0, 5)))}\n/{path}".encode()


TARGETS: tuple[Target, ...] = (
    Target("ABI frames", frame_from_worker, seeds.FRAMES),
    Target("zygote frames", frame_of_zygote, seeds.ZYGOTE),
    Target("egress frames", frame_of_egress, seeds.EGRESS),
    Target("door's requests", doors.door_request, doors.REQUESTS),
    Target("door's answers", doors.door_answer, doors.ANSWERS),
    Target("operator's lines", operator_line, seeds.LINES),
    Target("daemon's answers", answer_line, seeds.ANSWERS),
    Target("globs", glob, seeds.GLOBS),
    Target("pairs of globs", glob_pair, (b"/a/**\n/a/b",), make=globs),
    Target("narrowing chains", narrowings, (b'["file_read: /**", "file_read: /a/b"]',), 100_000, chains),
    Target("addresses", address, seeds.ADDRESSES),
    Target("grants", grant, seeds.GRANTS),
    Target("paths", path_grant, seeds.PATHS),
    Target("search patterns", search, seeds.SEARCHES),
    Target("plans", plan, seeds.PLANS),
    Target("goals", goal, seeds.GOALS),
    Target("readings of T0", readings.reading, readings.SEEDS, make=readings.makings),
    Target("settings", settings, seeds.SETTINGS),
    Target("steps of a kill", leftovers.step_log, leftovers.step_logs_as_written(), make=leftovers.step_logs),
    Target("SQLite's logs", leftovers.wal_scan, leftovers.sqlite_logs_as_written(), make=leftovers.sqlite_logs),
    Target("audit's copy", leftovers.audit_copy, leftovers.LINES[:3], make=leftovers.copies),
    Target("archives' heads", outgoing.archive_head, outgoing.HEADS, make=outgoing.heads),
    Target("archives", outgoing.archived_tree, outgoing.TREES, 100_000, outgoing.trees),
    Target("JSON text", outgoing.json_text, outgoing.VALUES, make=outgoing.values),
    Target("roles", role, seeds.ROLES, make=Documents(trees_of(seeds.ROLES), seeds.NEEDED_OF_ROLES)),
    Target("models", models, seeds.MODELS, make=Documents(trees_of(seeds.MODELS), ("providers", "models"))),
    Target("wrappers", wrapper, seeds.WRAPPERS, make=Documents(trees_of(seeds.WRAPPERS), seeds.NEEDED_OF_WRAPPERS)),
)
