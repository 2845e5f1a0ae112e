"""From what was granted to what one process may do: a pure function of values.

Invariant: a policy names everything that is allowed; only kernel-held roots become mounts; id 0 is never mapped; all
id-mapped mounts of a worker have one owner, which is the worker's uid inside.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass

from aaos.core.config import Settings
from aaos.core.errors import ConfinementError
from aaos.core.layers import Layer
from aaos.core.paths import is_normal
from aaos.core.ports import Held, Root
from worker import abi
from worker.cell import frames

INSIDE_ID = 1000  # what a worker without id-mapped roots sees as its own id
MAX_MOUNTS = 32  # each travels as an fd of one frame
MAX_COVERED = 256
OWN_MOUNTS = ("/dev", "/proc")  # the wall's, which nothing may hide
HIDDEN = ("/tmp", "/usr", "/etc")  # noqa: S108  # a cell's own, which a granted directory would hide as a whole
NOT_IN_CELLS = frozenset({Layer.MDWE})  # it stays over execve(2), and programs that compile as they run need it not
STRUCTURAL = frozenset(
    {Layer.USERNS, Layer.MOUNTNS, Layer.PIDNS, Layer.CAPABILITIES, Layer.NO_NEW_PRIVS}
)  # nothing could be built without them, so they cannot be left out


@dataclass(frozen=True, slots=True)
class Covered:
    """A kernel-held root and the control files below it that exist, relative to it."""

    root: Root
    control_paths: tuple[str, ...]


def may_map(root: Root) -> bool:
    """Whether the root's owner may be shown to a worker as itself."""
    return root.owner_uid != 0 and root.owner_gid != 0


def check_left_out(without: frozenset[Layer]) -> None:
    """Raises ConfinementError for a layer that the wall cannot do without."""
    if structural := sorted(without & STRUCTURAL):
        raise ConfinementError(
            f"{', '.join(structural)}: nothing can be confined without this layer",
            f"leave it in: agentd run --without takes {', '.join(sorted(set(Layer) - STRUCTURAL))}",
        )


def parked_policy(
    owner: tuple[int, int],
    *,
    host_id: int,
    layers: frozenset[Layer],
    settings: Settings,
    profile: str = "worker",
) -> abi.Policy:
    """All of a policy that is not one agent's own: what a worker, or a cell, is parked with. `owner` is its uid and gid
    inside."""
    limits = settings.worker
    if profile in frames.PROFILES:
        layers -= NOT_IN_CELLS
    return abi.Policy(
        agent="",
        profile=profile,
        entry="",
        layers=tuple(sorted(layers)),
        host_uid=host_id,
        host_gid=host_id,
        inside_uid=owner[0],
        inside_gid=owner[1],
        mounts=(),
        landlock_abi=settings.confinement.landlock_abi,
        nofile=limits.nofile,
        fsize_bytes=limits.fsize_bytes,
        memory_bytes=limits.memory_bytes,
        pids=limits.pids,
        tmpfs_bytes=limits.tmpfs_bytes,
    )


def plan_mounts(grants: Sequence[Covered], *, in_cell: bool = False) -> tuple[tuple[int, int], tuple[abi.Mount, ...]]:
    """The owner that a worker with these grants must be, and a mount for each kernel-held root; in a cell for each.

    Raises ConfinementError when they do not share one owner, one of them is id 0, or one cannot be a mount.
    """
    kernel_held = [grant for grant in grants if in_cell or grant.root.held is Held.KERNEL]
    _check_places(kernel_held, in_cell=in_cell)
    owner = _owner([grant.root for grant in kernel_held])
    return owner, tuple(_mount(grant) for grant in sorted(kernel_held, key=lambda grant: grant.root.path))


def policy_digest(policy: abi.Policy) -> str:
    """sha256 of the policy's canonical JSON, for audit and attestation."""
    document = json.dumps(abi.policy_to_json(policy), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(document.encode()).hexdigest()


def _check_places(grants: Sequence[Covered], *, in_cell: bool) -> None:
    paths = [grant.root.path for grant in grants]
    for grant in grants:
        path = grant.root.path
        if path in ("/", *HIDDEN * in_cell) or any(path == own or path.startswith(f"{own}/") for own in OWN_MOUNTS):
            remedy = "grant the directories that are needed in it"
            raise ConfinementError(f"{path} cannot be mounted for a worker", remedy)
        may_be_mounted = grant.root.is_dir or (in_cell and not grant.root.writable)
        if not is_normal(path) or not may_be_mounted or paths.count(path) > 1:
            raise ConfinementError(f"{path} is not one directory with one name", "grant a directory by its plain path")
    if len(paths) > MAX_MOUNTS:
        remedy = "grant a directory above"
        raise ConfinementError(f"{len(paths)} roots for one agent, {MAX_MOUNTS} can be mounted", remedy)
    if (covered := sum(len(grant.control_paths) for grant in grants)) > MAX_COVERED:
        message = f"{covered} control files (.git and the like) in the granted roots, {MAX_COVERED} can be covered"
        raise ConfinementError(message, "name a subdirectory")


def _mount(grant: Covered) -> abi.Mount:
    root = grant.root
    return abi.Mount(
        path=root.path,
        is_dir=root.is_dir,
        writable=root.writable,
        idmapped=_is_mapped(root),
        covered=grant.control_paths if root.writable else (),
    )


def _is_mapped(root: Root) -> bool:
    return root.writable or (root.as_owner and may_map(root))


def _owner(roots: Sequence[Root]) -> tuple[int, int]:
    owners = {(int(root.owner_uid), int(root.owner_gid)) for root in roots if _is_mapped(root)}
    if len(owners) > 1:
        raise ConfinementError("two granted roots have different owners", "grant the roots of one owner per agent")
    owner = owners.pop() if owners else (INSIDE_ID, INSIDE_ID)
    if 0 in owner:
        raise ConfinementError("a root that belongs to id 0 cannot be shown as its owner", "grant it file by file")
    return owner
