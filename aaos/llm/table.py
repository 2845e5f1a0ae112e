"""models.yaml and models.yaml.d/*.yaml: the providers and models that an operator knows, and what they take and cost.

Invariant: every model names a provider of these files; an entry of a later file stands for an earlier one of its name.
An unknown key, an odd number or an address that would show a key to the network is refused with its place. Nothing here
is used until the settings choose it for a tier.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from aaos.core.errors import InputError, SettingsError
from aaos.core.ids import check_name
from aaos.core.role import Tier
from aaos.core.schema import read_model
from aaos.core.smallfile import NO_DRAFTS, Drafts, drop_ins, read_small_file
from aaos.core.text import quoted, suggestion
from aaos.core.url import Url, parse_url
from aaos.core.yamlfile import load_yaml
from aaos.llm.http import Deadlines
from aaos.llm.quirks import QUIRKS, Kind, Quirks
from aaos.llm.types import ModelTerms

MAX_FILE_BYTES = 262_144

_DEADLINES = Deadlines()
_Seconds = Annotated[float, Field(ge=0.1, le=86_400)]
_Tokens = Annotated[int, Field(ge=1, le=100_000_000)]
_Price = Annotated[float, Field(ge=0, le=100_000)]
_Text = Annotated[str, Field(min_length=1, max_length=200)]


class _Document(BaseModel):
    model_config = ConfigDict(frozen=True, strict=True, extra="forbid", allow_inf_nan=False)


class _Provider(_Document):
    kind: Kind
    url: Annotated[str, Field(max_length=2048)] | None = None
    key: Annotated[str, Field(max_length=64)] | None = None
    plain_http: bool = False
    stream: bool = True
    connect_s: _Seconds = _DEADLINES.connect_s
    first_token_s: _Seconds = _DEADLINES.first_s
    idle_s: _Seconds = _DEADLINES.idle_s
    total_s: _Seconds = _DEADLINES.total_s


class _Prices(_Document):
    input: _Price
    cached: _Price | None = None
    output: _Price


class _Model(_Document):
    provider: str
    model: _Text
    tier: Tier
    context_tokens: _Tokens | None = None
    max_output_tokens: _Tokens | None = None
    price_usd: _Prices | None = None
    max_parallel: Annotated[int, Field(ge=1, le=1024)] = 8
    answers_as: Annotated[tuple[_Text, ...], Field(max_length=16)] = ()


class _Table(_Document):
    providers: Annotated[dict[str, _Provider], Field(max_length=64)] = {}
    models: Annotated[dict[str, _Model], Field(max_length=256)] = {}


@dataclass(frozen=True, slots=True)
class ProviderEntry:
    """One provider; `url` has no slash at its end."""

    name: str
    kind: Kind
    url: str
    key: str | None
    deadlines: Deadlines
    is_streamed: bool = True

    @property
    def quirks(self) -> Quirks:
        """What its kind of server does differently."""
        return QUIRKS[self.kind]


@dataclass(frozen=True, slots=True)
class ModelEntry:
    """One model under the operator's name for it; `model` is its server's name."""

    name: str
    provider: ProviderEntry
    model: str
    tier: Tier
    terms: ModelTerms
    answers_as: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ModelTable:
    """All models and providers of the files by name."""

    source: str
    models: Mapping[str, ModelEntry]
    providers: Mapping[str, ProviderEntry]

    def choose(self, name: str, tier: Tier) -> ModelEntry:
        """The model that the settings name for `tier`. Raises SettingsError."""
        entry = self.models.get(name)
        if entry is None:
            raise SettingsError(f"models.{tier}: {quoted(name)} is not in {self.source}", suggestion(name, self.models))
        if entry.tier is not tier:
            fitting = sorted(one.name for one in self.models.values() if one.tier is tier)
            known = f"choose one of {', '.join(fitting)}" if fitting else f"write tier: {tier} for it"
            raise SettingsError(f"models.{tier}: {name} is of tier {entry.tier} in {self.source}", known)
        return entry


def load_table(path: Path, *, drafts: Drafts = NO_DRAFTS) -> ModelTable:
    """The table in the file and its drop-ins; with a drop-in the file may be missing.

    Raises SettingsError: names the file and the place in it.
    """
    added = drop_ins(path, ".yaml", drafts=drafts)
    files = [path, *added] if not added or path.is_symlink() or path.exists() else added
    documents = [_read(read_small_file(file, max_bytes=MAX_FILE_BYTES, drafts=drafts), str(file)) for file in files]
    return _joined(documents, str(path))


def read_table(data: bytes, source: str) -> ModelTable:
    """The table that the file `source` holds. Raises SettingsError."""
    return _joined([_read(data, source)], source)


def _read(data: bytes, source: str) -> _Table:
    document = load_yaml(data, source, max_bytes=MAX_FILE_BYTES)
    return read_model(_Table, {} if document is None else document, source=source)


def _joined(tables: Sequence[_Table], source: str) -> ModelTable:
    named = {name: entry for table in tables for name, entry in table.providers.items()}
    known = {name: entry for table in tables for name, entry in table.models.items()}
    try:
        providers = {name: _provider(name, entry) for name, entry in named.items()}
        models = {name: _model(name, entry, providers) for name, entry in known.items()}
    except InputError as error:
        raise SettingsError(f"{source}: {error.message}", error.remedy) from error
    return ModelTable(source, MappingProxyType(models), MappingProxyType(providers))


def _provider(name: str, entry: _Provider) -> ProviderEntry:
    check_name(name, "providers")
    place, quirks = f"providers.{name}", QUIRKS[entry.kind]
    url = _address(entry.url or quirks.default_url, place, is_plain_allowed=entry.plain_http)
    if entry.key is None and quirks.needs_key:
        raise InputError(f"{place}.key: a server of kind {entry.kind} needs one", f"name it: key: {name}")
    if entry.key is not None:
        check_name(entry.key, f"{place}.key")
    deadlines = Deadlines(entry.connect_s, entry.first_token_s, entry.idle_s, entry.total_s)
    return ProviderEntry(name, entry.kind, url, entry.key, deadlines, entry.stream)


def _address(text: str, place: str, *, is_plain_allowed: bool) -> str:
    try:
        url = parse_url(text)
    except InputError as error:
        raise InputError(f"{place}.url: {error.message}", error.remedy) from error
    if url.query is not None:
        raise InputError(f"{place}.url: {quoted(text)} has a query", "leave out what follows the ?")
    if url.scheme == "http" and not is_plain_allowed and not is_loopback(url):
        remedy = f"use https, or write plain_http: true below {place} if the network between is yours"
        raise InputError(f"{place}.url: anybody on the way to {url.host} could read what is sent there", remedy)
    return url.text.rstrip("/")


def is_loopback(url: Url) -> bool:
    """Whether what is sent there stays on this machine."""
    return url.host == "localhost" or (url.address is not None and url.address.is_loopback)


def _model(name: str, entry: _Model, providers: Mapping[str, ProviderEntry]) -> ModelEntry:
    check_name(name, "models")
    place = f"models.{name}"
    provider = providers.get(entry.provider)
    if provider is None:
        hint = suggestion(entry.provider, providers)
        raise InputError(f"{place}.provider: {quoted(entry.provider)} is not a provider of this file", hint)
    if entry.tier is Tier.T0:
        raise InputError(f"{place}.tier: T0 is answered by agentd itself", "write tier: T1, T2 or T3")
    return ModelEntry(name, provider, entry.model, entry.tier, _terms(entry), entry.answers_as)


def _terms(entry: _Model) -> ModelTerms:
    price = entry.price_usd or _Prices(input=0.0, output=0.0)
    return ModelTerms(
        context_tokens=entry.context_tokens or 0,
        max_output_tokens=entry.max_output_tokens or 0,
        input_usd=price.input,
        cached_usd=price.input if price.cached is None else price.cached,
        output_usd=price.output,
        max_parallel=entry.max_parallel,
    )
