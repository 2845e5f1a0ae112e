"""Keys for `agentd configure`: taken from where the operator says, kept in the one place where the daemon looks first.

Invariant: a key is never an argument, never shown, never in a file that others can read; of one key there is one copy.
"""

import sys
from dataclasses import dataclass, replace
from pathlib import Path

from aaos.core.config import variable
from aaos.core.errors import InputError
from aaos.core.smallfile import read_small_file
from aaos.daemon.configure_files import Change
from aaos.daemon.configure_host import Host
from aaos.llm.keys import MAX_KEY_BYTES, Key, KeyPlaces, checked_key, load_keys


@dataclass(frozen=True, slots=True)
class KeySource:
    """Where the command line says that a key is: at most one of these."""

    variable: str | None = None
    file: Path | None = None
    is_stdin: bool = False

    @property
    def is_given(self) -> bool:
        """Whether it says anything."""
        return bool(self.variable or self.file or self.is_stdin)

    def read(self, name: str, *, command: str = "agentd configure") -> Key:
        """The key under its name. Raises InputError, SettingsError, ProviderError; none of them shows it.

        `command` is what the operator types to try again, without where the key is.
        """
        if self.variable is not None:
            return _from_variable(name, self.variable, command)
        if self.file is not None:
            data = read_small_file(self.file, max_bytes=MAX_KEY_BYTES + 2)
            return checked_key(name, data, source=str(self.file))
        return checked_key(name, sys.stdin.buffer.read(MAX_KEY_BYTES + 3), source="standard input")


@dataclass(frozen=True, slots=True)
class KeyStore:
    """Where keys are kept. Without a host, which is for a daemon of its own settings, in files alone."""

    places: KeyPlaces
    host: Host | None = None

    def find(self, name: str) -> Path | None:
        """Where the key is, if it is anywhere. Raises PermissionError for who may not look."""
        return next((place for place in self._all(name) if _is_there(place)), None)

    def read(self, name: str) -> Key | None:
        """The key that is kept, if one is. Raises AaosError: it can't be used."""
        if self.host is not None and (sealed := self.host.unseal(name)) is not None:
            return sealed
        if self.find(name) is None:
            return None
        plain = None if self.host is None else self.host.plain_credstore
        return load_keys([name], replace(self.places, credentials=plain)).get(name)

    def change(self, key: Key) -> Change:
        """How the key gets to its place: sealed where the machine can, or else a file that only root can read."""
        sealed = self.host.seal(key) if self.host is not None and self.host.may_seal() else None
        if self.host is not None and sealed is not None:
            return Change(self.host.sealed(key.name), sealed, 0o600)
        return Change(self.places.directory / key.name, f"{key.reveal()}\n".encode(), 0o600)

    def others(self, name: str, kept: Path) -> list[Path]:
        """Copies of the key that are not the one that was kept."""
        return [place for place in self._all(name) if place != kept and _is_there(place)]

    def _all(self, name: str) -> tuple[Path, ...]:
        return (*(self.host.places(name) if self.host is not None else ()), self.places.directory / name)


def _from_variable(name: str, given: str, command: str) -> Key:
    text = variable(given)
    if text is None:
        remedy = f"sudo --preserve-env={given} {command} --key-from-env {given}"
        raise InputError(f"--key-from-env {given}: there is no such variable here", remedy)
    return checked_key(name, text.encode("utf-8", "replace"), source=f"variable {given}")


def _is_there(path: Path) -> bool:
    try:
        path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    return True
