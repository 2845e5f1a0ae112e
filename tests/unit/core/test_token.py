"""Tokens: handles say nothing, uses are counted before they happen and over the whole family, revocation is at once."""

import threading
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aaos.core.capability import Capability, Kind, is_within, parse_capabilities
from aaos.core.errors import DeniedError, LimitError
from aaos.core.ids import AgentId
from aaos.core.token import Handle, TokenBox

ROOT, CHILD, OTHER = AgentId("a-root"), AgentId("a-child"), AgentId("a-other")


class FakeClock:
    """Both clocks, set by the test."""

    def __init__(self) -> None:
        self.monotonic = 1000.0
        self.now = 1_760_000_000.0

    def monotonic_s(self) -> float:
        return self.monotonic

    def now_s(self) -> float:
        return self.now

    def pass_s(self, seconds: float) -> None:
        self.monotonic += seconds
        self.now += seconds


def caps(*texts: str) -> tuple[Capability, ...]:
    return parse_capabilities(list(texts), now_s=1_760_000_000.0)


def new_box(*texts: str) -> tuple[TokenBox, FakeClock]:
    clock = FakeClock()
    box = TokenBox(clock)
    box.grant(ROOT, caps(*texts))
    return box, clock


def uses(box: TokenBox, agent: AgentId, tries: int) -> int:
    done = 0
    for _ in range(tries):
        try:
            box.charge(agent, Kind.TOOL, "grep")
        except LimitError:
            continue
        done += 1
    return done


def test_zero_by_default() -> None:
    """CAP-1, H-CAP-11"""
    with pytest.raises(DeniedError, match="tool: grep is not granted") as caught:
        TokenBox(FakeClock()).charge(ROOT, Kind.TOOL, "grep")
    assert caught.value.remedy == "grant it with: --tool grep"


def test_a_granted_use_is_allowed_and_another_is_not() -> None:
    """CAP-1"""
    box, _ = new_box("tool: file_read", "file_read: /data/**")
    charge = box.charge(ROOT, Kind.FILE_READ, "/data/x")
    assert (charge.agent, charge.capability) == (ROOT, caps("file_read: /data/**")[0])
    for kind, resource in [(Kind.FILE_READ, "/data-evil/x"), (Kind.FILE_WRITE, "/data/x"), (Kind.TOOL, "grep")]:
        assert not box.allows(ROOT, kind, resource)
        with pytest.raises(DeniedError):
            box.charge(ROOT, kind, resource)
    with pytest.raises(DeniedError):
        box.charge(OTHER, Kind.FILE_READ, "/data/x")
    assert box.allows(ROOT, Kind.FILE_READ, "/data/x")


# --- handles ------------------------------------------------------------------------------------------------------


def test_a_handle_is_random_and_never_shows_itself() -> None:
    """H-CAP-10"""
    box, _ = new_box()
    handles = [handle for _ in range(64) for handle in box.grant(CHILD, caps("tool: grep"))]
    secrets = {handle.secret for handle in handles}
    assert len(secrets) == 64
    assert all(len(secret) * 6 >= 128 for secret in secrets)
    assert all(handle.secret not in f"{handle} {handle!r} {[handle]}" for handle in handles)


def test_only_the_right_handle_of_the_right_agent_resolves() -> None:
    """CAP-4, H-CAP-10: forged, bit-flipped, another agent's, replayed"""
    box, _ = new_box()
    (handle,) = box.grant(CHILD, caps("tool: grep"))
    box.grant(OTHER, caps("tool: glob"))
    assert box.resolve(CHILD, handle) == caps("tool: grep")[0]
    assert box.resolve(OTHER, handle) is None
    flipped = [handle.secret[:i] + chr(ord(c) ^ 1) + handle.secret[i + 1 :] for i, c in enumerate(handle.secret)]
    forged = [*flipped, "", handle.secret[:-1], handle.secret + "A", "\ud800", "é"]
    assert [box.resolve(CHILD, Handle(secret)) for secret in forged] == [None] * len(forged)
    box.revoke(handle)
    assert box.resolve(CHILD, handle) is None


def test_a_handle_of_another_daemon_resolves_to_nothing() -> None:
    box, clock = new_box()
    (handle,) = TokenBox(clock).grant(CHILD, caps("tool: grep"))
    box.grant(CHILD, caps("tool: grep"))
    assert box.resolve(CHILD, handle) is None


# --- narrowing ----------------------------------------------------------------------------------------------------


def test_a_child_gets_no_more_than_its_parent_holds() -> None:
    """CAP-4"""
    box, _ = new_box("file_read: /data/**", "capability://tool/grep?max=5")
    box.grant(CHILD, caps("file_read: /data/a/**", "tool: grep"), parent=ROOT)
    assert [c.text() for c in box.capabilities(CHILD)] == ["file_read: /data/a/**", "capability://tool/grep?max=5"]
    with pytest.raises(DeniedError):
        box.charge(CHILD, Kind.FILE_READ, "/data/b")


