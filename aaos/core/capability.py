"""Capabilities: what may be done to what, within which limits. Values and rules; the tokens are in `token`.

Invariant: every `Capability` has a valid resource, and narrowing is monotone: what `narrow` returns is within the
capability it came from, in resource and in constraints. The closed list of kinds is `Kind` and nowhere else.

Written short in YAML (`file_read: /data/**`), or as URI (`capability://file_read/data/**?max=50`, where a literal `?`,
`%` or `#` of the path is percent-encoded). A path is a glob of `pattern`; a network resource is `HOST[:PORT][/PATH]`,
port 443 and all paths unless given, and `*.` at the front of a host stands for one label; a tool is named, or all tools
of one server as `mcp.SERVER.*`; spawn names a role, secret a secret.
"""

import ipaddress
import re
import shlex
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import assert_never
from urllib.parse import quote as percent_encode
from urllib.parse import unquote_to_bytes

from aaos.core import pattern
from aaos.core.constraint import KEYS, NONE, Constraints, Rate, parse_constraints
from aaos.core.errors import DeniedError, InputError
from aaos.core.ids import check_name
from aaos.core.memo import memo
from aaos.core.pattern import Matcher, matches
from aaos.core.text import quoted, suggestion

__all__ = ["Capability", "Constraints", "Kind", "Rate", "covers", "is_within", "matches", "narrow", "narrow_each",
           "narrow_from", "parse_capabilities", "path_resource", "resource_matcher"]  # fmt: skip

MAX_CAPABILITIES = 256
MAX_TEXT = 16_384

_SCHEME = "capability://"
_TOOL = re.compile(r"[a-z][a-z0-9_-]{0,63}(\.[a-z0-9_-]{1,64}){0,3}", re.ASCII)
_HOST = re.compile(r"(\*\.)?[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)*", re.ASCII)
_ADDRESS = re.compile(r"((25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])(\.(?!$)|$)){4}", re.ASCII)
_LABEL = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", re.ASCII)
_PORT = re.compile(r"[1-9][0-9]{0,4}", re.ASCII)
_WITH_PORT = re.compile(r".*:[0-9]+", re.ASCII)
_HTTPS = "443"
_URI_SAFE = "/*[]!:@$&'()+,;=~ "


class Kind(StrEnum):
    """The closed list of what can be granted."""

    FILE_READ = "file_read"
    FILE_WRITE = "file_write"
    NETWORK = "network"
    TOOL = "tool"
    SPAWN = "spawn"
    SECRET = "secret"  # noqa: S105  # the name of a kind


_FILES = (Kind.FILE_READ, Kind.FILE_WRITE)
_ALIASES = {"http": Kind.NETWORK}  # in URIs only
_USABLE: Mapping[Kind, frozenset[str]] = {
    Kind.FILE_READ: frozenset(KEYS) - {"action", "arguments", "approval_required"} | {"as_owner"},
    Kind.FILE_WRITE: frozenset(KEYS) - {"action", "arguments"} | {"as_owner"},
    Kind.NETWORK: frozenset(KEYS) - {"arguments"},
    Kind.TOOL: frozenset(KEYS) - {"action", "bytes"},
    Kind.SPAWN: frozenset(KEYS) - {"action", "bytes", "arguments", "approval_required"},
    Kind.SECRET: frozenset(KEYS) - {"action", "bytes", "arguments", "approval_required"},
}
_KINDS: Mapping[str, Kind] = {kind.value: kind for kind in Kind}
_OPTIONS = (*KEYS, "as_owner")
_LIKE = {
    Kind.FILE_READ: "file_read: /data/**",
    Kind.FILE_WRITE: "file_write: /data/out.md",
    Kind.NETWORK: "network: api.example.com",
    Kind.TOOL: "tool: file_read",
    Kind.SPAWN: "spawn: writer",
    Kind.SECRET: "secret: github",
}
_FLAGS = dict(zip(Kind, ("--read", "--write", "--net", "--tool", "", "--secret"), strict=True))


