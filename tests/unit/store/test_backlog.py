"""The backlog of one transaction: what the log of steps has is never lost, and the order never changes."""

from hypothesis import given, settings
from hypothesis import strategies as st

from aaos.store.backlog import Backlog
from aaos.store.redo import NEXT_BATCH, Redo, Statement


class Log(Redo):
    """Keeps what is logged in place of a file."""

    def __init__(self) -> None:
        self.batch = 3
        self.steps: list[Statement] = []

    def append(self, statements: object) -> None:
        assert isinstance(statements, list)
        self.steps += statements

    def committed(self) -> None:
        self.batch += 1
        self.steps = []


def number(value: int) -> Statement:
    return (str(value), ())


def test_what_is_logged_is_carried_out_again_after_a_rollback() -> None:
    """RUN-8"""
    backlog = Backlog(Log())
    backlog.done(number(1))
    backlog.log()
    backlog.append(number(2))
    backlog.roll_back()
    assert (backlog, backlog.due(9), backlog.is_kept) == ([number(1)], [number(1)], True)


def test_a_commit_of_what_is_logged_says_so_and_one_of_other_writes_does_not() -> None:
    log = Log()
    backlog = Backlog(log)
    backlog.append(number(1))
    assert backlog.ending() == ()
    backlog.log()
    assert backlog.ending() == ((NEXT_BATCH, (4,)),)
    backlog.committed()
    assert (backlog, backlog.ending(), log.batch, log.steps) == ([], (), 4, [])


def test_nothing_new_is_no_record_of_the_log() -> None:
    log = Log()
    backlog = Backlog(log)
    backlog.log()
    backlog.append(number(1))
    backlog.log()
    backlog.log()
    assert log.steps == [number(1)]


@settings(max_examples=300)
@given(st.lists(st.sampled_from(("later", "now", "log", "cut", "roll_back", "commit"))))
def test_sqlite_gets_every_statement_once_and_in_order(acts: list[str]) -> None:
    """Beside a model of SQLite that forgets at a rollback; RUN-8: what is logged is there at each commit."""
    log = Log()
    backlog, has, promised = Backlog(log), list[Statement](), list[Statement]()

    def carry_out() -> None:
        for statement in backlog.due(len(backlog)):
            has.append(statement)
            backlog.carried()

    for count, act in enumerate(acts):
        match act:
            case "later":
                backlog.append(number(count))
            case "now":
                carry_out()
                has.append(number(count))
                backlog.done(number(count))
            case "log":
                backlog.log()
                promised = list(backlog)
            case "cut":
                position = max(len(promised), len(backlog) - 1)
                backlog.cut(position)
                del has[position:]
            case "roll_back":
                has.clear()
                backlog.roll_back()
                assert backlog == promised
            case _:
                carry_out()
                assert has == backlog
                assert has[: len(promised)] == promised == log.steps
                backlog.committed()
                has.clear()
                promised = []
