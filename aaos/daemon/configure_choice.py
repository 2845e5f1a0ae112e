"""Which model an operator means by a provider, a model and a tier, and the two drop-ins that say so. Pure.

Invariant: what the table knows is taken from it as it is; what it does not know becomes an entry of its own, with the
most careful terms. Files of these names are written by `agentd configure` alone.
"""

import itertools
import json
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass

from aaos.core.errors import InputError, SettingsError
from aaos.core.role import Tier
from aaos.core.text import quoted, suggestion
from aaos.core.url import parse_url
from aaos.core.yamlfile import load_yaml
from aaos.llm.local import usual_provider
from aaos.llm.quirks import Kind
from aaos.llm.table import ModelEntry, ModelTable, ProviderEntry, is_loopback
from aaos.llm.types import Json, ModelTerms

SETTINGS_NAME = "50-models.toml"
MODELS_NAME = "50-configured.yaml"
HEAD = "# Written by `agentd configure`, which writes it anew; what you add belongs in another file.\n"
LOCAL_TERMS = ModelTerms(max_output_tokens=4_096, max_parallel=2)
CLOUD_TERMS = ModelTerms(max_output_tokens=8_192)

_NOT_IN_NAMES = re.compile(r"[^a-z0-9]+", re.ASCII)


@dataclass(frozen=True, slots=True)
class Choice:
    """A model for its tier; `is_new` when the table does not hold it yet."""

    entry: ModelEntry
    is_new: bool


def chosen_provider(table: ModelTable, name: str) -> ProviderEntry:
    """The provider of that name, or a usual one of that kind. Raises InputError."""
    if (known := table.providers.get(name)) is not None:
        return known
    if name in list(Kind):
        return usual_provider(Kind(name))
    known_names = {*table.providers, *(kind.value for kind in Kind)}
    raise InputError(f"--provider {quoted(name)} is not in {table.source}", suggestion(name, known_names))


def provider_of(table: ModelTable, model: str) -> str:
    """Whose model that is, when one provider alone can be meant. Raises InputError."""
    names = {entry.provider.name for entry in table.models.values() if model in (entry.name, entry.model)}
    if len(names) != 1:
        what = f"several providers have {quoted(model)}" if names else f"{quoted(model)} is not in {table.source}"
        raise InputError(f"--model: {what}", f"add --provider, one of {', '.join(sorted(names or table.providers))}")
    return names.pop()


def fitting(table: ModelTable, provider: ProviderEntry, tier: Tier | None) -> list[ModelEntry]:
    """The models of a provider that the table knows, for a tier or for all."""
    models = table.models.values()
    return [one for one in models if one.provider.name == provider.name and tier in (None, one.tier)]


def choose(table: ModelTable, provider: ProviderEntry, model: str, tier: Tier | None) -> Choice:
    """The model under the operator's or its server's name, for `tier`, or else the tier that suits where it is."""
    named = [one for one in fitting(table, provider, None) if model in (one.name, one.model)]
    for entry in named:
        if tier in (None, entry.tier):
            return Choice(entry, is_new=False)
    is_local = is_loopback(parse_url(provider.url))
    wanted = tier or (Tier.T1 if is_local else Tier.T2)
    terms = named[0].terms if named else LOCAL_TERMS if is_local else CLOUD_TERMS
    answers_as = named[0].answers_as if named else ()
    server_name = named[0].model if named else model
    name = _free_name(table, f"{provider.name}-{server_name}", wanted)
    return Choice(ModelEntry(name, provider, server_name, wanted, terms, answers_as), is_new=True)


def settings_drop_in(before: bytes | None, tier: Tier, name: str, *, source: str) -> bytes:
    """The drop-in of the settings that names the model for its tier and keeps what it says of others.

    Raises SettingsError when somebody has put something else into it.
    """
    models = _models_of(before, source)
    lines = [f"{key} = {json.dumps(value)}\n" for key, value in sorted((models | {tier.value: name}).items())]
    return "".join((HEAD, "[models]\n", *lines)).encode()


def models_drop_in(before: bytes | None, choice: Choice, *, known: Mapping[str, ProviderEntry], source: str) -> bytes:
    """The drop-in of the table with the model, and with its provider unless that is known. Raises SettingsError."""
    providers, models = _written(before, source)
    provider, entry = choice.entry.provider, choice.entry
    if provider.name not in known:
        providers[provider.name] = _provider_document(provider)
    models[entry.name] = _model_document(entry)
    return "".join((HEAD, *_section("providers", providers), *_section("models", models))).encode()


def _written(before: bytes | None, source: str) -> tuple[dict[str, Json], dict[str, Json]]:
    """The providers and models of an earlier drop-in; what they say is checked with the whole table."""
    document: Json = load_yaml(before or b"", source) or {}
    found = document if isinstance(document, dict) and document.keys() <= {"providers", "models"} else {"models": None}
    providers, models = found.get("providers", {}), found.get("models", {})
    if not isinstance(providers, dict) or not isinstance(models, dict):
        raise SettingsError(f"{source}: holds other things than agentd configure wrote", f"rename {source}")
    return dict(providers), dict(models)


def _free_name(table: ModelTable, text: str, tier: Tier) -> str:
    name = _NOT_IN_NAMES.sub("-", text.lower())[:56].strip("-")
    others = (f"{name}-{tier.value.lower()}{number or ''}" for number in itertools.count())
    return next(one for one in itertools.chain([name], others) if one not in table.models)


def _models_of(before: bytes | None, source: str) -> dict[str, str]:
    try:
        document = tomllib.loads((before or b"").decode())
    except (ValueError, RecursionError) as error:
        raise SettingsError(f"{source}: not TOML: {quoted(str(error))}", f"correct {source}") from error
    models = document.pop("models", {})
    if (
        document
        or not isinstance(models, dict)
        or not all(key in list(Tier) and isinstance(value, str) for key, value in models.items())
    ):
        raise SettingsError(
            f"{source}: holds more than agentd configure wrote", f"move the rest to another file beside {source}"
        )
    return dict(models)


def _section(name: str, entries: Mapping[str, Json]) -> list[str]:
    """One line of JSON, which is YAML, for each entry."""
    return [f"{name}:\n", *(f"  {key}: {json.dumps(entries[key])}\n" for key in sorted(entries))] if entries else []


def _provider_document(provider: ProviderEntry) -> dict[str, Json]:
    return {"kind": provider.kind.value, "url": provider.url, **({"key": provider.key} if provider.key else {})}


def _model_document(entry: ModelEntry) -> dict[str, Json]:
    terms = entry.terms
    document: dict[str, Json] = {"provider": entry.provider.name, "model": entry.model, "tier": entry.tier.value}
    sizes = {"context_tokens": terms.context_tokens, "max_output_tokens": terms.max_output_tokens}
    document |= {key: value for key, value in sizes.items() if value}
    if terms.input_usd or terms.output_usd:
        document["price_usd"] = {"input": terms.input_usd, "cached": terms.cached_usd, "output": terms.output_usd}
    return document | {"max_parallel": terms.max_parallel, "answers_as": list(entry.answers_as)}
