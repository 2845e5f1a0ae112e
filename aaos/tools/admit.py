"""From a worker's words to a checked call: the tool, its typed arguments, and the grants that were charged for it.

Invariant: arguments that pass are exactly what the tool's input declares, with every path and web address in its normal
form; each is charged for every kind of use that the tool makes of it, before anything is opened or asked for.
"""

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from pydantic import ValidationError

from aaos.broker.files import FileBroker
from aaos.broker.opening import relative_to
from aaos.core.capability import Capability, Kind, is_within
from aaos.core.errors import AaosError, DeniedError, InputError, ToolError
from aaos.core.ids import AgentId
from aaos.core.paths import MAX_NAME_BYTES, is_normal, normalise
from aaos.core.ports import Root
from aaos.core.schema import explain, refuse_flood
from aaos.core.text import quoted, suggestion
from aaos.core.token import Charge, TokenBox
from aaos.core.url import parse_url
from aaos.tools.handout import Use, find_root
from aaos.tools.spec import Access, CellTool, ResourceArg, Tool
from worker.abi import Json
from worker.jsontext import json_encoder

NAME_CHARS = 80
CONNECT = "CONNECT"  # the method that a grant of the network needs for a program's connections
_text = json_encoder(sort_keys=True, ensure_ascii=False, allow_nan=True, default=dict)


@dataclass(frozen=True, slots=True)
class Admitted:
    """What was charged for a call."""

    uses: tuple[Use, ...]
    charges: tuple[Charge, ...]


def find_tool(catalog: Mapping[str, Tool], name: str) -> Tool:
    """The tool of that name. Raises DeniedError with the nearest one."""
    tool = catalog.get(name)
    if tool is None:
        raise DeniedError(f"there is no tool {quoted(name)}", suggestion(name, catalog))
    return tool


def parse(tool: Tool, args: Mapping[str, Json]) -> dict[str, Json]:
    """The arguments with defaults filled in and paths normalised. Raises InputError."""
    refuse_flood(args, tool.input)
    try:
        typed: dict[str, Json] = vars(tool.input.model_validate(args)).copy()  # inputs are flat
    except ValidationError as error:
        message, remedy = explain(error, tool.input)
        raise InputError(f"{tool.name}: {message}", remedy) from error
    for resource in tool.resources:
        value = typed[resource.arg]
        normal = _url if resource.access.is_address else _path
        if value is not None:
            typed[resource.arg] = normal(value) if isinstance(value, str) else [normal(item) for item in value]
    return typed


def canonical(args: Json) -> str:
    """The one text of a value: JSON with sorted keys and no spaces."""
    return _text(args)


def digest(tool: str, arguments: str) -> str:
    """What tells calls apart: SHA-256 of the tool's name and its canonical arguments, hexadecimal."""
    return hashlib.sha256(f"{tool}\0{arguments}".encode()).hexdigest()


def call_digest(catalog: Mapping[str, Tool], name: str, args: Mapping[str, Json]) -> str:
    """The digest that the gate writes down of a call as it is asked for, also of one that it does not understand."""
    try:
        arguments = canonical(parse(find_tool(catalog, name), args))
    except AaosError:
        arguments = canonical(args)
    return digest(name[:NAME_CHARS], arguments)


def paths_of(tool: Tool, args: Mapping[str, Json]) -> tuple[str, ...]:
    """Every path or web address that normalised arguments name."""
    return tuple(path for resource in tool.resources for path in _paths(resource, args))


