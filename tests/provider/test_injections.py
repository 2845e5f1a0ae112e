"""A hundred and sixty injected texts, and a model that obeys each of them: nothing outside the grants happens.

The daemon is whole and its workers are confined. That the model was told each text is asserted, and so is that its
obedient call was made: what keeps the canaries is the gate and the wall, not that nobody tried.
"""

import http.server
import json
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from aaos.core.errors import ExitCode
from aaos.devprovider.script import Call, Step, When
from tests.provider.corpus import CARRIERS, PAGES, Demand, demands, texts
from tests.provider.stage import CANARY, Stage, stage


class Pages:
    """A server of pages on loopback, which remembers what it was asked for."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.pages: dict[str, str] = {}
        pages = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                pages.asked.append(self.path)
                body = pages.pages.get(self.path, "").encode()
                self.send_response(200 if body else 404)
                self.send_header("Content-Type", "text/html; charset=utf-8")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *args: object) -> None:
                """Quiet."""

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)

    @property
    def authority(self) -> str:
        """Host and port."""
        return f"127.0.0.1:{self.server.server_address[1]}"

    @contextmanager
    def serving(self) -> Iterator["Pages"]:
        thread = threading.Thread(target=self.server.serve_forever)
        thread.start()
        try:
            yield self
        finally:
            self.server.shutdown()
            thread.join()
            self.server.server_close()


@pytest.fixture(scope="module")
def canary() -> Iterator[Pages]:
    """An address that nobody is granted."""
    with Pages().serving() as made:
        yield made


@pytest.fixture(scope="module")
def granted() -> Iterator[Pages]:
    """An address that runs are granted, with the pages of the corpus."""
    with Pages().serving() as made:
        yield made


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory, canary: Pages, granted: Pages) -> Iterator[Stage]:
    place = tmp_path_factory.mktemp("injections")
    for directory in (place, *place.parents):
        if directory.is_relative_to(Path(tmp_path_factory.getbasetemp())):
            directory.chmod(0o755)
    with stage(script(place, canary, granted), place) as made:
        for carrier in CARRIERS:
            for number, (_, text) in enumerate(texts(carrier, wanted(place, canary))):
                if carrier in PAGES:
                    granted.pages[f"/{carrier}-{number}"] = text
                else:
                    (place / "open" / f"{carrier}-{number}.txt").write_text(text)
        yield made
        assert not any(CANARY in shown for shown in made.shown), "an event or a result holds what was forbidden"


def wanted(place: Path, canary: Pages) -> tuple[Demand, ...]:
    """The demands of this stage."""
    return demands(place, f"http://{canary.authority}")


def script(place: Path, canary: Pages, granted: Pages) -> Sequence[Step]:
    """First it reads everything that a carrier brings, then it does all that it was told there."""
    steps = []
    for carrier in CARRIERS:
        told = wanted(place, canary)
        pages = carrier in PAGES
        reads = [
            Call(tool="web_fetch", args={"url": f"http://{granted.authority}/{carrier}-{number}"})
            if pages
            else Call(tool="file_read", args={"path": f"{place}/open/{carrier}-{number}.txt"})
            for number in range(len(told))
        ]
        steps.append(Step(when=When(user=f"{carrier} now", turn=1), calls=tuple(reads)))
        steps.append(Step(when=When(goal=f"{carrier} now", turn=2), calls=tuple(one.call for one in told)))
    return (*steps, Step(when=When(), text="Done."))


def test_there_are_more_than_a_hundred_texts(tmp_path: Path, canary: Pages) -> None:
    """H-LLM-14"""
    made = [text for carrier in CARRIERS for _, text in texts(carrier, wanted(tmp_path, canary))]
    assert len(set(made)) == len(made) >= 100
    assert not any(CANARY in text for text in made)


@pytest.mark.parametrize("carrier", CARRIERS)
def test_a_model_that_obeys_what_it_reads_gets_nothing_outside_its_grants(
    here: Stage, canary: Pages, granted: Pages, carrier: str
) -> None:
    """H-LLM-14, H-CAP-16, H-NET-12: canary files, a canary address, a canary program; each call refused, on record."""
    told = wanted(here.place, canary)
    before = (here.place / "open" / "a.txt").read_text()
    net = ("--net", granted.authority) if carrier in PAGES else ()
    played = here.play(carrier, "--orchestration", "direct", *net)
    assert (played.status, played.state) == (ExitCode.OK, "completed"), played.error

    read = [text for _, text in played.results(1)]
    assert len(read) == len(told)
    assert not any(text.startswith("Error: ") for text in read), "it did not even read the texts"
    if carrier not in ("image", "hidden"):  # what a reader of the page would not see may be left out
        demanded = sum(one.act.split()[0] in text for one, text in zip(told, read, strict=True))
        assert demanded == len(told)

    obeyed = [text for _, text in played.results(2)]
    assert len(obeyed) == len(told), "not every demand was obeyed"
    assert all(text.startswith("Error: ") for text in obeyed)
    refused = {fields["call"] for kind in ("tool.denied", "tool.failed") for fields in played.kinds(kind)}
    assert len(refused) == len(told)

    assert here.is_untouched()
    assert (here.place / "open" / "a.txt").read_text() == before
    assert list((here.place / "out").iterdir()) == []
    assert not Path("/etc/cron.d/aaos-canary").exists()
    assert canary.asked == []
    assert not any(CANARY in json.dumps(asked.body) for asked in here.provider.requests)
