"""`agentd configure --show`: the settings in force, each with the file that it comes from, and which keys are there.

Invariant: a key is present, absent or out of sight; it is never opened. It must change nothing.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from aaos.core.config import Settings, documents, load_settings
from aaos.core.errors import AaosError
from aaos.daemon.configure_keys import KeyStore
from aaos.llm.providers import chosen
from aaos.llm.types import Json

DEFAULT = "default"


@dataclass(frozen=True, slots=True)
class Shown:
    """One line: a setting or a key, what it is, and where that comes from."""

    name: str
    value: Json
    source: str

    def view(self) -> dict[str, Json]:
        """As JSON shows it."""
        return {"name": self.name, "value": self.value, "source": self.source}

    def line(self) -> str:
        """As people read it; a setting stands as it would in a file."""
        return f"{self.name} = {json.dumps(self.value)}  ({self.source})"


def settings_in_force(config: Path | None) -> tuple[Shown, ...]:
    """Every setting. Raises SettingsError."""
    sources: dict[str, str] = {}
    for file, document in documents(config):
        sources |= dict.fromkeys((name for name, _ in _leaves(document)), str(file))
    settings = load_settings(config).model_dump(mode="json")
    return tuple(Shown(name, _sorted(value), sources.get(name, DEFAULT)) for name, value in _leaves(settings))


def keys_in_sight(settings: Settings, store: KeyStore) -> tuple[Shown, ...]:
    """The keys that the chosen models need. Raises SettingsError."""
    entries = chosen(settings.models)
    names = dict.fromkeys(entry.provider.key for entry in entries if entry.provider.key)
    return tuple(_key(name, store) for name in names)


def advice(settings: Settings) -> str:
    """What to do when no model is set up; nothing otherwise."""
    models = settings.models
    if models.T1 or models.T2 or models.T3:
        return ""
    return "no model is set up: goals of known shapes are carried out by code (T0); add one: sudo agentd configure"


def _key(name: str, store: KeyStore) -> Shown:
    try:
        place = store.find(name)
    except (PermissionError, AaosError):
        return Shown(f"key {name}", "out of sight", "only root may look")
    if place is None:
        return Shown(f"key {name}", "absent", f"give key {name} with: sudo agentd configure")
    return Shown(f"key {name}", "present", str(place))


def _leaves(document: Mapping[str, Json], prefix: str = "") -> Iterator[tuple[str, Json]]:
    for key, value in document.items():
        name = f"{prefix}{key}"
        if isinstance(value, Mapping):
            yield from _leaves(value, f"{name}.")
        else:
            yield name, value


def _sorted(value: Json) -> Json:
    """Sets come in no order."""
    return sorted(value) if isinstance(value, list) and all(isinstance(item, str) for item in value) else value