@dataclass(frozen=True, slots=True)
class Charger:
    """Charges the calls of one agent."""

    tokens: TokenBox
    agent: AgentId
    roots: Sequence[Root]
    files: FileBroker
    budgeted: frozenset[Kind]  # the kinds of which a grant counts bytes

    def charge(self, tool: Tool, args: Mapping[str, Json]) -> Admitted:
        """The tool, then each path for each kind of use. A refused call may have been counted against the first ones.

        Raises:
            DeniedError, LimitError: what is not granted, or spent; the remedy is the grant.
        """
        charges = [self.tokens.charge(self.agent, Kind.TOOL, tool.name, arguments=_Texts(args))]
        uses: list[Use] = []
        if isinstance(tool, CellTool):
            charges += [self.charge_place(f"{place.host}:{place.port}") for place in tool.wrapper.egress]
            if (name := args.get(tool.wrapper.secret or "")) is not None:
                charges.append(self.charge_secret(name))
        for resource in tool.resources:
            if resource.access is Access.FETCH:
                charges += [self._charge_url(url, args) for url in _paths(resource, args)]
            elif resource.access is Access.CONNECT:
                charges += [self.charge_place(parse_url(url).authority) for url in _paths(resource, args)]
            else:
                uses += [self._charge_path(resource, path, args, charges) for path in _paths(resource, args)]
        return Admitted(tuple(uses), tuple(charges))

    def charge_network(self, resource: str, method: str, args: Mapping[str, Json]) -> Charge:
        """One request to `HOST:PORT/PATH`; with a byte budget, as much as it may move. Raises as `charge`."""
        count = network_bytes(self.budgeted, args) or 0
        return self.tokens.charge(
            self.agent, Kind.NETWORK, resource, bytes_used=count, arguments={**_Texts(args), "method": method}
        )

    def charge_secret(self, name: str) -> Charge:
        """One use of a secret, which the agent does not see. Raises as `charge`."""
        return self.tokens.charge(self.agent, Kind.SECRET, name)

    def charge_place(self, authority: str) -> Charge:
        """A program's connections to HOST:PORT, of which nobody sees the methods and paths. Raises as `charge`."""
        everything = Capability(Kind.NETWORK, f"{authority}/**")
        held = [one for one in self.tokens.capabilities(self.agent) if _may_connect(one)]
        if Kind.NETWORK in self.budgeted:
            message = f"{everything.text()}: a grant of the network counts bytes, which nobody can for a program"
            raise DeniedError(message, "grant it without bytes")
        if not any(is_within(replace(everything, constraints=one.constraints), one) for one in held):
            message = f"network: connections of programs to {authority} are not granted"
            raise DeniedError(message, f"grant them with: --connect {authority}")
        return self.tokens.charge(self.agent, Kind.NETWORK, everything.resource, arguments={"method": CONNECT})

    def _charge_url(self, url: str, args: Mapping[str, Json]) -> Charge:
        return self.charge_network(parse_url(url).resource, args["method"], args)

    def _charge_path(self, resource: ResourceArg, path: str, args: Mapping[str, Json], charges: list[Charge]) -> Use:
        is_counted = not self.budgeted.isdisjoint(resource.kinds) and self._allows(resource.kinds, path)
        count = self._most_bytes(resource, path, args) if is_counted else 0
        made = [self.tokens.charge(self.agent, kind, path, bytes_used=count) for kind in resource.kinds]
        charges += made
        reads = made[0].capability
        as_owner = reads.as_owner or self._may_write(path)
        return Use(path, resource.access, reads, as_owner)

    def _may_write(self, path: str) -> bool:
        """Whether this agent writes here, and so reads with the rights that it writes with."""
        for root in self.roots:
            if root.writable:
                return self.tokens.allows(self.agent, Kind.FILE_WRITE, path)
        return False

    def _allows(self, kinds: Iterable[Kind], path: str) -> bool:
        """Whether the path may be looked at: only then its size counts."""
        return all(self.tokens.allows(self.agent, kind, path) for kind in kinds)

    def _most_bytes(self, resource: ResourceArg, path: str, args: Mapping[str, Json]) -> int:
        """The most that the call can move: an fd that is handed out makes the whole file readable."""
        match resource.access:
            case Access.DIRECTORY | Access.WALK:
                return 0
            case Access.SHOW | Access.CHANGE | Access.MAKE:
                message = f"{quoted(path)}: its grant counts bytes, which nobody can for a program"
                raise DeniedError(message, "grant it without bytes")
            case Access.FETCH | Access.CONNECT:
                raise TypeError(f"{path} is no path")
            case Access.REPLACE:
                return len(args["content"].encode())
            case Access.FILE | Access.TREE | Access.EDIT:
                root = find_root(self.roots, path, writable=resource.access is Access.EDIT)
                size = self.files.size_of(root, relative_to(root, path))
                if size is None:
                    raise ToolError(f"{quoted(path)} is a directory and its grant counts bytes", "name the files in it")
                return size + (len(args["new"].encode()) if resource.access is Access.EDIT else 0)


def _may_connect(capability: Capability) -> bool:
    methods = capability.constraints.methods
    return capability.kind is Kind.NETWORK and (methods is None or CONNECT.lower() in methods)


def budgeted_kinds(tokens: TokenBox, agent: AgentId) -> frozenset[Kind]:
    """The kinds of which an agent's grants count bytes; they do not change while it lives."""
    return frozenset(c.kind for c in tokens.capabilities(agent) if c.constraints.max_bytes is not None)


def network_bytes(budgeted: frozenset[Kind], args: Mapping[str, Json]) -> int | None:
    """The most that one request of a call may move, when an agent's grants of the network count bytes."""
    return args["max_bytes"] if Kind.NETWORK in budgeted else None


class _Texts(Mapping[str, str]):
    """Arguments as text, made when a limit asks for one."""

    def __init__(self, args: Mapping[str, Json]) -> None:
        self._args = args

    def __getitem__(self, name: str) -> str:
        value = self._args[name]
        return value if isinstance(value, str) else canonical(value)

    def __iter__(self) -> Iterator[str]:
        return iter(self._args)

    def __len__(self) -> int:
        return len(self._args)


def _paths(resource: ResourceArg, args: Mapping[str, Json]) -> Sequence[str]:
    value = args[resource.arg]
    return [] if value is None else [value] if isinstance(value, str) else value


def _url(text: str) -> str:
    return parse_url(text).text


def _path(path: str) -> str:
    if not path.startswith("/"):
        raise InputError(f"path {quoted(path)} is not absolute", "write it in full, beginning with /")
    if len(path) <= MAX_NAME_BYTES and path.isascii() and is_normal(path):
        return path
    return normalise(path, "/")