@dataclass(frozen=True, slots=True)
class Capability:
    """One thing that may be done. `as_owner`: with the rights of the file's owner, not only what everybody may read."""

    kind: Kind
    resource: str
    constraints: Constraints = NONE
    as_owner: bool = False

    def __post_init__(self) -> None:
        resource_matcher(self.kind, self.resource)

    @property
    def is_plain_root(self) -> bool:
        """Whether this is a whole directory tree without any condition: what the kernel alone can hold."""
        return self.is_tree and self.constraints == NONE

    @property
    def is_tree(self) -> bool:
        """Whether this is a file capability for the directory `root` and all below it."""
        return self.kind in _FILES and pattern.parse_pattern(self.resource).is_tree

    @property
    def is_exact(self) -> bool:
        """Whether the resource of a file capability has no wildcard: it covers the path `root` and nothing else."""
        return self.kind in _FILES and pattern.parse_pattern(self.resource).is_literal

    @property
    def root(self) -> str:
        """The literal path that holds all that a file capability covers; "" for other kinds."""
        return pattern.parse_pattern(self.resource).root if self.kind in _FILES else ""

    def text(self) -> str:
        """The short form `file_read: /data/**`, or the URI form when there are constraints; parses back to itself."""
        pairs = [*self.constraints.items(), *([("as_owner", "true")] if self.as_owner else [])]
        if not pairs:
            return f"{self.kind}: {self.resource}"
        query = "&".join(f"{key}={percent_encode(value, safe='/:,*')}" for key, value in pairs)
        return f"{_SCHEME}{self.kind}/{percent_encode(self.resource.removeprefix('/'), safe=_URI_SAFE)}?{query}"


def covers(capability: Capability, kind: Kind, resource: str) -> bool:
    """Whether the capability is for this use; a resource that is not in its one normal form is never covered."""
    return capability.kind is kind and resource_matcher(kind, capability.resource)(resource)


def is_within(child: Capability, parent: Capability) -> bool:
    """Whether `child` surely allows nothing that `parent` does not, in resource and in constraints."""
    return (
        _resource_within(child, parent)
        and (parent.as_owner or not child.as_owner)
        and child.constraints.is_within(parent.constraints)
    )


def narrow(parents: Iterable[Capability], wanted: Capability) -> Capability:
    """What is granted of `wanted` under `parents`: its resource, under the limits of both it and the parent.

    Raises DeniedError: no parent covers the whole resource; the remedy is the grant that would.
    """
    return narrow_from(tuple(parents), wanted)[1]


def narrow_from(parents: tuple[Capability, ...], wanted: Capability) -> tuple[int, Capability]:
    """As `narrow`, with the index of the parent: the one that leaves `wanted` whole, or else the first that can."""
    found: tuple[int, Capability] | None = None
    refusal: DeniedError | None = None
    for index, parent in enumerate(parents):
        if not _resource_within(wanted, parent):
            continue
        try:
            met = _meet(wanted, parent)
        except DeniedError as error:
            refusal = refusal or error
            continue
        if met == wanted:
            return index, met
        found = found or (index, met)
    if found is not None:
        return found
    raise refusal or denial(wanted.kind, _named(wanted))


def narrow_each(parents: tuple[Capability, ...], wanted: Capability) -> tuple[tuple[int, Capability], ...]:
    """As `narrow_from`; of a host that is granted in parts only, each of these parts. Raises DeniedError: none is."""
    try:
        return (narrow_from(parents, wanted),)
    except DeniedError:
        parts = [replace(wanted, resource=one.resource) for one in parents if _resource_within(one, wanted)]
        if wanted.kind is not Kind.NETWORK or not parts:
            raise
        return tuple(narrow_from(parents, part) for part in parts)


def denial(kind: Kind, resource: str) -> DeniedError:
    """The refusal of a use that nothing covers; the remedy is the flag of `agentd submit` that would grant it."""
    flag = _FLAGS.get(kind)
    remedy = f"grant it with: {flag} {shlex.quote(resource)}" if flag else f"a role must grant {kind}: {resource}"
    return DeniedError(f"{kind}: {resource} is not granted", remedy)


def path_resource(path: str, *, is_dir: bool = False) -> str:
    """The resource that covers exactly the file `path`, or with `is_dir` the directory and all below it."""
    resource = pattern.quote(path)
    return f"{resource.rstrip('/')}/**" if is_dir else resource


def parse_capabilities(document: object, *, now_s: float) -> tuple[Capability, ...]:
    """Capabilities as written: text in short or URI form, a mapping, or a list of these.

    A mapping names one kind and its constraints, or several kinds without constraints; a kind's value is a resource or
    a list of them. `now_s` is UTC in seconds since the epoch; a relative `expires` counts from it.
    Raises InputError, which names the nearest known kind or key.
    """
    items = document if isinstance(document, list | tuple) else [document]
    found: list[Capability] = []
    for item in items:
        found += _parse_item(item, now_s)
        if len(found) > MAX_CAPABILITIES:
            raise InputError(f"more than {MAX_CAPABILITIES} capabilities", "grant a directory in place of its files")
    return tuple(dict.fromkeys(found))


# --- parsing ------------------------------------------------------------------------------------------------------


