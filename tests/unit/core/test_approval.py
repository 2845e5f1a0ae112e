"""Approvals as values."""

from aaos.core.approval import is_approved_first, policy_digest
from aaos.core.capability import parse_capabilities


def test_a_policy_has_one_digest_whatever_the_order() -> None:
    """APR-2: the same after a restart."""
    one = parse_capabilities(["tool: echo", {"file_write": "/a/**", "approval_required": True}], now_s=0.0)
    assert policy_digest(one) == policy_digest(reversed(one))
    assert policy_digest(one) != policy_digest(one[:1])
    assert len({policy_digest(one), policy_digest(one, of="a wrapper"), policy_digest(one, of="another")}) == 3
    assert policy_digest(parse_capabilities([one.text() for one in one], now_s=5.0)) == policy_digest(one)


def test_one_grant_with_an_approval_is_enough() -> None:
    """APR-1"""
    free, held = parse_capabilities(["tool: echo", {"tool": "file_write", "approval_required": "true"}], now_s=0.0)
    assert is_approved_first([free, held])
    assert not is_approved_first([free])
    assert not is_approved_first([])
