import threading
from collections.abc import Sequence

from aaos.core.events import Event, EventKind, Recorded
from aaos.store.copies import QUEUE, Copied, Copies, Lost, losable


class Sink:
    """A copy that can be stopped, lose things, or have a defect."""

    def __init__(self, name: str = "sink") -> None:
        self.name = name
        self.seqs: list[int] = []
        self.loses = 0
        self.is_defective = False
        self.is_closed = False
        self.leave = threading.Event()
        self.leave.set()
        self.entered = threading.Event()

    def write(self, batch: Sequence[Copied]) -> Lost | None:
        self.entered.set()
        assert self.leave.wait(10)
        if self.is_defective:
            raise KeyError("defect")
        self.seqs.extend(copied.recorded.seq for copied in batch)
        return Lost(self.name, self.loses, "no room") if self.loses else None

    def close(self) -> None:
        self.is_closed = True


def _recorded(seq: int, kind: EventKind = EventKind.TOOL_DONE) -> Recorded:
    return Recorded(seq, 0.0, Event(kind))


def test_every_copy_gets_every_event_in_order() -> None:
    """AUD-1"""
    one, two = Sink("one"), Sink("two")
    copies = Copies((one, two))
    for seq in range(1000):
        copies.push(_recorded(seq), "{}")
    assert copies.flush(10)
    assert one.seqs == two.seqs == list(range(1000))
    copies.close()
    assert one.is_closed
    assert two.is_closed


def test_a_stopped_copy_never_stops_the_daemon_and_what_it_costs_is_counted() -> None:
    """H-DUR-09, H-RES-14"""
    sink = Sink()
    sink.leave.clear()
    copies = Copies((sink,))
    copies.push(_recorded(0), "{}")
    assert sink.entered.wait(10)
    for seq in range(1, QUEUE + 101):
        copies.push(_recorded(seq), "{}")
    assert not copies.flush(0)
    assert copies.losses(0.0) == (Lost("all", 100, f"the queue of {QUEUE} events was full"),)
    sink.leave.set()
    assert copies.flush(10)
    assert sink.seqs == list(range(QUEUE + 1))
    copies.close()


def test_a_copy_with_a_defect_does_not_take_the_others_with_it() -> None:
    broken, sound = Sink("broken"), Sink("sound")
    broken.is_defective = True
    copies = Copies((broken, sound))
    copies.push(_recorded(1), "{}")
    assert copies.flush(10)
    assert sound.seqs == [1]
    assert copies.losses(0.0) == (Lost("broken", 1, "KeyError('defect')"),)
    copies.close()


def test_a_loss_is_told_at_once_and_then_once_a_minute() -> None:
    sink = Sink()
    sink.loses = 2
    copies = Copies((sink,))

    def lose(now_s: float) -> list[int]:
        copies.push(_recorded(1), "{}")
        assert copies.flush(10)
        losses = copies.losses(now_s)
        for loss in losses:
            copies.told(loss, now_s)
        return [loss.count for loss in losses]

    assert [lose(now_s) for now_s in (0.0, 1.0, 59.0, 60.0, 61.0)] == [[2], [], [], [6], []]
    copies.close()


def test_the_loss_of_a_report_of_losses_is_not_reported() -> None:
    """A missing journal must not make an event each minute for ever."""
    batch = [Copied(_recorded(1, EventKind.AUDIT_DROPPED), "{}"), Copied(_recorded(2), "{}")]
    assert losable(batch) == 1


def test_what_is_queued_at_the_end_is_copied() -> None:
    sink = Sink()
    copies = Copies((sink,))
    for seq in range(500):
        copies.push(_recorded(seq), "{}")
    copies.close()
    copies.close()
    assert sink.seqs == list(range(500))


def test_without_copies_nothing_is_queued() -> None:
    copies = Copies(())
    for seq in range(QUEUE * 2):
        copies.push(_recorded(seq), "{}")
    assert copies.flush(0)
    assert copies.losses(0.0) == ()
    copies.close()
