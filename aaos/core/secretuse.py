"""What a secret is for, as root wrote it down: one host, the header that carries it there, and who may use it.

Invariant: a `Use` names one place in its one normal form, and a header and a prefix that break out of nothing. It never
holds the secret.
"""

import re
import tomllib
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from aaos.core.errors import InputError
from aaos.core.schema import read_model
from aaos.core.smallfile import read_small_file
from aaos.core.text import quoted
from aaos.core.url import parse_url

MAX_USE_BYTES = 4_096
_HEADER = re.compile(r"[A-Za-z][A-Za-z0-9-]{0,63}", re.ASCII)
_Account = Annotated[str, Field(pattern=r"^([a-z_][a-z0-9_.-]{0,31}|[0-9]{1,10})$")]
_PREFIX = re.compile(r"([\x21-\x7e]{1,32} ?)?", re.ASCII)
_OURS = frozenset(
    "accept accept-encoding connection content-length expect host keep-alive proxy-authorization proxy-connection te"
    " trailer transfer-encoding upgrade user-agent".split()
)


def _host(text: str) -> str:
    """`HOST:PORT` in its one normal form; port 443 unless it is given. Raises InputError with what to write."""
    try:
        url = parse_url(f"https://{text}/")
    except InputError as error:
        raise _no_host(text) if "/" in text else InputError(f"host: {error.message}", error.remedy) from error
    if url.path != "/" or url.query is not None or "#" in text:
        raise _no_host(text)
    return url.authority


def _no_host(text: str) -> InputError:
    return InputError(f"host: {quoted(text)} is no HOST[:PORT]", "write it like --host api.example.com")


def _header(text: str) -> str:
    if not _HEADER.fullmatch(text) or text.lower() in _OURS:
        raise ValueError(f"{quoted(text)} is no header that may hold a secret")
    return text


def _prefix(text: str) -> str:
    if not _PREFIX.fullmatch(text):
        raise ValueError(f"{quoted(text)} is no word before a secret")
    return text


class Use(BaseModel):
    """What a secret is for: the host that it is sent to, over TLS, and the header that carries it; and for whom, beside
    those who administer."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")

    host: Annotated[str, Field(min_length=1, max_length=300), AfterValidator(_host)]
    header: Annotated[str, AfterValidator(_header)] = "Authorization"
    prefix: Annotated[str, AfterValidator(_prefix)] = "Bearer "
    users: Annotated[tuple[_Account, ...], Field(max_length=64)] = ()
    groups: Annotated[tuple[_Account, ...], Field(max_length=64)] = ()


def read_use(file: Path) -> Use:
    """What this file says. Raises SettingsError, InputError."""
    data = read_small_file(file, max_bytes=MAX_USE_BYTES)
    try:
        document = tomllib.loads(data.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise InputError(f"{file}: not TOML", "write it anew: sudo agentd secrets set NAME --host HOST") from error
    return read_model(Use, document, source=str(file))
