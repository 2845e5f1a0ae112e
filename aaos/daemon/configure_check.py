"""Asks a model one small question with the key that is to be kept, through the very code that the daemon asks with.

Invariant: what comes back is an answer of that model within the deadline, or an error with its remedy.
"""

import time
from dataclasses import replace

from aaos.core.ids import AgentId, RoleName
from aaos.llm.keys import Key, Keys
from aaos.llm.providers import providers_from
from aaos.llm.table import ModelEntry
from aaos.llm.types import ModelRequest, UserMessage

TOTAL_S = 120.0
MAX_TOKENS = 64

_QUESTION = ModelRequest(
    AgentId("a-configure"),
    RoleName("configure"),
    {},
    "Answer in one word.",
    (UserMessage("Are you there?"),),
    (),
    max_output_tokens=MAX_TOKENS,
)


async def answered(entry: ModelEntry, key: Key | None) -> float:
    """How many seconds the answer took. Raises ProviderError, LimitError."""
    deadlines = replace(entry.provider.deadlines, total_s=min(TOTAL_S, entry.provider.deadlines.total_s))
    entry = replace(entry, provider=replace(entry.provider, deadlines=deadlines))
    (provider,) = providers_from((entry,), Keys(() if key is None else (key,)))
    began_s = time.monotonic()
    try:
        await provider.complete(_QUESTION)
    finally:
        await provider.close()
    return round(time.monotonic() - began_s, 2)