def test_a_grant_is_whole_or_not_at_all() -> None:
    box, _ = new_box("file_read: /data/**")
    with pytest.raises(DeniedError, match="/etc"):
        box.grant(CHILD, caps("file_read: /data/a", "file_read: /etc/passwd"), parent=ROOT)
    assert box.capabilities(CHILD) == ()


def test_grants_are_recorded_as_narrowed_before_they_exist() -> None:
    box, _ = new_box("capability://tool/grep?max=5")
    seen: list[str] = []
    box.grant(CHILD, caps("tool: grep"), parent=ROOT, record=lambda agent, cap: seen.append(f"{agent} {cap.text()}"))
    assert seen == ["a-child capability://tool/grep?max=5"]

    def fail(agent: AgentId, capability: Capability) -> None:
        raise OSError(agent, capability)

    with pytest.raises(OSError, match="a-other"):
        box.grant(OTHER, caps("tool: grep"), parent=ROOT, record=fail)
    assert box.capabilities(OTHER) == ()


# --- charging -----------------------------------------------------------------------------------------------------


def test_one_use_for_64_threads_is_one_use() -> None:
    """H-CAP-05: charged before the call runs, atomically"""
    box, _ = new_box("capability://tool/grep?max=1")
    done = in_threads(64, lambda _: uses(box, ROOT, 4))
    assert sum(done) == 1


def test_a_family_shares_the_uses_of_its_parent() -> None:
    """H-CAP-06"""
    box, _ = new_box("capability://tool/grep?max=10")
    children = [AgentId(f"a-{i}") for i in range(8)]
    for child in children:
        box.grant(child, caps("tool: grep"), parent=ROOT)
        box.grant(AgentId(f"{child}-sub"), caps("capability://tool/grep?max=3"), parent=child)
    agents = [*children, *(AgentId(f"{child}-sub") for child in children), ROOT]
    assert sum(in_threads(len(agents), lambda index: uses(box, agents[index], 10))) == 10


def test_a_child_with_a_smaller_limit_stops_earlier() -> None:
    box, _ = new_box("capability://tool/grep?max=10")
    box.grant(CHILD, caps("capability://tool/grep?max=3"), parent=ROOT)
    assert uses(box, CHILD, 10) == 3
    assert uses(box, ROOT, 10) == 7


def test_a_refused_use_is_charged_nowhere() -> None:
    box, _ = new_box("capability://tool/grep?max=10")
    box.grant(CHILD, caps("capability://tool/grep?max=1"), parent=ROOT)
    assert uses(box, CHILD, 50) == 1
    assert uses(box, ROOT, 50) == 9


def test_dropping_and_granting_again_gives_no_newuses() -> None:
    """H-CAP-06"""
    box, _ = new_box("capability://tool/grep?max=4")
    total = 0
    for index in range(6):
        child = AgentId(f"a-{index}")
        box.grant(child, caps("tool: grep"), parent=ROOT)
        total += uses(box, child, 1)
        box.drop(child)
    assert total == 4


def test_bytes_are_counted_over_the_family() -> None:
    """CAP-3"""
    box, _ = new_box("capability://file_read/d/**?bytes=100")
    box.grant(CHILD, caps("file_read: /d/**"), parent=ROOT)
    box.charge(CHILD, Kind.FILE_READ, "/d/x", bytes_used=60)
    with pytest.raises(LimitError, match="41 bytes are more than the 40 left of 100"):
        box.charge(ROOT, Kind.FILE_READ, "/d/x", bytes_used=41)
    box.charge(ROOT, Kind.FILE_READ, "/d/x", bytes_used=40)
    with pytest.raises(ValueError, match="negative"):
        box.charge(ROOT, Kind.FILE_READ, "/d/x", bytes_used=-1)


def test_another_token_is_used_when_the_first_is_spent() -> None:
    box, _ = new_box("capability://tool/grep?max=2", "capability://tool/grep?max=3")
    assert uses(box, ROOT, 10) == 5


def test_what_costs_nothing_is_used_first() -> None:
    box, _ = new_box("capability://tool/grep?max=1", "tool: grep")
    assert uses(box, ROOT, 50) == 50


def test_arguments_and_methods_are_checked() -> None:
    """CAP-3"""
    box, _ = new_box("capability://tool/conv?arg.format=json&arg.format=csv", "capability://http/a.b?action=get")
    box.charge(ROOT, Kind.TOOL, "conv", arguments={"format": "csv", "other": "x"})
    box.charge(ROOT, Kind.NETWORK, "a.b:443/x", arguments={"method": "GET"})
    for arguments in ({"format": "xml"}, {"format": "JSON"}, {}, {"other": "json"}, None):
        with pytest.raises(DeniedError, match="argument format"):
            box.charge(ROOT, Kind.TOOL, "conv", arguments=arguments)
    for arguments in ({"method": "POST"}, {}, None):
        with pytest.raises(DeniedError, match="method"):
            box.charge(ROOT, Kind.NETWORK, "a.b:443/x", arguments=arguments)


