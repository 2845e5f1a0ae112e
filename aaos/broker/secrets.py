"""Secrets that agentd sends for agents: each is for one host and one header, and an agent knows its name alone.

Invariant: a secret is in the hands of root (a file of its own, beside a file that says what it is for), is read when it
is used, goes over TLS to its own host and nowhere else, and is taken out of whatever comes back, before that is cut.
"""

import asyncio
import base64
import grp
import pwd
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from aaos.core.cell import HostPort, PlacedSecret
from aaos.core.config import Settings
from aaos.core.errors import AaosError, DeniedError, NotFoundError, ToolError
from aaos.core.ids import check_name
from aaos.core.ports import Header
from aaos.core.secretuse import Use, read_use
from aaos.core.text import quoted
from aaos.core.url import Url
from aaos.llm.keys import MIN_KEY_CHARS, ROOT, Key, KeyPlaces, load_keys
from aaos.llm.redact import RedactedStream, Redactor

USE_SUFFIX = ".toml"


@dataclass(frozen=True, slots=True)
class Secret:
    """A secret with what it is for."""

    key: Key
    use: Use

    def header_for(self, url: Url) -> Header | None:
        """The header that a request for this address gets; None for another host, and without TLS."""
        if url.scheme != "https" or url.authority != self.use.host:
            return None
        return Header(self.use.header, self.use.prefix, self.key)

    def check_first(self, url: Url) -> None:
        """Raises DeniedError for an address that the secret is not for."""
        if self.header_for(url) is None:
            message = f"secret {self.key.name} is for https://{self.use.host}, not for {quoted(url.origin)}"
            raise DeniedError(message, "fetch without it, or from its host")

    def placed(self, asks: tuple[str, ...]) -> PlacedSecret:
        """For a cell that asks its host for this."""
        header = Header(self.use.header, self.use.prefix, self.key)
        return PlacedSecret(self.key.name, header, asks, lambda: self._redactor().forms)

    def check_places(self, places: Iterable[HostPort]) -> None:
        """Raises DeniedError for places that the secret is not for, or none."""
        named = [f"[{one.host}]:{one.port}" if ":" in one.host else f"{one.host}:{one.port}" for one in places]
        if named != [self.use.host]:
            message = f"secret {self.key.name} is for https://{self.use.host}, not for {', '.join(named) or 'no host'}"
            raise DeniedError(message, "call it without the secret, or for that host alone")

    def redacted(self, text: str) -> str:
        """A server's text without the secret, whole or as programs encode it."""
        return self._redactor().answer(text)

    def redacted_words(self, text: str) -> str:
        """Short words of a server (they are walked) without any part of the secret."""
        return self._redactor().error(text)

    def redacted_stream(self) -> RedactedStream:
        """For words that come in pieces."""
        return RedactedStream(self._redactor().forms)

    def _redactor(self) -> Redactor:
        return Redactor([self.key.reveal(), *_within(self.key.reveal())])


@dataclass(frozen=True, slots=True)
class SecretStore:
    """Secrets in a directory: the value in NAME, what it is for in NAME.toml."""

    directory: Path
    owner: int = ROOT
    admin_group: str = ""  # whose members may use each

    @classmethod
    def of(cls, settings: Settings) -> "SecretStore":
        """Where the settings say."""
        return cls(settings.egress.secrets_dir, admin_group=settings.daemon.admin_group)

    async def find(self, name: str, *, uid: int, groups: Sequence[int]) -> Secret:
        """Read it for this user, in a thread. Raises NotFoundError, DeniedError, ToolError; none of them shows it."""
        return await asyncio.to_thread(self._found, name, uid, groups)

    def _found(self, name: str, uid: int, groups: Sequence[int]) -> Secret:
        secret = self.read(name)
        if not is_for((*secret.use.groups, self.admin_group), secret.use.users, uid=uid, groups=groups):
            remedy = f"root allows it with: sudo agentd secrets allow {name} --user {_user_name(uid)}"
            raise DeniedError(f"secret {name} is not for {_user_name(uid)}", remedy)
        return secret

    def read(self, name: str) -> Secret:
        """Raises NotFoundError for one that there is not, ToolError for one that cannot be used."""
        check_name(name, "secret")
        if not (self.directory / f"{name}{USE_SUFFIX}").exists():
            raise NotFoundError(f"there is no secret {name}", how_to_set(name))
        try:
            return Secret(load_keys([name], self.places).get(name), self.use(name))
        except AaosError as error:
            raise ToolError(error.message, how_to_set(name)) from error

    def use(self, name: str) -> Use:
        """What it is for. Raises SettingsError, InputError."""
        return read_use(self.directory / f"{name}{USE_SUFFIX}")

    @property
    def places(self) -> KeyPlaces:
        """Where the values are."""
        return KeyPlaces(self.directory, owner=self.owner)

    def names(self) -> list[str]:
        """All that are there, by their names."""
        return sorted(path.stem for path in self.directory.glob(f"*{USE_SUFFIX}")) if self.directory.is_dir() else []


def is_for(group_names: Iterable[str], user_names: Iterable[str], *, uid: int, groups: Sequence[int]) -> bool:
    """Whether the user is root, one of these, or in one of these groups; a name that nobody has is nobody's."""
    if uid == ROOT or any(user_id(name) == uid for name in user_names):
        return True
    return any(found in groups for name in group_names if (found := group_id(name)) is not None)


def user_id(name: str) -> int | None:
    """The user of this name, or number."""
    with suppress(KeyError):
        return int(name) if name.isdecimal() else pwd.getpwnam(name).pw_uid
    return None


def group_id(name: str) -> int | None:
    """The group of this name, or number."""
    with suppress(KeyError):
        return int(name) if name.isdecimal() else grp.getgrnam(name).gr_gid
    return None


def _user_name(uid: int) -> str:
    with suppress(KeyError):
        return pwd.getpwuid(uid).pw_name
    return str(uid)


def _within(secret: str) -> list[str]:
    """What a login of HTTP's Basic scheme holds: `user:password`, and the password."""
    try:
        login = base64.b64decode(secret, validate=True).decode("ascii")
    except ValueError:
        return []
    password = login.partition(":")[2]
    return [login, password] if len(password) >= MIN_KEY_CHARS and login.isprintable() else []


def how_to_set(name: str) -> str:
    """What an operator types; it reads the value from standard input, so that no shell history has it."""
    return f"set it with: sudo agentd secrets set {name} --host HOST"
