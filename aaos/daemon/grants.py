"""What the operator named becomes the envelope's capabilities: flags, paths and pages in the goal's own words (CAP-0).

Invariant: a path means what it leads to for the submitter, found with the submitter's rights and never the daemon's;
what is granted is exactly what was named. Blocking: file systems may be slow, call it in a thread.
"""

import os
import shlex
import stat
from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from ipaddress import IPv4Address, IPv6Address, ip_address

from aaos.broker.faults import fault
from aaos.broker.roots import resolve
from aaos.core.capability import Capability, Kind, parse_capabilities, path_resource
from aaos.core.constraint import Constraints
from aaos.core.envelope import Submitter
from aaos.core.errors import InputError, ToolError
from aaos.core.paths import normalise
from aaos.core.text import quoted, suggestion
from aaos.core.url import parse_url
from aaos.tools.admit import CONNECT
from aaos.tools.held import may_be_held
from aaos.tools.spec import Tool
from worker.wall.syscalls import acting_as

_TREE = "/**"
_WILD = "*?["
_MAX_TOLD = 8
_READING = ["GET", "HEAD"]
_LOOPBACK = {IPv4Address: "127.0.0.1", IPv6Address: "[::1]"}
_NET_LIKE = "write it like --net example.com or --net example.com:80/news/**"


@dataclass(frozen=True, slots=True)
class Named:
    """A path of the operator as it was found: `path` is where it leads, with all links followed."""

    path: str
    exists: bool
    is_dir: bool
    as_owner: bool
    owner: tuple[int, int] = (0, 0)  # uid and gid


class Paths:
    """Looks at paths as one submitter."""

    def __init__(self, submitter: Submitter, *, cwd: str) -> None:
        self._submitter = submitter
        self._cwd = cwd
        self._found: dict[str, Named] = {}

    def find(self, path: str) -> Named:
        """What `path` leads to; the last name need not exist. Raises InputError, DeniedError."""
        absolute = normalise(path, self._cwd)
        found = self._found.get(absolute)
        if found is None:
            found = self._found[absolute] = self._look(absolute)
        return found

    def existing(self, path: str) -> Named:
        """As `find`, for what is to be read. Raises InputError when nothing is there."""
        named = self.find(path)
        if not named.exists:
            raise InputError(f"{quoted(named.path)} does not exist", _look_remedy(named.path))
        return named

    def capability(self, kind: Kind, flag: str) -> Capability:
        """The grant of a `--read` or `--write` flag: a file, a directory with all below it, or a pattern of these.

        Raises InputError: it names the flag's value.
        """
        if flag.endswith(_TREE) and not any(char in flag.removesuffix(_TREE) for char in _WILD):
            named = self.find(flag.removesuffix(_TREE) or "/")
            if not named.is_dir:
                raise InputError(f"{quoted(named.path)} is not a directory", f"name the file itself: {named.path}")
            return granted(kind, named)
        if any(char in flag for char in _WILD):
            return self._pattern(kind, flag)
        return granted(kind, self.existing(flag) if kind is Kind.FILE_READ else self.find(flag))

    def group_of(self, flags: Iterable[str]) -> int:
        """The group of the first directory of the submitter's among those named, else the submitter's own: a worker is
        shown as one owner with one group."""
        for flag in flags:
            if not any(char in flag.removesuffix(_TREE) for char in _WILD):
                named = self.find(flag.removesuffix(_TREE) or "/")
                uid, gid = named.owner
                if named.is_dir and gid and uid == self._submitter.uid:
                    return gid
        return self._submitter.gid

    def _pattern(self, kind: Kind, flag: str) -> Capability:
        """A pattern keeps its wildcards; the literal directory before them is followed."""
        asked = Capability(kind, normalise(flag, self._cwd))
        above = self.find(asked.root)
        rest = asked.resource.removeprefix(path_resource(asked.root).rstrip("/"))
        return Capability(kind, f"{path_resource(above.path).rstrip('/')}{rest}")

    def _look(self, absolute: str) -> Named:
        try:
            path = resolve(absolute, self._submitter, act=acting_as)
            status = self._status(path)
        except ToolError as error:
            raise InputError(error.message, _look_remedy(absolute)) from error
        if status is None:
            return Named(path, exists=False, is_dir=False, as_owner=False)
        is_dir = stat.S_ISDIR(status.st_mode)
        as_owner = _needs_owner(status, self._submitter)
        return Named(path, exists=True, is_dir=is_dir, as_owner=as_owner, owner=(status.st_uid, status.st_gid))

    def _status(self, path: str) -> os.stat_result | None:
        with self._rights():
            try:
                return os.stat(path, follow_symlinks=False)
            except FileNotFoundError:
                return None
            except OSError as error:
                raise fault(error, path) from error

    def _rights(self) -> AbstractContextManager[None]:
        return acting_as(self._submitter.uid, self._submitter.gid, self._submitter.groups)


