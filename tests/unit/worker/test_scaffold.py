"""Fixed programs."""

from collections.abc import Mapping

from worker import abi
from worker.abi import Json
from worker.user.client import Abi, Result
from worker.user.scaffold import SCAFFOLDS


class Session(Abi):
    """Gives back what a tool would."""

    def __init__(self) -> None:
        self.end: tuple[str, bool] | None = None

    def call(self, tool: str, args: Mapping[str, Json], *, call: str | None = None) -> Result:
        assert (tool, call) == ("echo", None)
        return Result(ok=True, text=args["text"])

    def finish(self, text: str, *, ok: bool = True) -> None:
        self.end = (text, ok)


def test_echo_gives_the_goal_back() -> None:
    session = Session()
    start = abi.Start(v=1, agent="a", goal="say it", params={}, tools=("echo",), grants=(), credits=1)
    SCAFFOLDS["echo"](session, start)
    assert session.end == ("say it", True)
