"""`agentd configure`: sets up the model of a tier: its provider, its name, its key; or shows what is set up.

Invariant: nothing on the machine changes before the model has answered one small question with the very key that is to
be kept, and the new settings were read as the daemon reads them. A key is never shown, logged or passed to a program's
arguments or environment. It speaks with no daemon; systemd starts that again.
"""

import asyncio
import contextlib
import fcntl
import os
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from aaos.core.config import DEFAULT_PATH, MAX_FILE_BYTES, ModelSettings, Settings, load_settings
from aaos.core.errors import BusyError, InputError, SettingsError
from aaos.core.smallfile import read_small_file
from aaos.daemon.configure_ask import Terminal
from aaos.daemon.configure_check import answered
from aaos.daemon.configure_choice import MODELS_NAME, SETTINGS_NAME, Choice, models_drop_in, settings_drop_in
from aaos.daemon.configure_files import Change, put_in_place, remove
from aaos.daemon.configure_host import Host
from aaos.daemon.configure_keys import KeySource, KeyStore
from aaos.daemon.configure_questions import Wanted, wanted_choice
from aaos.llm.keys import Key, checked_key
from aaos.llm.local import Server, find_servers
from aaos.llm.providers import chosen
from aaos.llm.table import ModelEntry, ModelTable, ProviderEntry, load_table, read_table
from aaos.llm.types import Json


@dataclass(frozen=True, slots=True)
class Work:
    """One `agentd configure`: what was said, and what it acts on. Without a host nothing is sealed or restarted."""

    config: Path | None
    wanted: Wanted
    source: KeySource
    store: KeyStore
    terminal: Terminal | None = None
    host: Host | None = None

    @property
    def main(self) -> Path:
        """The file of the settings that the drop-in lies beside."""
        return self.config or DEFAULT_PATH

    def again(self, entry: ModelEntry) -> str:
        """The command that means the same model, without where its key is."""
        wanted = self.wanted
        said = {"config": self.config, "provider": entry.provider.name, "model": wanted.model or entry.model}
        said |= {"tier": wanted.tier}
        words = [str(word) for name, value in said.items() if value is not None for word in (f"--{name}", value)]
        return shlex.join(["agentd", "configure", *words])


def configured(work: Work, settings: Settings) -> dict[str, Json]:
    """Does it, and tells what was done. Raises AaosError: then nothing was changed, unless the error says so."""
    with _alone(work.main):
        table = _table(settings.models)
        choice = wanted_choice(work.wanted, table, terminal=work.terminal, find=_find)
        drop_ins = _drop_ins(work.main, settings.models.table, choice, table=table)
        _try_out(work.config, drop_ins, choice.entry)
        key, is_new = _key(work, choice.entry)
        took_s = asyncio.run(answered(choice.entry, key))
        kept = work.store.change(key) if key is not None and is_new else None
        put_in_place([*([] if kept is None else [kept]), *drop_ins])
        if key is not None and kept is not None:
            for copy in work.store.others(key.name, kept.path):
                remove(copy)
    return _told(choice.entry, took_s, kept=kept, drop_ins=drop_ins)


def _told(entry: ModelEntry, took_s: float, *, kept: Change | None, drop_ins: Sequence[Change]) -> dict[str, Json]:
    return {
        "tier": entry.tier.value,
        "name": entry.name,
        "provider": entry.provider.name,
        "model": entry.model,
        "url": entry.provider.url,
        "answered_in_s": took_s,
        "key": entry.provider.key,
        "key_file": None if kept is None else str(kept.path),
        "files": [str(change.path) for change in drop_ins],
    }


def _find(providers: Sequence[ProviderEntry]) -> Sequence[Server]:
    return asyncio.run(find_servers(providers))


def _table(models: ModelSettings) -> ModelTable:
    """The table as it is; without one, the providers that every aaOS knows."""
    if not models.table.exists() and not models.table.with_name(f"{models.table.name}.d").exists():
        return read_table(b"", str(models.table))
    return load_table(models.table)


def _drop_ins(main: Path, table_file: Path, choice: Choice, *, table: ModelTable) -> list[Change]:
    settings = main.with_name(f"{main.name}.d") / SETTINGS_NAME
    entry = choice.entry
    text = settings_drop_in(_before(settings), entry.tier, entry.name, source=str(settings))
    changes = [Change(settings, text, 0o644)]
    if choice.is_new:
        models = table_file.with_name(f"{table_file.name}.d") / MODELS_NAME
        text = models_drop_in(_before(models), choice, known=table.providers, source=str(models))
        changes.insert(0, Change(models, text, 0o644))
    return changes


def _before(path: Path) -> bytes | None:
    return read_small_file(path, max_bytes=MAX_FILE_BYTES) if path.is_symlink() or path.exists() else None


def _try_out(config: Path | None, changes: Sequence[Change], entry: ModelEntry) -> None:
    """Reads the settings as they would be. Raises SettingsError: they are wrong, or a later file overrules them."""
    drafts = {change.path: change.data for change in changes}
    models = load_settings(config, drafts=drafts).models
    if entry not in chosen(models, drafts=drafts):
        remedy = f"agentd configure --show tells which; take models.{entry.tier} out of it"
        raise SettingsError(f"models.{entry.tier} is set to something else by a later file", remedy)


def _key(work: Work, entry: ModelEntry) -> tuple[Key | None, bool]:
    """The provider's key, and whether it is to be kept: from where the operator says, asked for, or kept already."""
    provider = entry.provider
    name = provider.key
    if name is None:
        if work.source.is_given:
            remedy = f"leave the key out, or write key: {provider.name} below providers.{provider.name} in models.yaml"
            raise InputError(f"provider {provider.name} takes no key", remedy)
        return None, False
    if work.source.is_given:
        return work.source.read(name, command=work.again(entry)), True
    is_there = work.store.find(name) is not None
    if work.terminal is not None:
        hint = " (Enter takes the one that is there)" if is_there else ""
        if typed := work.terminal.ask_secret(f"key for {provider.name}{hint}:"):
            return checked_key(name, typed.encode("utf-8", "replace"), source="what was typed"), True
    if is_there and (kept := work.store.read(name)) is not None:
        return kept, False
    raise InputError(f"provider {provider.name} needs a key", f"sudo {work.again(entry)} --key-stdin")


@contextlib.contextmanager
def _alone(main: Path) -> Iterator[None]:
    """One at a time. Raises BusyError; SettingsError when the settings have no directory."""
    try:
        fd = os.open(main.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise SettingsError(f"{main.parent}: {error.strerror}", f"install -d -m 755 {main.parent}") from error
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError as error:
        raise BusyError(
            f"another agentd configure is at work on {main.parent}", "try again when it has ended"
        ) from error
    finally:
        os.close(fd)
