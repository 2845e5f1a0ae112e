"""Fixed programs."""

from collections.abc import Mapping

import pytest

from worker import abi
from worker.abi import Json
from worker.user.client import Abi, Result
from worker.user.scaffold import PAGE_BYTES, SCAFFOLDS

URL = "https://a.example/x"


class Session(Abi):
    """Gives back what a tool would."""

    def __init__(self, answer: Result | None = None) -> None:
        self.answer = answer
        self.asked: list[tuple[str, Mapping[str, Json]]] = []
        self.end: tuple[str, bool] | None = None

    def call(self, tool: str, args: Mapping[str, Json], *, call: str | None = None) -> Result:
        assert call is None
        self.asked.append((tool, args))
        return self.answer or Result(ok=True, text=args["text"])

    def finish(self, text: str, *, ok: bool = True) -> None:
        self.end = (text, ok)


def start(goal: str = "say it", **params: str) -> abi.Start:
    return abi.Start(v=1, agent="a", goal=goal, params=params, tools=("echo",), grants=(), credits=1)


def test_echo_gives_the_goal_back() -> None:
    session = Session()
    SCAFFOLDS["echo"](session, start())
    assert session.end == ("say it", True)
    assert session.asked == [("echo", {"text": "say it"})]


@pytest.mark.parametrize("is_cut", [True, False])
def test_the_fetcher_gives_the_page_as_web_fetch_had_it(is_cut: bool) -> None:
    """RUN-2: one call, for the page that its parameter names and no other."""
    text = f"URL: {URL}\nStatus: 200  Type: text/html  Bytes: 4  Trust: outside\n\nStatus: 404 is what the page says"
    session = Session(Result(ok=True, text=text, truncated=is_cut))
    SCAFFOLDS["fetcher"](session, start(url=URL))
    assert session.asked == [("web_fetch", {"url": URL, "max_bytes": PAGE_BYTES})]
    assert session.end == (text, True)


@pytest.mark.parametrize("status", ["403", "404", "500", "503"])
def test_an_answer_that_is_no_page_is_a_failure(status: str) -> None:
    text = f"URL: {URL}\nStatus: {status}  Type: text/html  Bytes: 9  Trust: outside\n\nStatus: 200"
    session = Session(Result(ok=True, text=text))
    SCAFFOLDS["fetcher"](session, start(url=URL))
    assert session.end == (f"{URL} answered with status {status}", False)


def test_a_refused_fetch_is_told_as_it_was() -> None:
    session = Session(
        Result(ok=False, text="network: b.example is not granted\ngrant it with: --net b.example:443/", code="denied")
    )
    SCAFFOLDS["fetcher"](session, start(url=URL))
    assert session.end is not None
    assert session.end[1] is False
    assert "--net b.example:443/" in session.end[0]
