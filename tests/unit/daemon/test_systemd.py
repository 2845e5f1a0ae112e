"""What the service manager hears; without one, nothing happens."""

import asyncio

import pytest

from aaos.daemon import systemd


class Manager:
    """Hears notifications in place of the manager."""

    def __init__(self, *, fails: bool = False) -> None:
        self.heard: list[str] = []
        self._fails = fails

    def notify(self, state: str) -> None:
        self.heard.append(state)
        if self._fails:
            raise OSError("no such socket")


def hear(monkeypatch: pytest.MonkeyPatch, *, fails: bool = False) -> Manager:
    manager = Manager(fails=fails)
    monkeypatch.setattr(systemd, "daemon", manager)
    return manager


def test_ready_and_stopping_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """DEB-2"""
    manager = hear(monkeypatch)
    systemd.ready("serving")
    systemd.stopping()
    assert manager.heard[0].splitlines()[0] == "READY=1"
    assert manager.heard[1].splitlines()[0] == "STOPPING=1"


def test_sockets_are_passed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("systemd.daemon.listen_fds", {True: [3]}.__getitem__)
    assert systemd.passed_sockets() == (3,)


def test_the_watchdog_is_fed_until_it_is_cancelled(monkeypatch: pytest.MonkeyPatch) -> None:
    manager = hear(monkeypatch)
    monkeypatch.setattr(systemd, "WATCHDOG_S", 0.001)

    async def run() -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await systemd.watchdog()

    asyncio.run(run())
    assert manager.heard.count("WATCHDOG=1") > 1


def test_a_failing_notification_stops_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    manager = hear(monkeypatch, fails=True)
    systemd.ready("serving")
    assert len(manager.heard) == 1
