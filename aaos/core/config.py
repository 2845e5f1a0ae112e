"""The settings of agentd: `/etc/aaos/agentd.toml`, then `agentd.toml.d/*.toml` in the order of their names.

Invariant: a `Settings` is complete, typed and checked; an unknown key, a wrong type or a number out of range is an
error that names file and key. Nothing in the environment is a setting; what is read there is where systemd has put the
credentials of the service, and the one variable that an operator names to `agentd configure`.
"""

import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from aaos.core.errors import SettingsError
from aaos.core.layers import ALL_LAYERS, Layer
from aaos.core.schema import read_model
from aaos.core.smallfile import NO_DRAFTS, Drafts, drop_ins, read_small_file
from aaos.core.text import quoted

DEFAULT_PATH = Path("/etc/aaos/agentd.toml")
MAX_FILE_BYTES = 65_536
MIN_LANDLOCK_ABI = 6  # Linux 6.12
MIB = 2**20


def _absolute(path: Path) -> Path:
    if not path.is_absolute() or ".." in path.parts or "\0" in str(path):
        raise ValueError(f"{quoted(str(path))} is not an absolute path without '..'")
    return path


AbsolutePath = Annotated[Path, AfterValidator(_absolute)]


Small = Annotated[int, Field(ge=1, le=65_536)]
Seconds = Annotated[int, Field(ge=1, le=30 * 86_400)]
Bytes = Annotated[int, Field(ge=4096, le=2**40)]
_Name = Annotated[str, Field(min_length=1, max_length=64)]


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, strict=True, extra="forbid", allow_inf_nan=False)


class DaemonSettings(_Section):
    """`[daemon]`: where agentd listens and keeps its state."""

    socket: AbsolutePath = Path("/run/agentd/agentd.sock")
    state_dir: AbsolutePath = Path("/var/lib/aaos")
    socket_group: Annotated[str, Field(pattern=r"^[a-z_][a-z0-9_-]{0,31}$")] = "aaos"
    admin_group: Annotated[str, Field(pattern=r"^[a-z_][a-z0-9_-]{0,31}$")] = "aaos-admin"


class ConfinementSettings(_Section):
    """`[confinement]`: the layers that must be confirmed before an agent runs."""

    require: frozenset[Layer] = ALL_LAYERS
    landlock_abi: Annotated[int, Field(ge=MIN_LANDLOCK_ABI, le=64)] = MIN_LANDLOCK_ABI

    @model_validator(mode="after")
    def _all_layers(self) -> "ConfinementSettings":
        if missing := ALL_LAYERS - self.require:
            names = ", ".join(sorted(missing))
            raise ValueError(f"require lacks {names}; only `agentd run --without LAYER` does without a layer")
        return self


class WorkerSettings(_Section):
    """`[worker]`: the reserved range of ids and what one worker may use."""

    uid_first: Annotated[int, Field(ge=65_536, le=2**32 - 65_537)] = 1_900_000_000
    uid_count: Annotated[int, Field(ge=16, le=2**24)] = 65_536
    memory_bytes: Annotated[int, Field(ge=16 * MIB, le=2**40)] = 256 * MIB
    pids: Annotated[int, Field(ge=1, le=4096)] = 16
    nofile: Annotated[int, Field(ge=96, le=65_536)] = 128
    fsize_bytes: Bytes = 8 * MIB
    tmpfs_bytes: Bytes = MIB
    io_bytes_per_s: Annotated[int, Field(ge=65_536, le=2**40)] = 256 * MIB  # of each disk, each of reading and writing
    start_timeout_s: Annotated[int, Field(ge=1, le=300)] = 10
    parked: Annotated[int, Field(ge=0, le=256)] = 16  # kept ready at most; 0 makes each worker when it is asked for

    @model_validator(mode="after")
    def _range_exists(self) -> "WorkerSettings":
        if self.uid_first + self.uid_count > 2**32 - 1:
            raise ValueError("uid_first + uid_count goes beyond the last user id")
        return self


class LimitSettings(_Section):
    """`[limits]`: bounds of the machine, of a run, of a subtask and of a call."""

    max_runs: Small = 64
    max_agents: Small = 1024
    run_agents: Small = 128  # subtasks of one plan
    run_calls: Annotated[int, Field(ge=1, le=2**31 - 1)] = 4096  # tool calls of all agents of a run
    run_wall_s: Seconds = 3600
    approval_s: Seconds = 3600  # how long a call waits for an approval
    bound_entries: Annotated[int, Field(ge=1, le=2**24)] = 20_000  # of directories, of one approved call of a program
    bound_bytes: Bytes = 256 * MIB
    subtask_wall_s: Seconds = 600
    max_parallel: Annotated[int, Field(ge=1, le=1024)] = 16
    max_turns: Small = 64
    max_replans: Annotated[int, Field(ge=0, le=16)] = 2
    call_timeout_s: Annotated[int, Field(ge=1, le=86_400)] = 60
    program_wall_s: Annotated[int, Field(ge=1, le=86_400)] = 600  # the most that a wrapper's limits.wall_s may be
    run_tokens: Annotated[int, Field(ge=1, le=2**31 - 1)] = 100_000_000  # the most that --max-tokens may ask for
    run_usd: Annotated[float, Field(gt=0, le=1_000_000)] = 100.0  # the most that --max-usd may ask for