def _parse_item(item: object, now_s: float) -> list[Capability]:
    if isinstance(item, str):
        if len(item) > MAX_TEXT:
            raise InputError(f"a capability of {len(item)} characters is too long", f"at most {MAX_TEXT} are possible")
        if item.startswith(_SCHEME):
            return [_parse_uri(item, now_s)]
        name, colon, resource = item.partition(": ")
        if not colon:
            raise InputError(f"{quoted(item)} is not a capability", "write it like file_read: /data/**")
        return _parse_mapping({name: resource}, now_s)
    if isinstance(item, Mapping):
        return _parse_mapping(item, now_s)
    raise InputError(f"{quoted(item)} is not a capability", "write it like file_read: /data/**")


def _parse_mapping(item: Mapping[object, object], now_s: float) -> list[Capability]:
    kinds = [key for key in item if key in _KINDS]
    options = {str(key): value for key, value in item.items() if key not in _KINDS}
    for key in options:
        if key not in _OPTIONS:
            raise InputError(f"{quoted(key)} is not a capability or constraint", suggestion(key, [*_KINDS, *_OPTIONS]))
    if not kinds:
        raise InputError("a capability has no kind", f"write one of: {', '.join(_KINDS)}")
    if options and len(kinds) > 1:
        raise InputError(f"{', '.join(options)}: unclear for several kinds", "write one kind per entry")
    return [cap for kind in kinds for cap in _build(_KINDS[str(kind)], item[kind], options=options, now_s=now_s)]


def _build(kind: Kind, value: object, *, options: Mapping[str, object], now_s: float) -> list[Capability]:
    resources = [value] if isinstance(value, str) else value
    if not isinstance(resources, list | tuple) or not 1 <= len(resources) <= MAX_CAPABILITIES:
        raise InputError(f"{kind}: {quoted(value)} is not a resource or a list of them", f"write it like {_LIKE[kind]}")
    for key in options:
        if key not in _USABLE[kind]:
            raise InputError(f"{kind}: {key} is not a constraint of this kind", suggestion(key, _USABLE[kind]))
    as_owner = options.get("as_owner", False)
    if not isinstance(as_owner, bool):
        raise InputError(f"as_owner: {quoted(as_owner)} is not true or false", "write as_owner: true")
    constraints = parse_constraints({k: v for k, v in options.items() if k != "as_owner"}, now_s=now_s)
    return [Capability(kind, _canonical(kind, resource), constraints, as_owner) for resource in resources]


def _parse_uri(uri: str, now_s: float) -> Capability:
    rest, _, query = uri.removeprefix(_SCHEME).partition("?")
    name, slash, resource = rest.partition("/")
    kind = _KINDS.get(name) or _ALIASES.get(name)
    if kind is None:
        raise InputError(f"{quoted(uri)}: {quoted(name)} is not a kind", suggestion(name, [*_KINDS, *_ALIASES]))
    if "#" in uri:
        raise InputError(f"{quoted(uri)} has a '#'", "write %23 for '#'")
    if not slash:
        raise InputError(f"{quoted(uri)} names no resource", f"write it like {_SCHEME}{name}/RESOURCE")
    resource = _decoded(uri, resource)
    options = _parse_query(uri, query) if "?" in uri else {}
    return _build(kind, f"/{resource}" if kind in _FILES else resource, options=options, now_s=now_s)[0]


def _parse_query(uri: str, query: str) -> dict[str, object]:
    options: dict[str, object] = {}
    actions: list[str] = []
    arguments: dict[str, list[str]] = {}
    for pair in query.split("&"):
        key, equals, raw = pair.partition("=")
        value = _decoded(uri, raw, is_value=True)
        if not equals or key in options or key == "arguments":
            raise InputError(f"{quoted(uri)}: {quoted(pair)} is repeated or is not KEY=VALUE", "write each key once")
        if key == "action":
            actions += value.split(",")
        elif key.startswith("arg."):
            arguments.setdefault(key.removeprefix("arg."), []).append(value)
        else:
            options[key] = value == "true" if key == "as_owner" and value in ("true", "false") else value
        if key not in _OPTIONS and not key.startswith("arg."):
            raise InputError(f"{quoted(uri)}: {quoted(key)} is not a constraint", suggestion(key, _OPTIONS))
    return options | ({"action": actions} if actions else {}) | ({"arguments": arguments} if arguments else {})


def _decoded(uri: str, text: str, *, is_value: bool = False) -> str:
    if re.search(r"%(?![0-9A-Fa-f]{2})", text) or (not is_value and re.search(r"%(2[Ff]|00)", text)):
        raise InputError(f"{quoted(uri)}: a '%' must begin %XX, and %2F and %00 are refused", "write %25 for '%'")
    try:
        return unquote_to_bytes(text).decode("utf-8")
    except UnicodeError as error:
        raise InputError(f"{quoted(uri)} is not UTF-8", "encode the path as UTF-8") from error


