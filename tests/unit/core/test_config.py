"""Settings: complete without a file, strict with one, drop-ins in order."""

import os
from pathlib import Path

import pytest

from aaos.core.config import Settings, credentials_dir, load_settings
from aaos.core.errors import SettingsError
from aaos.core.layers import ALL_LAYERS


def _write(tmp_path: Path, text: str, **drop_ins: str) -> Path:
    main = tmp_path / "agentd.toml"
    main.write_text(text)
    directory = tmp_path / "agentd.toml.d"
    directory.mkdir()
    for name, content in drop_ins.items():
        (directory / f"{name}.toml").write_text(content)
    return main


def test_an_empty_file_gives_the_defaults(tmp_path: Path) -> None:
    settings = load_settings(_write(tmp_path, ""))
    assert settings == Settings()
    assert settings.daemon.socket == Path("/run/agentd/agentd.sock")
    assert settings.confinement.require == ALL_LAYERS
    assert (settings.confinement.landlock_abi, settings.worker.uid_first, settings.limits.max_runs) == (
        6,
        1_900_000_000,
        64,
    )


def test_values_are_read(tmp_path: Path) -> None:
    settings = load_settings(
        _write(tmp_path, '[daemon]\nsocket = "/tmp/s"\n[limits]\nmax_parallel = 4\n[roles]\ndirs = ["/r"]\n')
    )
    assert (settings.daemon.socket, settings.limits.max_parallel, settings.roles.dirs) == (
        Path("/tmp/s"),
        4,
        (Path("/r"),),
    )
    assert settings.limits.max_runs == 64


def test_drop_ins_win_in_the_order_of_their_names(tmp_path: Path) -> None:
    main = _write(
        tmp_path,
        "[limits]\nmax_runs = 1\nmax_agents = 7\n[audit]\njournal = false",
        b="[limits]\nmax_runs = 3",
        a="[limits]\nmax_runs = 2",
    )
    (tmp_path / "agentd.toml.d" / "ignored.txt").write_text("[nonsense]")
    settings = load_settings(main)
    assert (settings.limits.max_runs, settings.limits.max_agents, settings.audit.journal) == (3, 7, False)


@pytest.mark.parametrize(
    ("text", "message", "remedy"),
    [
        ("[daemom]", "daemom: unknown key", "did you mean 'daemon'?"),
        ("[daemon]\nsockett = '/x'", "daemon.sockett: unknown key", "did you mean 'socket'?"),
        ("[limits]\nmax_run = 1", "limits.max_run: unknown key", "did you mean 'max_runs'?"),
        ("[daemon]\nsocket = 'run/x'", "daemon.socket: 'run/x' is not an absolute path", "correct"),
        ("[daemon]\nsocket = '/run/../x'", "is not an absolute path", "correct"),
        ("[daemon]\nsocket_group = 'a b'", "daemon.socket_group: ", "correct"),
        ("[confinement]\nrequire = ['userns']", "confinement: require lacks capabilities, cgroup,", "correct"),
        ("[confinement]\nrequire = ['usernss']", "confinement.require.0: ", "correct"),
        ("[confinement]\nlandlock_abi = 5", "greater than or equal to 6", "correct"),
        ("[worker]\nuid_first = 0", "greater than or equal to 65536", "correct"),
        ("[worker]\nuid_first = 4294900000\nuid_count = 1000000", "beyond the last user id", "correct"),
        ("[audit]\njournal = 1", "audit.journal: Input should be a valid boolean, not 1", "correct"),
        ("[audit]\njournal = 'yes'", "audit.journal: ", "correct"),
        ("[roles]\ndirs = []", "roles.dirs: ", "correct"),
        ("[roles]\ndirs = '/x'", "roles.dirs: ", "correct"),
        ("limits = 1", "limits: ", "correct"),
        ("daemon = 1979-05-27", "which no key takes", "put quotes"),
        ("[limits]\nmax_runs = 1\nmax_runs = 2", "not TOML", "correct"),
        ("[limits", "not TOML", "correct"),
        ("x = " + "9" * 5000, "not TOML", "correct"),
        ("x = " + "[" * 50_000, "not TOML", "correct"),
        ("\0", "not TOML", "correct"),
        ("#" * 65_537, "larger than 65536 bytes", "make the file smaller"),
    ],
    ids=range(23),
)
def test_a_wrong_file_is_refused_by_key(tmp_path: Path, text: str, message: str, remedy: str) -> None:
    """OPS-5, H-FUZZ-05"""
    main = _write(tmp_path, text)
    with pytest.raises(SettingsError) as caught:
        load_settings(main)
    assert caught.value.message.startswith(str(main))
    assert message in caught.value.message
    assert caught.value.remedy.startswith(remedy)


