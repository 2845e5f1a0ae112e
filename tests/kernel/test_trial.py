"""The self-test in real workers: everything is stopped, and where a layer is left out it says so."""

import os
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import pytest

from aaos.core.layers import Layer
from aaos.selftest.places import places
from aaos.selftest.probe import KILLED, SILENT, Probe, Result
from aaos.selftest.trial import PROBES, Facts, _Heard, counted, failures, run_in_cells, run_in_workers
from tests.kernel.harness import OWNER, REDUCED, Stand


def tried(stand: Stand, directory: Path, probes: Sequence[Probe] = PROBES, *, silence_s: float = 10.0) -> list[Result]:
    """The results of one self-test."""
    with places(directory, (OWNER, OWNER)) as made:
        facts = Facts(os.getpid(), Path(__file__))
        return stand.run(run_in_workers(stand.launcher, made, facts, probes=probes, silence_s=silence_s))


def test_every_probe_is_stopped_by_the_layer_that_it_names(stand: Stand, tmp_path: Path) -> None:
    """ISO-10, H-SBX-00, R16"""
    results = tried(stand, tmp_path)
    assert list(failures(results)) == []
    assert counted(results) == {"probes": len(PROBES), "failed": 0}
    assert {result.layer for result in results} <= {*map(str, Layer), "zygote"}


def test_a_daemons_umask_changes_nothing(tmp_path: Path) -> None:
    """ISO-3, H-API-03: the five devices are there, and what is stopped is stopped in the same way."""
    before = os.umask(0o077)
    try:
        with closing(Stand()) as stand:
            assert list(failures(tried(stand, tmp_path))) == []
            said = stand.attack("import os\nattempt(lambda: os.close(os.open('/dev/null', os.O_RDWR)))").said
    finally:
        os.umask(before)
    assert said == ["allowed: None"]


def in_cells(
    stand: Stand, directory: Path, probes: Sequence[Probe] = PROBES, *, silence_s: float = 10.0
) -> list[Result]:
    """The results of one self-test in cells."""
    with places(directory, (OWNER, OWNER)) as made:
        facts = Facts(os.getpid(), Path(__file__))
        return stand.run(run_in_cells(stand.launcher.cells, made, facts, probes=probes, silence_s=silence_s))


def test_every_probe_is_stopped_in_a_cell_too(stand: Stand, tmp_path: Path) -> None:
    """ISO-10, H-SBX-00, R16"""
    results = in_cells(stand, tmp_path)
    assert list(failures(results)) == []
    assert len(results) >= 120
    assert {result.place for result in results} == {"cell"}


def test_a_probe_that_kills_or_hangs_its_cell_is_judged_and_the_others_are_tried(stand: Stand, tmp_path: Path) -> None:
    """ISO-10"""
    acts = ("os.chroot('/')", "os._exit(0)", "os.getpid()", "any(iter(int, 1))", "os.chroot('/etc')")
    probes = [Probe("g", str(number), act, "EPERM seccomp") for number, act in enumerate(acts)]
    results = in_cells(stand, tmp_path, probes, silence_s=2)
    assert [result.seen for result in results] == ["EPERM", KILLED, "allowed", SILENT, "EPERM"]


@pytest.mark.parametrize("layer", [Layer.SECCOMP, Layer.LANDLOCK, Layer.RLIMITS])
def test_without_a_layer_the_probes_that_it_stops_fail(tmp_path: Path, layer: Layer) -> None:
    """ISO-10: a self-test that cannot fail would say nothing."""
    with closing(Stand(REDUCED | {layer})) as stand:
        failed = list(failures(tried(stand, tmp_path)))
    assert len(failed) >= 3
    named = {probe.name for probe in PROBES if str(layer) in probe.refusals.values()}
    assert {result.probe for result in failed} <= named


def test_a_probe_that_kills_or_hangs_its_worker_is_judged_and_the_others_are_tried(
    stand: Stand, tmp_path: Path
) -> None:
    """ISO-10"""
    acts = ("os.fork()", "os._exit(0)", "os.getpid()", "any(iter(int, 1))", "os.fork()")
    probes = [Probe("g", str(number), act, "EPERM seccomp") for number, act in enumerate(acts)]
    results = tried(stand, tmp_path, probes, silence_s=0.5)
    assert [result.seen for result in results] == ["EPERM", KILLED, "allowed", SILENT, "EPERM"]
    assert stand.workers() == []


def test_what_a_probe_says_beside_its_report_counts_for_nothing(stand: Stand, tmp_path: Path) -> None:
    """ISO-10: it cannot answer for another, nor twice."""
    send = 'socket.socket(fileno=os.dup(3)).send(json.dumps({"t": "log", "text": text}).encode())'
    act = f"[{send} for text in %r]" % (('{"probe": 7, "seen": "EPERM"}', "nonsense", '{"probe": "0", "seen": 1}'),)
    results = tried(stand, tmp_path, [Probe("g", "forge", act, "EPERM seccomp"), Probe("g", "b", "1", "EPERM seccomp")])
    assert [result.is_ok for result in results] == [False, False]


def test_what_is_no_report_is_passed_over() -> None:
    """H-FUZZ-10: who says it is a worker in which attacks are tried."""
    heard = _Heard()
    for line in ('{"probe": 3}', "[" * 4_000, "{", "9" * 5_000, '{"probe": []}', '{"probe": 3, "seen": "EPERM"}'):
        heard.line(line)
    assert heard.seen == {3: "EPERM"}
