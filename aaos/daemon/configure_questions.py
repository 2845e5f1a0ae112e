"""Which model is wanted: as the command line says, and for what it leaves open as the operator answers.

Invariant: without a terminal nothing is guessed: what is open and not the only possibility is an error that names the
option. What a local server lists is text of a stranger, shown escaped and taken as a name only.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from aaos.core.errors import InputError
from aaos.core.role import Tier
from aaos.daemon.configure_ask import Terminal, pick
from aaos.daemon.configure_choice import Choice, choose, chosen_provider, fitting, provider_of
from aaos.llm.local import Server, local_providers
from aaos.llm.table import ModelEntry, ModelTable, ProviderEntry

Find = Callable[[Sequence[ProviderEntry]], Sequence[Server]]

_NONE_LISTED = "--model is missing, and {} lists none"


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the command line says; None is left open."""

    provider: str | None = None
    model: str | None = None
    tier: Tier | None = None


def wanted_choice(wanted: Wanted, table: ModelTable, *, terminal: Terminal | None, find: Find) -> Choice:
    """The model for its tier. Raises InputError, CancelledError."""
    if wanted.provider is not None:
        provider = chosen_provider(table, wanted.provider)
        model = wanted.model or _model(provider, table, wanted.tier, terminal=terminal, find=find)
    elif wanted.model is not None:
        provider, model = chosen_provider(table, provider_of(table, wanted.model)), wanted.model
    elif terminal is not None:
        provider, model = _offered(table, wanted.tier, terminal=terminal, find=find)
    else:
        remedy = "agentd configure --provider anthropic --model claude-sonnet --key-stdin"
        raise InputError("--provider is missing, and there is no terminal to ask at", remedy)
    return choose(table, provider, model, wanted.tier)


def _offered(table: ModelTable, tier: Tier | None, *, terminal: Terminal, find: Find) -> tuple[ProviderEntry, str]:
    """Models of servers that answer on this machine, then providers that need a key."""
    found = [(one.provider, model) for one in find(local_providers(table.providers.values())) for model in one.models]
    cloud = [one for one in table.providers.values() if one.key is not None]
    lines = [f"{model} by {provider.name} on this machine ({provider.url})" for provider, model in found]
    lines += [f"{one.name} ({one.url}), needs a key" for one in cloud]
    if not lines:
        raise InputError("no model server answers on this machine, and no provider is known", f"see {table.source}")
    number = pick(terminal, "model or provider", lines)
    if number < len(found):
        return found[number]
    provider = cloud[number - len(found)]
    return provider, _model(provider, table, tier, terminal=terminal, find=find)


def _model(
    provider: ProviderEntry, table: ModelTable, tier: Tier | None, *, terminal: Terminal | None, find: Find
) -> str:
    """One of the provider's models: of those that the table knows and those that its own server lists."""
    known = fitting(table, provider, tier)
    names = [entry.name for entry in known]
    if provider.key is None:
        served = [model for server in find([provider]) for model in server.models]
        known = [entry for entry in known if entry.model in served]
        names = [*(entry.name for entry in known), *(one for one in served if one not in {e.model for e in known})]
    if len(names) == 1 and (terminal is None or provider.key is None):
        return names[0]
    if terminal is None:
        listed = f"--model is missing; {provider.name} has {', '.join(names[:20])}"
        raise InputError(listed if names else _NONE_LISTED.format(provider.name), "add --model NAME")
    return _asked_model(provider, names, known, terminal=terminal)


def _asked_model(
    provider: ProviderEntry, names: Sequence[str], known: Sequence[ModelEntry], *, terminal: Terminal
) -> str:
    about = {entry.name: f" ({entry.model}, tier {entry.tier})" for entry in known}
    number = pick(terminal, "model", [*(f"{name}{about.get(name, '')}" for name in names), "another one"])
    if number < len(names):
        return names[number]
    if not (name := terminal.ask(f"model, as {provider.name} calls it:")):
        raise InputError("no model was named", "agentd configure --help")
    return name
