"""Fixed programs that need no model: each is a function of the session and its start, found here by name.

A role names one as `entry: scaffold:NAME`. They use the ABI like everybody else.
"""

import re
from collections.abc import Callable, Mapping

from worker import abi
from worker.user.client import Abi

PAGE_BYTES = 240_000  # of one page's text: what a subtask's result holds
_STATUS = re.compile(r"^Status: (\d{3})\b", re.MULTILINE)


def echo(session: Abi, start: abi.Start) -> None:
    """Give the goal back through the tool `echo`: the smallest agent, used to try a session from end to end."""
    result = session.call("echo", {"text": start.goal[:10_000]})
    session.finish(result.text, ok=result.ok)


def fetcher(session: Abi, start: abi.Start) -> None:
    """Fetch the page `url` and finish with its text, with the head that web_fetch put before it."""
    result = session.call("web_fetch", {"url": start.params["url"], "max_bytes": PAGE_BYTES})
    if not result.ok:
        session.finish(result.text, ok=False)
        return
    status = _STATUS.search(result.text.partition("\n\n")[0])
    if status is None or status[1][0] in "45":
        session.finish(f"{start.params['url']} answered with status {status[1] if status else 'unknown'}", ok=False)
        return
    session.finish(result.text)


SCAFFOLDS: Mapping[str, Callable[[Abi, abi.Start], None]] = {"echo": echo, "fetcher": fetcher}
