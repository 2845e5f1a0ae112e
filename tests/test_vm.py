"""What of `qa/vm` can be tried without a guest: who is to blame for one that does not come up, and what is left out."""

from pathlib import Path
from typing import cast

import pytest

from qa.vm import __main__ as vm
from qa.vm.boot import BOOT_S, LOGIN_S, SILENT_S, Boot, NoGuestError, require_room
from qa.vm.guest import Guest
from qa.vm.table import CHECKS, QUICK

KERNEL = "[    0.000000] Linux version 6.12.117\n"
LOGIN = f"{KERNEL}Debian GNU/Linux 13 guest ttyS0\n\nguest login: "


def test_a_guest_that_is_still_on_its_way_is_the_machines_fault() -> None:
    """DEB-1"""
    boot = Boot(0.0)
    console = KERNEL
    for second in range(int(BOOT_S)):
        console += f"[{second:5}] unit {second} is started\n"
        assert boot.may_go_on(console, float(second))
    assert not boot.may_go_on(console, BOOT_S)
    fault = boot.fault(console, BOOT_S, has_ended=False)
    assert isinstance(fault, NoGuestError)
    assert "unit 299 is started" in str(fault)


@pytest.mark.parametrize(
    "console",
    [
        "",
        f"{KERNEL}[    1.2] Kernel panic - not syncing: No working init found.\n",
        f"{KERNEL}You are in emergency mode. After logging in, type journalctl -xb\n",
        f"{KERNEL}ALERT! /dev/vda does not exist. Dropping to a shell!\n(initramfs) ",
        LOGIN,
    ],
)
def test_a_guest_that_broke_or_has_no_agent_is_wrong(console: str) -> None:
    """DEB-1: however slow the machine is."""
    boot = Boot(0.0)
    second = 0.0
    while boot.may_go_on(console, second):
        second += 1.0
    assert second <= BOOT_S
    assert isinstance(boot.fault(console, second, has_ended=False), TimeoutError)


def test_a_guest_that_stands_still_or_ended_is_wrong() -> None:
    """DEB-1"""
    boot = Boot(0.0)
    boot.may_go_on(KERNEL, BOOT_S - SILENT_S - 1)
    assert isinstance(boot.fault(KERNEL, BOOT_S, has_ended=False), TimeoutError)
    boot = Boot(0.0)
    boot.may_go_on(KERNEL, 1.0)
    assert isinstance(boot.fault(KERNEL, 2.0, has_ended=True), TimeoutError)


def test_a_login_prompt_gives_its_agent_time() -> None:
    """DEB-1: also when it comes at the last moment."""
    boot = Boot(0.0)
    assert boot.may_go_on(LOGIN, BOOT_S - 1)
    assert boot.may_go_on(LOGIN, BOOT_S - 2 + LOGIN_S)
    assert not boot.may_go_on(LOGIN, BOOT_S - 1 + LOGIN_S)


def test_a_machine_without_memory_is_named(tmp_path: Path) -> None:
    """DEB-1"""
    meminfo = tmp_path / "meminfo"
    meminfo.write_text("MemTotal:       24000000 kB\nMemAvailable:    1048576 kB\n")
    with pytest.raises(NoGuestError, match="1024 MiB of memory"):
        require_room(tmp_path, meminfo)
    meminfo.write_text("MemAvailable:   16777216 kB\n")
    require_room(tmp_path, meminfo)


def test_what_the_time_did_not_suffice_for_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    """DEB-1"""
    vm.tell(("boots", "installs", "serves"), (True, True), 541.0)
    said = capsys.readouterr()
    assert "2 of 2 checks passed" in said.out
    assert "NOT tried, since the time was over: serves" in said.err


def test_a_check_that_fails_without_a_word_shows_what_did_not_hold(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """DEB-1"""

    def is_right(guest: Guest) -> str:
        raise AssertionError

    monkeypatch.setattr(vm, "CHECKS", {"is right": is_right})
    assert not vm._check("is right", cast(Guest, "a guest"))
    assert "AssertionError: raise AssertionError" in capsys.readouterr().out


def test_every_change_is_tried_by_what_is_promised_of_it() -> None:
    """DEB-1: goals, layers, limits, a kill, the journal, the socket's mode; the whole has them as well."""
    wanted = {
        "answers an operator",
        "compares two pages",
        "attests all layers",
        "ends what is out of memory",
        "survives its own death",
        "answers what the documents ask",
        "keeps modes",
        "is quiet",
    }
    assert wanted <= set(QUICK) < set(CHECKS)