def _look_remedy(path: str) -> str:
    return f"look what is there: ls -l {shlex.quote(os.path.dirname(path))}"


def granted(kind: Kind, named: Named) -> Capability:
    """The capability for exactly what was found."""
    resource = path_resource(named.path, is_dir=named.is_dir)
    return Capability(kind, resource, as_owner=named.as_owner and kind is Kind.FILE_READ)


def host_capability(flag: str) -> Capability:
    """The grant of a `--net HOST[:PORT][/PATH]` flag: all of the host and port, or a pattern of paths there.

    Raises InputError: it names the flag's value.
    """
    if "://" in flag:
        raise InputError(f"--net {quoted(flag)} is a page", f"name its host: --net {parse_url(flag).everything}")
    try:
        (found,) = parse_capabilities({"network": flag, "action": _READING}, now_s=0.0)
    except InputError as error:
        raise InputError(f"--net: {error.message}", _NET_LIKE) from error
    _refuse_no_host(found.resource)
    return found


def _refuse_no_host(resource: str) -> None:
    """Raises InputError for an address that is never connected to, whatever is granted: it is of no single host."""
    host = resource.partition("/")[0].rpartition(":")[0].strip("[]")
    try:
        address = ip_address(host)
    except ValueError:
        return
    if address.is_unspecified:
        remedy = f"name one: {_LOOPBACK[type(address)]}"
        raise InputError(f"{host} is every address of this machine, and no host", remedy)
    if address.is_multicast or str(address) == "255.255.255.255":
        raise InputError(f"{host} is no address of one host", "name the host that is meant")


def connect_capability(flag: str) -> Capability:
    """The grant of a `--connect HOST[:PORT]` flag: what programs do there is not seen, so it is for them alone.

    Raises InputError: it names the flag's value.
    """
    if "/" in flag:
        message = f"--connect {quoted(flag)} has a path, which nobody sees in a program's connections"
        raise InputError(message, "write it like --connect example.com or --connect example.com:8443")
    try:
        (found,) = parse_capabilities({"network": flag, "action": [CONNECT]}, now_s=0.0)
    except InputError as error:
        raise InputError(f"--connect: {error.message}", "write it like --connect example.com") from error
    _refuse_no_host(found.resource)
    return found


def page_capability(url: str) -> Capability:
    """The grant of what a page's address names: reading all of its host and port, so that it may redirect there."""
    return host_capability(parse_url(url).everything)


def tool_capabilities(names: Iterable[str], known: Mapping[str, object]) -> tuple[Capability, ...]:
    """The grants of tools. Raises InputError with every name that there is not, and the nearest of each."""
    wanted = tuple(names)
    unknown = tuple(dict.fromkeys(name for name in wanted if name not in known))[:_MAX_TOLD]
    if unknown:
        missing = ", ".join(map(quoted, unknown))
        remedies = (suggestion(name, known) for name in unknown)
        raise InputError(f"there is no tool {missing}", "; ".join(dict.fromkeys(remedies)))
    return tuple(Capability(Kind.TOOL, name) for name in wanted)


def asked_first(names: Iterable[str], asked: Iterable[str], known: Mapping[str, Tool]) -> tuple[Capability, ...]:
    """The grants of tools, those of `asked` with an approval for each call.

    Raises InputError: a name that there is not, or of which nobody can be asked.
    """
    granted_tools, first = tool_capabilities(names, known), {one.resource for one in tool_capabilities(asked, known)}
    for name in sorted(first):
        if name not in {one.resource for one in granted_tools}:
            raise InputError(f"--ask {name}: the run is not granted that tool", f"grant it with: --tool {name}")
        if not may_be_held(known[name]):
            message = f"--ask {name}: it is carried out by the worker that asks for it, which an approved call never is"
            raise InputError(message, "ask for a tool that writes, runs a program or fetches: see agentd tools")
    limits = Constraints(is_approved_first=True)
    return tuple(replace(one, constraints=limits) if one.resource in first else one for one in granted_tools)


def _needs_owner(status: os.stat_result, submitter: Submitter) -> bool:
    """Whether it is read as its owner: a file that the submitter named and owns (others may not even reach it), or a
    directory of the submitter that others cannot read.

    A private directory of root is never opened up as a whole: root names the files.
    """
    if status.st_uid != submitter.uid:
        return False
    if stat.S_ISDIR(status.st_mode):
        return submitter.uid != 0 and not (status.st_mode & stat.S_IROTH and status.st_mode & stat.S_IXOTH)
    return True
