"""Fixed programs that need no model: each is a function of the session and its start, found here by name.

A role names one as `entry: scaffold:NAME`. They use the ABI like everybody else.
"""

from collections.abc import Callable, Mapping

from worker import abi
from worker.user.client import Abi


def echo(session: Abi, start: abi.Start) -> None:
    """Give the goal back through the tool `echo`: the smallest agent, used to try a session from end to end."""
    result = session.call("echo", {"text": start.goal[:10_000]})
    session.finish(result.text, ok=result.ok)


SCAFFOLDS: Mapping[str, Callable[[Abi, abi.Start], None]] = {"echo": echo}
