"""Keys of providers: read once, from a systemd credential or a file that only root can read, and then only in memory.

Invariant: a key is text in no place but its `Key`, which shows, formats and pickles as its name; a file that others
could read or replace is refused with the command that mends it. What a key may consist of cannot break out of a header.
Source: systemd.exec(5) LoadCredential=; RFC 9110, section 5.5 (field values).
"""

import os
import re
import stat
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from aaos.core.errors import AaosError, ProviderError
from aaos.core.ids import check_name

MAX_KEY_BYTES = 4_096
MIN_KEY_CHARS = 8
ROOT = 0
CREDENTIAL = "aaos-key-"  # before a key's name it is the name of its systemd credential

KEY_FORM = f"{MIN_KEY_CHARS} to {MAX_KEY_BYTES} visible ASCII characters on one line"

_KEY = re.compile(rf"[\x21-\x7e]{{{MIN_KEY_CHARS},{MAX_KEY_BYTES}}}", re.ASCII)


class Key:
    """A secret with a name. Only `reveal` gives it, to whoever writes the header of a request."""

    __slots__ = ("_secret", "name")

    def __init__(self, name: str, secret: str) -> None:
        self.name = name
        self._secret = secret

    def reveal(self) -> str:
        """The secret itself: for a request's header and for finding it in texts, for nothing else."""
        return self._secret

    def __repr__(self) -> str:
        return f"<key {self.name}>"

    __str__ = __repr__

    def __format__(self, spec: str) -> str:
        return format(repr(self), spec)

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise TypeError(f"{self!r} is not copied, pickled or sent")


@dataclass(frozen=True, slots=True)
class KeyPlaces:
    """Where keys are: the credentials that systemd handed over, then files named after the key in `directory`.

    `stores` are where systemd would take a credential from; who looks on without being the service names them.
    """

    directory: Path
    credentials: Path | None = None
    owner: int = ROOT
    stores: tuple[Path, ...] = ()

    def file(self, name: str) -> Path:
        """Where the key is, or where it belongs. Raises InputError for what is no name."""
        check_name(name, "key")
        handed = self.credentials / f"{CREDENTIAL}{name}" if self.credentials is not None else None
        return handed if handed is not None and os.path.lexists(handed) else self.directory / name

    def check(self, name: str) -> Path:
        """Looks at the key's file without reading it. Raises ProviderError with the remedy."""
        path = self.file(name)
        kept = (store / f"{CREDENTIAL}{name}" for store in self.stores)
        if (credential := next(filter(os.path.lexists, kept), None)) is not None:
            return credential
        os.close(_opened(path, self.owner))
        return path


class Keys:
    """The keys of this daemon. One that could not be read is an error where it is needed, not before."""

    def __init__(self, keys: Iterable[Key] = (), *, errors: Iterable[tuple[str, AaosError]] = ()) -> None:
        self._keys = {key.name: key for key in keys}
        self._errors = dict(errors)

    def get(self, name: str) -> Key:
        """The key. Raises ProviderError: missing, or kept where others could read it."""
        key = self._keys.get(name)
        if key is not None:
            return key
        error = self._errors.get(name)
        if error is not None:
            raise ProviderError(error.message, error.remedy)
        raise ProviderError(f"key {name} was not read when the daemon started", "start agentd again")

    @property
    def errors(self) -> dict[str, AaosError]:
        """Why keys could not be read, by name."""
        return dict(self._errors)


def load_keys(names: Iterable[str], places: KeyPlaces) -> Keys:
    """Reads the named keys. Call it after every process that must not know them was started."""
    keys: list[Key] = []
    errors: list[tuple[str, AaosError]] = []
    for name in dict.fromkeys(names):
        try:
            keys.append(_read(name, places))
        except AaosError as error:
            errors.append((name, error))
    return Keys(keys, errors=errors)


def checked_key(name: str, data: bytes, *, source: str) -> Key:
    """The key in what was read from `source`. Raises ProviderError, which does not show what it was."""
    secret = data.decode("ascii", "replace").rstrip("\r\n")
    if not _KEY.fullmatch(secret):
        raise ProviderError(f"{source}: does not hold a key, which is {KEY_FORM}", how_to_write(name))
    return Key(name, secret)


def _read(name: str, places: KeyPlaces) -> Key:
    path = places.file(name)
    fd = _opened(path, places.owner)
    try:
        data = os.read(fd, MAX_KEY_BYTES + 2)
    except OSError as error:
        raise ProviderError(f"{path}: cannot be read: {error.strerror}", f"check it with: ls -l {path}") from error
    finally:
        os.close(fd)
    return checked_key(name, data, source=str(path))


def _opened(path: Path, owner: int) -> int:
    """An fd of a file that nobody but `owner` can read or replace."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NOCTTY)
    except OSError as error:
        raise ProviderError(f"{path}: the key cannot be opened: {error.strerror}", _how(path)) from error
    try:
        _refuse_loose(os.fstat(fd), path, owner)
    except BaseException:
        os.close(fd)
        raise
    return fd


def _refuse_loose(status: os.stat_result, path: Path, owner: int) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise ProviderError(f"{path}: is not a regular file", _how(path))
    if status.st_uid != owner:
        raise ProviderError(f"{path}: belongs to uid {status.st_uid}, not to root", f"chown root: {path}")
    if status.st_mode & 0o077:
        mode = stat.S_IMODE(status.st_mode)
        raise ProviderError(f"{path}: mode {mode:04o} lets others read the key", f"chmod 600 {path}")


def how_to_write(name: str) -> str:
    """What an operator types to put a key in its place; it asks for the key, so that no shell history has it."""
    return f"give key {name} with: sudo agentd configure"


def _how(path: Path) -> str:
    return how_to_write(path.name.removeprefix(CREDENTIAL))