# --- resources ----------------------------------------------------------------------------------------------------


def _canonical(kind: Kind, resource: object) -> str:
    if not isinstance(resource, str):
        raise InputError(f"{kind}: {quoted(resource)} is not text", f"write it like {_LIKE[kind]}")
    if kind is not Kind.NETWORK:
        return resource
    host, slash, path = resource.partition("/")
    if not host.isascii():
        raise _wrong_resource(kind, resource)
    if not _WITH_PORT.fullmatch(host):
        host = f"{host}:{_HTTPS}"
    return f"{host.lower()}/{path if slash else '**'}"


@memo(4096)
def resource_matcher(kind: Kind, resource: str) -> Matcher:
    """The test whether the resource covers another. Raises InputError when it is not a resource of its kind."""
    match kind:
        case Kind.FILE_READ | Kind.FILE_WRITE:
            return pattern.matcher(resource)
        case Kind.NETWORK:
            return _network_matcher(resource)
        case Kind.TOOL:
            if not _TOOL.fullmatch(resource.removesuffix(".*")):
                raise _wrong_resource(kind, resource)
            return _tool_matcher(resource)
        case Kind.SPAWN | Kind.SECRET:
            check_name(resource, kind)
            return resource.__eq__
        case _:
            assert_never(kind)


def _tool_matcher(resource: str) -> Matcher:
    if not resource.endswith(".*"):
        return resource.__eq__
    stem = resource.removesuffix("*")
    return lambda name: name.startswith(stem) and "." not in name[len(stem) :] and bool(_TOOL.fullmatch(name))


def _network_matcher(resource: str) -> Matcher:
    host, path = _split_network(resource)
    path_matches = pattern.matcher(path)
    stem = host.removeprefix("*")

    def is_covered(asked: str) -> bool:
        asked_host, slash, asked_path = asked.partition("/")
        label = asked_host.removesuffix(stem)
        is_host = asked_host == host or (host[0] == "*" and label != asked_host and bool(_LABEL.fullmatch(label)))
        return is_host and bool(slash) and path_matches(f"/{asked_path}")

    return is_covered


def _split_network(resource: str) -> tuple[str, str]:
    """HOST:PORT and the path pattern of a canonical network resource. Raises InputError."""
    host, slash, path = resource.partition("/")
    name, _, port = host.rpartition(":")
    if not slash or not _PORT.fullmatch(port) or int(port) > 65_535 or not _is_host(name):
        raise _wrong_resource(Kind.NETWORK, resource)
    return host, f"/{path}"


def _is_host(name: str) -> bool:
    if name.startswith("["):
        try:
            return f"[{ipaddress.IPv6Address(name[1:-1])}]" == name
        except ValueError:
            return False
    if len(name) > 253 or not _HOST.fullmatch(name):
        return False
    return not name.rpartition(".")[2].isdecimal() or bool(_ADDRESS.fullmatch(name))  # else inet_aton(3) would read it


def _resource_within(child: Capability, parent: Capability) -> bool:
    if child.kind is not parent.kind:
        return False
    if child.resource == parent.resource:
        return True
    match child.kind:
        case Kind.FILE_READ | Kind.FILE_WRITE:
            return pattern.is_within(child.resource, parent.resource)
        case Kind.NETWORK:
            (host, path), (parent_host, parent_path) = _split_network(child.resource), _split_network(parent.resource)
            is_host = host == parent_host or _network_matcher(f"{parent_host}/**")(f"{host}/")
            return is_host and pattern.is_within(path, parent_path)
        case Kind.TOOL:
            return not child.resource.endswith("*") and _tool_matcher(parent.resource)(child.resource)
        case Kind.SPAWN | Kind.SECRET:
            return False
        case _:
            assert_never(child.kind)


def _named(capability: Capability) -> str:
    """The resource as an operator names it: a path where it is one file or a whole directory."""
    return capability.root if capability.is_exact or capability.is_tree else capability.resource


def _meet(wanted: Capability, parent: Capability) -> Capability:
    constraints = wanted.constraints.meet(parent.constraints)
    return replace(wanted, constraints=constraints, as_owner=wanted.as_owner and parent.as_owner)


def _wrong_resource(kind: Kind, resource: str) -> InputError:
    return InputError(f"{kind}: {quoted(resource)} is not a resource of this kind", f"write it like {_LIKE[kind]}")
