"""Counts again what a resumed agent did in its earlier sessions, so that a restart gives it no limit anew.

Invariant: nothing is opened for a call and nothing is refused; what cannot be understood any more counts for nothing.
A use of a byte budget counts with the size that the file has now, since that of then is not on record.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress

from aaos.core.errors import AaosError
from aaos.core.ports import CallRow, CallState, Origin
from aaos.tools.admit import Charger
from aaos.tools.spec import Tool


def charge_again(charger: Charger, catalog: Mapping[str, Tool], calls: Sequence[CallRow]) -> None:
    """Charge the grants of an agent for those of its calls that had been let through and have ended."""
    if not any(capability.constraints.is_metered for capability in charger.tokens.capabilities(charger.agent)):
        return
    for row in calls:
        tool = catalog.get(row.record.tool)
        if tool is not None and row.outcome is not None and row.record.state is CallState.PERMITTED:
            with suppress(AaosError, ValueError, KeyError, TypeError):
                charger.charge(tool, json.loads(row.record.arguments))


def repeats(catalog: Mapping[str, Tool], calls: Sequence[CallRow]) -> Iterator[tuple[str, bool]]:
    """The digest of each call that the model asked for, and whether it is an effect; reads before the last effect are
    forgotten, as the guard forgets them."""
    asked = [row for row in calls if row.record.origin is Origin.MODEL and row.outcome is not None]
    for at, row in enumerate(asked):
        is_effect = _is_effect(catalog, row)
        if is_effect or not any(_has_changed(catalog, later) for later in asked[at:]):
            yield row.record.digest, is_effect


def _has_changed(catalog: Mapping[str, Tool], row: CallRow) -> bool:
    return _is_effect(catalog, row) and row.outcome is not None and row.outcome.state is CallState.DONE


def _is_effect(catalog: Mapping[str, Tool], row: CallRow) -> bool:
    tool = catalog.get(row.record.tool)
    return tool is not None and tool.is_effect
