"""What the service manager hears: ready, alive, stopping. Says nothing when nobody asked (no NOTIFY_SOCKET).

Invariant: a failing notification never stops the daemon. Source: sd_notify(3).
"""

import asyncio
import logging

from systemd import daemon

WATCHDOG_S = 5.0  # WatchdogSec= of the unit is at least twice this
_log = logging.getLogger("agentd")


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
