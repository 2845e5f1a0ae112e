"""The settings in force, and where each comes from."""

import os
from pathlib import Path

from aaos.core.config import load_settings
from aaos.daemon.configure_keys import KeyStore
from aaos.daemon.configure_show import advice, keys_in_sight, settings_in_force
from aaos.llm.keys import KeyPlaces

SECRET = "sk-canary-0123456789"


def written(place: Path) -> Path:
    (place / "models.yaml").write_text(
        "providers: {cloud: {kind: openai, key: main}}\nmodels: {big: {provider: cloud, model: b, tier: T2}}\n"
    )
    main = place / "agentd.toml"
    main.write_text(f'[models]\ntable = "{place}/models.yaml"\nkeys_dir = "{place}/keys"\nT2 = "none"\n')
    (place / "agentd.toml.d").mkdir()
    (place / "agentd.toml.d" / "50-models.toml").write_text('[models]\nT2 = "big"\n')
    return main


def test_each_setting_names_the_last_file_that_sets_it(tmp_path: Path) -> None:
    """OPS-5"""
    shown = {one.name: one for one in settings_in_force(written(tmp_path))}
    assert shown["models.T2"].line() == f'models.T2 = "big"  ({tmp_path}/agentd.toml.d/50-models.toml)'
    assert shown["models.table"].source == str(tmp_path / "agentd.toml")
    assert (shown["limits.max_runs"].value, shown["limits.max_runs"].source) == (64, "default")
    assert shown["models.T1"].view() == {"name": "models.T1", "value": None, "source": "default"}
    assert shown["confinement.require"].value == sorted(load_settings(tmp_path / "agentd.toml").confinement.require)


def test_a_key_is_present_or_absent_and_never_shown(tmp_path: Path) -> None:
    """OPS-3, LLM-6"""
    settings = load_settings(written(tmp_path))
    store = KeyStore(KeyPlaces(tmp_path / "keys", owner=os.geteuid()))
    (absent,) = keys_in_sight(settings, store)
    assert (absent.name, absent.value) == ("key main", "absent")
    assert "sudo agentd configure" in absent.source
    (tmp_path / "keys").mkdir()
    (tmp_path / "keys" / "main").write_text(SECRET)
    (present,) = keys_in_sight(settings, store)
    assert (present.value, present.source) == ("present", str(tmp_path / "keys" / "main"))
    assert SECRET not in repr(present)


def test_who_may_not_look_is_told_so(tmp_path: Path) -> None:
    class Closed(KeyStore):
        def find(self, name: str) -> Path | None:
            raise PermissionError

    (shown,) = keys_in_sight(load_settings(written(tmp_path)), Closed(KeyPlaces(tmp_path)))
    assert shown.value == "out of sight"


def test_without_a_model_it_says_how_to_add_one(tmp_path: Path) -> None:
    """LLM-6: without a key the daemon works on T0."""
    (tmp_path / "agentd.toml").write_text("")
    assert "sudo agentd configure" in advice(load_settings(tmp_path / "agentd.toml"))
    assert advice(load_settings(written(tmp_path))) == ""
