"""What the service manager gives, and what it hears: ready, alive, stopping. Nothing when there is none.

Invariant: a failing notification never stops the daemon; what was given is given once, and no child inherits it.
Source: sd_listen_fds(3), sd_notify(3).
"""

import asyncio
import logging

from systemd import daemon

WATCHDOG_S = 5.0  # WatchdogSec= of the unit is at least twice this
_log = logging.getLogger("agentd")


def passed_sockets() -> tuple[int, ...]:
    """The fds of the sockets that the manager passed to this process; the second time there are none."""
    return tuple(daemon.listen_fds(True))


def ready(status: str) -> None:
    """The socket listens and recovery is done."""
    _notify(f"READY=1\nSTATUS={status}")


def stopping() -> None:
    """No new goals; what runs is being stopped."""
    _notify("STOPPING=1\nSTATUS=stopping")


async def watchdog() -> None:
    """Tell the manager every few seconds that the event loop turns. Ends only by cancellation."""
    while True:
        _notify("WATCHDOG=1")
        await asyncio.sleep(WATCHDOG_S)


def _notify(state: str) -> None:
    try:
        daemon.notify(state)
    except OSError as error:
        _log.warning("sd_notify failed: %s", error)
