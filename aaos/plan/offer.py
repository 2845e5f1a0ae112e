"""What a planner may use in one run: the roles that a model can drive, with their parameters and the tier for each.

Invariant: a role is offered only when a model that is set up can drive it (or it needs none) and what it always asks
for is within the run's envelope; planners and programs never are. Pure.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from aaos.core.capability import narrow_each, parse_capabilities
from aaos.core.envelope import Envelope
from aaos.core.errors import AaosError
from aaos.core.ids import RoleName
from aaos.core.role import ParameterType, Role, Tier, entry_placeholders, expand_entry
from aaos.core.rolefile import RoleSet
from aaos.core.template import placeholders

PLANNER = RoleName("planner")
INSTRUCTION = "instruction"  # the parameter of a role that says in words what to do
TOOLS = "tools"  # the parameter that lists the tools of an agent


@dataclass(frozen=True, slots=True)
class Offered:
    """A role and the tier that drives it; None for one that runs code."""

    role: Role
    tier: Tier | None


Offer = Mapping[RoleName, Offered]


def first_tier(role: Role, tiers: Sequence[Tier]) -> Tier | None:
    """The first step of the role's ladder that is among `tiers`; None for a role of code, and when there is none."""
    return next((tier for tier in role.tiers if tier in tiers), None) if role.entry == "loop" else None


def model_tier(role: Role, tiers: Sequence[Tier]) -> Tier | None:
    """The first step of the role's ladder that is a model and is among `tiers`, those that are set up."""
    return next((tier for tier in role.tiers if tier is not Tier.T0 and tier in tiers), None)


def offer_of(roles: RoleSet, *, tiers: Sequence[Tier], envelope: Envelope, now_s: float) -> Offer:
    """The roles for a planner of one run, by name. `now_s` is UTC."""
    found: dict[RoleName, Offered] = {}
    for name, role in roles.roles.items():
        tier = model_tier(role, tiers)
        is_driven = role.entry.startswith("scaffold:") or (role.entry == "loop" and tier is not None)
        if is_driven and name != PLANNER and _fits(role, envelope, now_s):
            found[name] = Offered(role, tier if role.entry == "loop" else None)
    return found


def offered_parameters(role: Role) -> tuple[str, ...]:
    """The parameters that a planner is told of: the instruction, and what the role's grants and its output refer to.

    The others belong to structured tasks, which code makes; a role without an instruction shows all.
    """
    if INSTRUCTION not in role.parameters:
        return tuple(role.parameters)
    named = {INSTRUCTION, *entry_placeholders(list(role.capabilities))}
    named |= set(placeholders(role.output.file)) if role.output else set()
    return tuple(name for name in role.parameters if name in named)


def describe(offer: Offer) -> str:
    """The offer as JSON, one role on each line."""
    return "\n".join(json.dumps(_described(offered.role), ensure_ascii=False) for offered in offer.values())


def grant_lines(envelope: Envelope) -> str:
    """The envelope's grants as a planner is told of them, one on each line."""
    lines = (f"{capability.kind}: {capability.resource}" for capability in envelope.capabilities)
    return "\n".join(dict.fromkeys(lines)) or "nothing"


def _described(role: Role) -> dict[str, object]:
    parameters = {
        name: {
            "type": _TYPES.get(parameter.type, parameter.type.value),
            "required": parameter.required or name == INSTRUCTION,
            **({"choices": list(parameter.choices)} if parameter.choices else {}),
            "about": parameter.summary,
        }
        for name in offered_parameters(role)
        for parameter in (role.parameters[name],)
    }
    return {"role": role.name, "does": role.summary, "parameters": parameters}


_TYPES = {
    ParameterType.PATHS: "list of paths",
    ParameterType.NAMES: "list of names",
    ParameterType.HOSTS: "list of hosts",
}


def _fits(role: Role, envelope: Envelope, now_s: float) -> bool:
    """Whether the envelope grants what the role asks for whatever its parameters are."""
    always = [entry for entry in role.capabilities if not entry_placeholders(entry)]
    try:
        entries = [filled for entry in always for filled in expand_entry(entry, {}, parameters={})]
        for capability in parse_capabilities(entries, now_s=now_s):
            narrow_each(envelope.capabilities, capability)
    except AaosError:
        return False
    return True
