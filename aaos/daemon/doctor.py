"""What is well with this machine and this daemon, and what is not, each with its remedy. Blocking: call it in a thread.

Invariant: every finding that is not ok says what to type. It must change nothing.
"""

import errno
import os
import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from aaos.broker import images
from aaos.core.config import ModelSettings, Settings, credentials_dir
from aaos.core.errors import AaosError
from aaos.core.role import Tier
from aaos.core.rolefile import RoleSet
from aaos.core.rpc import Json
from aaos.daemon import filesystems
from aaos.daemon.listen import group_id
from aaos.daemon.selftest import last
from aaos.llm.keys import KeyPlaces
from aaos.llm.providers import chosen
from aaos.llm.table import ModelEntry
from aaos.sandbox.ids import egress_ids
from aaos.sandbox.probe import Finding as ProbeFinding
from aaos.sandbox.trusted import require_trusted
from aaos.store.faults import storage_error
from aaos.store.statedir import DATABASE
from aaos.tools.offered import offer
from aaos.tools.wrapper import Wrapper
from aaos.tools.wrapperfile import WrapperSet

MIN_FREE_BYTES = 64 * 2**20


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at; `remedy` is empty when all is well."""

    name: str
    is_ok: bool
    detail: str
    remedy: str = ""

    def view(self) -> dict[str, Json]:
        """As the operator's socket shows it."""
        return {"name": self.name, "ok": self.is_ok, "detail": self.detail, "remedy": self.remedy}


class Doctor:
    """Looks at the machine. `probe` gives the findings on the layers of the wall, `notes` what start-up has found,
    `faults` what is wrong with workspaces; `stores` is where the service would be given keys from, without one."""

    def __init__(
        self,
        settings: Settings,
        roles: RoleSet,
        wrappers: WrapperSet,
        *,
        state_dir: Path,
        probe: Callable[[], Sequence[ProbeFinding]],
        notes: Sequence[str] = (),
        faults: Callable[[], Sequence[AaosError]] = tuple,
        stores: tuple[Path, ...] = (),
    ) -> None:
        self._settings = settings
        self._roles = roles
        self._wrappers = wrappers
        self._state_dir = state_dir
        self._probe = probe
        self._notes = tuple(notes)
        self._faults = faults
        self._places = KeyPlaces(settings.models.keys_dir, credentials_dir(), stores=stores)

    def examine(self) -> tuple[Finding, ...]:
        """All findings, the wall first."""
        return (
            *(Finding(one.name, one.ok, one.detail, "" if one.ok else one.remedy) for one in self._probe()),
            self_test(self._state_dir, time.time()),
            disk(self._state_dir, shutil.disk_usage(self._state_dir).free, is_read_only=_is_read_only(self._state_dir)),
            Finding("file systems", True, filesystems.told()),
            workspaces(images.missing()),
            *(Finding("workspaces", False, error.message, error.remedy) for error in self._faults()),
            self._group(),
            egress_user(self._settings),
            *self._role_findings(),
            *wrapper_findings(self._wrappers, most_wall_s=self._settings.limits.program_wall_s),
            *tier_findings(self._settings.models, self._places),
            *(Finding("state", False, note, f"look at {self._state_dir}") for note in self._notes),
        )

    def _group(self) -> Finding:
        name, admins = self._settings.daemon.socket_group, self._settings.daemon.admin_group
        if group_id(name) is not None:
            others = f", those of {admins} administer" if group_id(admins) is not None else ""
            return Finding("group", True, f"members of {name} may submit{others}")
        own = f"uid {os.geteuid()} and " if os.geteuid() else ""
        return Finding("group", True, f"there is no group {name}: only {own}root may submit")

    def _role_findings(self) -> tuple[Finding, ...]:
        if not self._roles.roles:
            places = ", ".join(map(str, self._settings.roles.dirs))
            return (
                Finding("roles", False, f"no role in {places}", "reinstall aaos, or name their place in roles.dirs"),
            )
        known = Finding("roles", True, f"{len(self._roles.roles)} roles: {', '.join(self._roles.roles)}")
        return (known, *(Finding("roles", False, error.message, error.remedy) for error in self._roles.refused))


def egress_user(settings: Settings) -> Finding:
    """As whom the process works that reads pages; without that user none is fetched, and all else is done."""
    try:
        uid, _ = egress_ids(settings)
    except AaosError as error:
        return Finding("egress", False, error.message, error.remedy)
    return Finding("egress", True, f"pages are fetched as {settings.egress.user or 'nobody else'} (uid {uid})")