@pytest.mark.parametrize(
    "number", ["0", "-1", "true", "nan", "inf", "9223372036854775807", "9223372036854775808", "1.0", "'5'", "[]"]
)
@pytest.mark.parametrize(
    "key",
    ["limits.max_runs", "limits.max_agents", "limits.run_wall_s", "limits.subtask_wall_s", "limits.max_parallel",
    "limits.max_turns", "limits.run_tokens", "limits.run_agents", "limits.run_calls",
     "limits.call_timeout_s", "limits.program_wall_s", "worker.uid_first", "worker.uid_count",
     "worker.memory_bytes", "worker.pids", "worker.nofile",
     "worker.fsize_bytes", "worker.tmpfs_bytes", "worker.start_timeout_s", "confinement.landlock_abi"],
)  # fmt: skip
def test_no_number_out_of_range_is_accepted(tmp_path: Path, key: str, number: str) -> None:
    """H-FUZZ-02"""
    with pytest.raises(SettingsError, match=key):
        load_settings(_write(tmp_path, f"{key} = {number}"))


@pytest.mark.parametrize("amount", ["0", "-1", "true", "nan", "inf", "1e300", "9223372036854775808", "'5'", "[]"])
def test_no_amount_of_money_out_of_range_is_accepted(tmp_path: Path, amount: str) -> None:
    """H-FUZZ-02"""
    with pytest.raises(SettingsError, match=r"limits\.run_usd"):
        load_settings(_write(tmp_path, f"limits.run_usd = {amount}"))


def test_an_error_in_a_drop_in_names_that_file(tmp_path: Path) -> None:
    main = _write(tmp_path, "", bad="[limits]\nmax_runs = 0")
    with pytest.raises(SettingsError, match=r"agentd\.toml\.d/bad\.toml: limits\.max_runs"):
        load_settings(main)


def test_two_files_that_are_wrong_together_are_refused(tmp_path: Path) -> None:
    main = _write(tmp_path, "[worker]\nuid_first = 4294901759", more="[worker]\nuid_count = 70000")
    with pytest.raises(SettingsError, match="beyond the last user id"):
        load_settings(main)


def test_a_named_file_must_exist_and_be_a_file(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="cannot be opened"):
        load_settings(tmp_path / "none.toml")
    os.mkfifo(tmp_path / "pipe.toml")
    with pytest.raises(SettingsError, match="not a regular file"):
        load_settings(tmp_path / "pipe.toml")


def test_the_environment_is_no_setting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """OPS-5"""
    for name in ("LIMITS__MAX_RUNS", "MAX_RUNS", "AAOS_LIMITS_MAX_RUNS", "AGENTD_SOCKET"):
        monkeypatch.setenv(name, "7")
    assert load_settings(_write(tmp_path, "")) == Settings()


def test_no_tier_has_a_model_unless_it_is_named(tmp_path: Path) -> None:
    """LLM-2"""
    models = load_settings(_write(tmp_path, "")).models
    assert (models.T1, models.T2, models.T3) == (None, None, None)
    assert (models.table, models.keys_dir) == (Path("/etc/aaos/models.yaml"), Path("/etc/aaos/keys"))
    (tmp_path / "agentd.toml").write_text('[models]\ntable = "/x/models.yaml"\nT1 = "small"\nkeys_dir = "/x/keys"\n')
    models = load_settings(tmp_path / "agentd.toml").models
    assert (models.table, models.T1, models.keys_dir) == (Path("/x/models.yaml"), "small", Path("/x/keys"))


@pytest.mark.parametrize(("value", "path"), [("/run/credentials/x", "/run/credentials/x"), ("", None), ("rel", None)])
def test_where_systemd_put_the_credentials_is_the_only_thing_read_of_the_environment(
    monkeypatch: pytest.MonkeyPatch, value: str, path: str | None
) -> None:
    """LLM-6"""
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", value)
    assert credentials_dir() == (Path(path) if path else None)
