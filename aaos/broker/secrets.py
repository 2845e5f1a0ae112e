"""Secrets that agentd sends for agents: each is for one host and one header, and an agent knows its name alone.

Invariant: a secret is in the hands of root (a file of its own, beside a file that says what it is for), is read when it
is used, goes over TLS to its own host and nowhere else, and is taken out of whatever comes back, before that is cut.
"""

import asyncio
from dataclasses import dataclass
from pathlib import Path

from aaos.core.errors import AaosError, DeniedError, NotFoundError, ToolError
from aaos.core.ids import check_name
from aaos.core.ports import Header
from aaos.core.secretuse import Use, read_use
from aaos.core.text import quoted
from aaos.core.url import Url
from aaos.llm.keys import ROOT, Key, KeyPlaces, load_keys
from aaos.llm.redact import Redactor

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

    def redacted(self, text: str) -> str:
        """A server's text without the secret, whole or as programs encode it."""
        return Redactor([self.key.reveal()]).answer(text)

    def redacted_words(self, text: str) -> str:
        """Short words of a server (they are walked) without any part of the secret."""
        return Redactor([self.key.reveal()]).error(text)


@dataclass(frozen=True, slots=True)
class SecretStore:
    """Secrets in a directory: the value in NAME, what it is for in NAME.toml."""

    directory: Path
    owner: int = ROOT

    async def find(self, name: str) -> Secret:
        """Read it, in a thread. Raises NotFoundError, ToolError; neither shows it."""
        return await asyncio.to_thread(self.read, name)

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


def how_to_set(name: str) -> str:
    """What an operator types; it reads the value from standard input, so that no shell history has it."""
    return f"set it with: sudo agentd secrets set {name} --host HOST"