class WorkspaceSettings(_Section):
    """`[workspaces]`: file systems of runs of their own. `spare_bytes` of the disk are left free by all of them."""

    default_bytes: Annotated[int, Field(ge=16 * MIB, le=2**44)] = 1024 * MIB
    max_bytes: Annotated[int, Field(ge=16 * MIB, le=2**44)] = 16 * 1024 * MIB
    user_bytes: Annotated[int, Field(ge=16 * MIB, le=2**46)] = 32 * 1024 * MIB  # those of one user together
    spare_bytes: Annotated[int, Field(ge=0, le=2**46)] = 512 * MIB
    keep_days: Annotated[int, Field(ge=0, le=3650)] = 7  # after the end of the run


class EgressSettings(_Section):
    """`[egress]`: the process that speaks with the network. Without `user` it has the last id of the workers' range."""

    user: Annotated[str, Field(pattern=r"^[a-z_][a-z0-9_-]{0,31}$")] | None = None
    max_parallel: Annotated[int, Field(ge=1, le=64)] = 32
    timeout_s: Annotated[int, Field(ge=1, le=600)] = 45
    max_body_bytes: Bytes = 4 * MIB
    max_cell_bytes: Bytes = 1024 * MIB  # that one cell may move, both ways together
    authorities: AbsolutePath = Path("/etc/ssl/certs/ca-certificates.crt")
    secrets_dir: AbsolutePath = Path("/etc/aaos/secrets.d")


class AuditSettings(_Section):
    """`[audit]`: the copies of the audit; the database is always written."""

    journal: bool = True
    jsonl: bool = True


class RolesSettings(_Section):
    """`[roles]`: where roles are; a later directory overrides an earlier one."""

    dirs: Annotated[tuple[AbsolutePath, ...], Field(min_length=1, max_length=16)] = (
        Path("/usr/share/aaos/roles"),
        Path("/etc/aaos/roles"),
    )


class WrappersSettings(_Section):
    """`[wrappers]`: where wrapped programs are; a later directory overrides an earlier one."""

    dirs: Annotated[tuple[AbsolutePath, ...], Field(min_length=1, max_length=16)] = (
        Path("/usr/share/aaos/wrappers"),
        Path("/etc/aaos/wrappers"),
    )


class ModelSettings(_Section):
    """`[models]`: the table of models, and which of them answers for each tier; a tier without a name is not set up."""

    table: AbsolutePath = Path("/etc/aaos/models.yaml")
    keys_dir: AbsolutePath = Path("/etc/aaos/keys")
    T1: _Name | None = None
    T2: _Name | None = None
    T3: _Name | None = None


class Settings(_Section):
    """All settings; each section may be left out."""

    daemon: DaemonSettings = DaemonSettings()
    confinement: ConfinementSettings = ConfinementSettings()
    worker: WorkerSettings = WorkerSettings()
    limits: LimitSettings = LimitSettings()
    workspaces: WorkspaceSettings = WorkspaceSettings()
    egress: EgressSettings = EgressSettings()
    audit: AuditSettings = AuditSettings()
    roles: RolesSettings = RolesSettings()
    wrappers: WrappersSettings = WrappersSettings()
    models: ModelSettings = ModelSettings()


def load_settings(path: Path | None = None, *, drafts: Drafts = NO_DRAFTS) -> Settings:
    """The settings of `path` and its drop-in directory (`path` with `.d` appended); a drop-in wins over earlier ones.

    Without `path` it is `/etc/aaos/agentd.toml`, which may be missing; a named file must exist. `drafts` are files as
    they would be, to be tried before they are put in place.

    Raises:
        SettingsError: names the file and the key, with the nearest known one.
    """
    merged: dict[str, object] = {}
    for _, document in documents(path, drafts=drafts):
        merged = _merge(merged, document)
    return read_model(Settings, merged, source=str(path or DEFAULT_PATH))


def documents(path: Path | None = None, *, drafts: Drafts = NO_DRAFTS) -> list[tuple[Path, dict[str, object]]]:
    """What each file of the settings says by itself, in the order in which they win. Raises SettingsError."""
    main = path or DEFAULT_PATH
    files = [main] if path is not None or main.is_symlink() or main.exists() else []
    found = []
    for file in (*files, *drop_ins(main, ".toml", drafts=drafts)):
        document = _parse(file, drafts)
        read_model(Settings, document, source=str(file))  # so that an error names its own file
        found.append((file, document))
    return found


def credentials_dir() -> Path | None:
    """Where systemd has put the credentials of this service, if it did. Source: systemd.exec(5), LoadCredential=."""
    text = os.environ.get("CREDENTIALS_DIRECTORY", "")
    return Path(text) if text.startswith("/") else None


def variable(name: str) -> str | None:
    """A variable that an operator has named on the command line of `agentd configure`, and nobody else."""
    return os.environ.get(name)


def _parse(file: Path, drafts: Drafts) -> dict[str, object]:
    data = read_small_file(file, max_bytes=MAX_FILE_BYTES, drafts=drafts)
    try:
        return tomllib.loads(data.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise SettingsError(f"{file}: not TOML: {quoted(str(error), max_chars=200)}", f"correct {file}") from error


def _merge(base: Mapping[str, object], over: Mapping[str, object]) -> dict[str, object]:
    merged = dict(base)
    for key, value in over.items():
        before = merged.get(key)
        merged[key] = _merge(before, value) if isinstance(before, dict) and isinstance(value, dict) else value
    return merged