# --- revocation ---------------------------------------------------------------------------------------------------


def test_a_charge_dies_with_its_token() -> None:
    """CAP-5: the result of a call in flight is discarded"""
    box, _ = new_box("tool: grep")
    (handle,) = box.grant(CHILD, caps("tool: grep"), parent=ROOT)
    charge = box.charge(CHILD, Kind.TOOL, "grep")
    assert box.is_live(charge)
    assert box.revoke(handle) == caps("tool: grep")
    assert not box.is_live(charge)
    with pytest.raises(DeniedError):
        box.charge(CHILD, Kind.TOOL, "grep")
    assert box.is_live(box.charge(ROOT, Kind.TOOL, "grep"))


@pytest.mark.parametrize("end", ["revoke", "drop"])
def test_what_was_narrowed_ends_with_what_it_came_from(end: str) -> None:
    """CAP-5"""
    box, _ = new_box("tool: grep")
    box.grant(CHILD, caps("tool: grep"), parent=ROOT)
    box.grant(OTHER, caps("tool: grep"), parent=CHILD)
    charge = box.charge(OTHER, Kind.TOOL, "grep")
    getattr(box, end)(ROOT)
    assert not box.is_live(charge)
    assert [box.capabilities(agent) for agent in (ROOT, CHILD, OTHER)] == [(), (), ()]


def test_ending_a_child_leaves_its_parent_and_siblings() -> None:
    box, _ = new_box("tool: grep")
    box.grant(CHILD, caps("tool: grep"), parent=ROOT)
    box.grant(OTHER, caps("tool: grep"), parent=ROOT)
    box.drop(CHILD)
    assert box.allows(ROOT, Kind.TOOL, "grep")
    assert box.allows(OTHER, Kind.TOOL, "grep")


def test_revoking_twice_or_the_unknown_is_no_error() -> None:
    box, _ = new_box("tool: grep")
    assert len(box.revoke(ROOT)) == 1
    assert box.revoke(ROOT) == ()
    assert box.revoke(Handle("x")) == ()
    box.drop(OTHER)


def test_nothing_of_an_ended_agent_is_kept() -> None:
    """ISO-11: a daemon that runs for a year does not grow"""
    box, _ = new_box("tool: grep")
    sizes = set()
    for index in range(20):
        child = AgentId(f"a-{index}")
        box.grant(child, caps("tool: grep"), parent=ROOT)
        box.drop(child)
        (held,) = box._of_agent[ROOT][Kind.TOOL]
        sizes.add((len(box._of_agent), len(box._by_serial), len(box._by_digest), len(held.children)))
    assert sizes == {(1, 1, 1, 0)}


# --- a model ------------------------------------------------------------------------------------------------------

_STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("grant"), st.integers(0, 4), st.integers(0, 4), st.integers(1, 6)),
        st.tuples(st.just("use"), st.integers(0, 4), st.just(0), st.just(0)),
        st.tuples(st.just("drop"), st.integers(1, 4), st.just(0), st.just(0)),
        st.tuples(st.just("wait"), st.integers(0, 40), st.just(0), st.just(0)),
    ),
    max_size=40,
)


@settings(max_examples=200)
@given(_STEPS)
def test_whatever_happens_the_family_stays_within_its_root(steps: list[tuple[str, int, int, int]]) -> None:
    """H-FUZZ-11, H-CAP-04, H-CAP-06"""
    box, clock = new_box("capability://tool/grep?max=12&rate=5/min&expires=3min")
    agents = [ROOT, *(AgentId(f"a-{i}") for i in range(1, 5))]
    (root,) = box.capabilities(ROOT)
    start, times = clock.monotonic, []
    for action, one, two, number in steps:
        try:
            if action == "grant" and one != two and one != 0:
                box.grant(agents[one], caps(f"capability://tool/grep?max={number}"), parent=agents[two])
            elif action == "use":
                box.charge(agents[one], Kind.TOOL, "grep")
                times.append(clock.monotonic)
            elif action == "drop":
                box.drop(agents[one])
            else:
                clock.pass_s(one)
        except (DeniedError, LimitError):
            continue
        assert all(is_within(held, root) for agent in agents for held in box.capabilities(agent))
    assert len(times) <= 12
    assert all(time < start + 180 for time in times)
    assert all(sum(first <= time < first + 60 for time in times) <= 5 for first in times)


def in_threads(count: int, work: Callable[[int], int]) -> list[int]:
    """What `work` says for 0 … count - 1, each in a thread of its own, all let go at once."""
    gate = threading.Barrier(count)
    results: list[int] = []

    def run(index: int) -> None:
        gate.wait(10)
        results.append(work(index))

    threads = [threading.Thread(target=run, args=(index,)) for index in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert len(results) == count
    return results
