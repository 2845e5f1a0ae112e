"""Who is at the other end, and what they may ask."""

import os
import socket

import pytest

from aaos.core.ids import Gid, Uid
from aaos.daemon.peers import Access, AccessRule, Peer, own_uid, peer_of

AAOS = Gid(990)
MEMBER = Peer(uid=Uid(1000), gid=Gid(1000), groups=(27, 990), pid=1)


def peer(uid: int, *groups: int) -> Peer:
    return Peer(uid=Uid(uid), gid=Gid(uid), groups=groups, pid=1)


@pytest.mark.parametrize(
    ("who", "rule", "may"),
    [
        (peer(0), AccessRule(group=None, own_uid=None), frozenset(Access)),
        (MEMBER, AccessRule(group=AAOS, own_uid=None), frozenset({Access.READ, Access.SUBMIT})),
        (MEMBER, AccessRule(group=Gid(991), own_uid=None), frozenset()),
        (MEMBER, AccessRule(group=None, own_uid=None), frozenset()),
        (peer(1000), AccessRule(group=AAOS, own_uid=None), frozenset()),
        (peer(1000), AccessRule(group=None, own_uid=Uid(1000)), frozenset(Access)),
        (peer(990), AccessRule(group=AAOS, own_uid=None), frozenset({Access.READ, Access.SUBMIT})),
        (peer(65534), AccessRule(group=AAOS, own_uid=Uid(1000)), frozenset()),
        (peer(1000, 990, 991), AccessRule(AAOS, None, Gid(991)), frozenset(Access)),
        (peer(991), AccessRule(AAOS, None, Gid(991)), frozenset(Access)),
        (MEMBER, AccessRule(AAOS, None, Gid(991)), frozenset({Access.READ, Access.SUBMIT})),
        (peer(65534, 65534), AccessRule(AAOS, None, Gid(991)), frozenset()),
    ],
)
def test_access_by_uid_and_group(who: Peer, rule: AccessRule, may: frozenset[Access]) -> None:
    """H-API-01, H-API-04: also root of a foreign user namespace, which arrives as the overflow uid."""
    assert rule.of(who) == may


def test_only_who_administers_sees_the_runs_of_others() -> None:
    """OPS-2, H-SEC-11"""
    rule = AccessRule(AAOS, None, Gid(991))
    assert [rule.sight(one) for one in (peer(0), MEMBER, peer(1000, 990, 991))] == [0, 1000, 0]
    assert AccessRule(AAOS, None).sight(peer(1000, 990, 991)) == 1000


def test_the_kernel_says_who_it_is() -> None:
    one, two = socket.socketpair()
    with one, two:
        found = peer_of(one)
    assert (found.uid, found.gid, found.pid) == (own_uid(), os.getgid(), os.getpid())
    assert set(found.groups) == set(os.getgroups())
    assert found.submitter.uid == found.uid