def wrapper_findings(wrappers: WrapperSet, *, most_wall_s: int) -> tuple[Finding, ...]:
    """Wrapped programs that are there, and the package of each that is not: nobody has to have them."""
    offered = offer(wrappers.wrappers.values(), most_wall_s=most_wall_s)
    names = ", ".join(offered.tools)
    known = Finding("programs", True, f"{len(offered.tools)} wrapped programs{': ' if names else ''}{names}")
    packages = " ".join(sorted({one.package for one in offered.missing}))
    missing = ", ".join(f"{one.name} ({one.program})" for one in offered.missing)
    absent = (Finding("programs", True, f"not there: {missing}; to have them: apt-get install {packages}"),)
    loose = _loose(one.wrapper for one in offered.tools.values())
    wrong = (Finding("wrappers", False, error.message, error.remedy) for error in (*wrappers.refused, *loose))
    return (known, *(absent if offered.missing else ()), *wrong)


def _loose(wrappers: Iterable[Wrapper]) -> Iterator[AaosError]:
    """What wrappers name and others than root can change: a call would be refused."""
    named = {path for one in wrappers for path in (one.program, *one.exec_paths, *one.readable)}
    for path in sorted(named):
        try:
            require_trusted(path)
        except AaosError as error:
            yield error


def tier_findings(settings: ModelSettings, places: KeyPlaces) -> tuple[Finding, ...]:
    """One finding for each tier: which model answers, and whether its key is there; no key is read."""
    known = Finding("tier T0", True, "known shapes of goals are planned and executed by code")
    try:
        entries = {entry.tier: entry for entry in chosen(settings)}
    except AaosError as error:
        return (known, Finding("tiers", False, error.message, error.remedy))
    return (known, *(_tier_finding(tier, entries.get(tier), places) for tier in Tier if tier is not Tier.T0))


def _tier_finding(tier: Tier, entry: ModelEntry | None, places: KeyPlaces) -> Finding:
    name = f"tier {tier}"
    if entry is None:
        return Finding(name, True, f"not set up; to choose a model: sudo agentd configure --tier {tier}")
    provider, terms = entry.provider, entry.terms
    price = "" if terms.input_usd or terms.output_usd else ", without a price: only its tokens are counted"
    detail = f"{entry.name}: {entry.model} at {provider.url}{price}"
    if provider.key is None:
        return Finding(name, True, f"{detail}, no key needed")
    try:
        return Finding(name, True, f"{detail}, key {provider.key} in {places.check(provider.key)}")
    except AaosError as error:
        return Finding(name, False, f"{detail}: {error.message}", error.remedy)


def self_test(state_dir: Path, now_s: float) -> Finding:
    """What the last self-test came to; that there was none is no fault."""
    name, kept = "self-test", last(state_dir)
    if kept is None:
        return Finding(name, True, "not run yet; to run it: sudo agentd selftest")
    when = f"{max(now_s - kept.time_s, 0) / 3600:.0f} h ago, by version {kept.version}"
    if kept.failed or not kept.probes:
        detail = f"{kept.failed} of {kept.probes} probes were not stopped, {when}: {'; '.join(kept.named)}"
        return Finding(name, False, detail, "see which: sudo agentd selftest; run nothing on this machine until then")
    return Finding(name, True, f"{kept.probes} probes, all stopped, {when}")


def workspaces(missing: str) -> Finding:
    """Whether runs can have workspaces: nobody has to."""
    return Finding("workspaces", True, f"not to be had: {missing}" if missing else "ext4 images on loop devices")


def disk(path: Path, free_bytes: int, *, is_read_only: bool) -> Finding:
    """Whether the state can be written, and has room to grow."""
    if is_read_only:
        error = storage_error(OSError(errno.EROFS, os.strerror(errno.EROFS)), path / DATABASE)
        return Finding("disk", False, error.message, error.remedy)
    detail = f"{free_bytes // 2**20} MiB free at {path}"
    if free_bytes >= MIN_FREE_BYTES:
        return Finding("disk", True, detail)
    return Finding("disk", False, detail, f"free space: du -xh {path} | sort -h | tail")


def _is_read_only(path: Path) -> bool:
    """Of the file system or of the place where it is mounted, which root's rights do not change."""
    return bool(os.statvfs(path).f_flag & os.ST_RDONLY)
