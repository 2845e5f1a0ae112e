"""A host that is granted in parts."""

import pytest

from aaos.core.capability import Capability, is_within, narrow_each, parse_capabilities
from aaos.core.errors import DeniedError


def _one(document: object) -> Capability:
    (found,) = parse_capabilities(document, now_s=0.0)
    return found


def test_a_host_that_is_granted_in_parts_is_narrowed_to_these() -> None:
    """CAP-3: each part within what was asked for and within what is held; a part of files is none."""
    held = tuple(
        parse_capabilities(
            [
                {"network": "a.example/news/**", "action": "get"},
                "network: b.example",
                {"network": "a.example/x", "max": 5},
                "file_read: /a/b",
            ],
            now_s=0.0,
        )
    )
    wanted = _one({"network": "a.example", "action": ["get", "head"]})
    parts = narrow_each(held, wanted)
    assert [(index, part.resource) for index, part in parts] == [(0, "a.example:443/news/**"), (2, "a.example:443/x")]
    assert all(is_within(part, held[index]) and is_within(part, wanted) for index, part in parts)
    assert narrow_each(held, _one("network: b.example/x")) == ((1, _one("network: b.example/x")),)
    for refused in ("network: c.example", "network: a.example:80", "file_read: /a/**"):
        with pytest.raises(DeniedError):
            narrow_each(held, _one(refused))
