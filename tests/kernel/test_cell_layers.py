"""Each layer of a cell by itself: one that fails in silence is seen before the program is named, and one that is left
out lets through what it alone stops.
"""

from contextlib import closing
from pathlib import Path

import pytest

from aaos.core.cell import CellRequest, CellResult, HostPort
from aaos.core.errors import ConfinementError
from aaos.core.events import EventKind
from aaos.core.layers import Layer
from tests.kernel.cells import PYTHON, cell, python, shell, silent
from tests.kernel.harness import REDUCED, Stand, boot_script
from tests.kernel.test_door import Doorman

FAILURES = {
    "seccomp, none": ("confine._apply_filter = lambda p, c, act: c.seen.update(seccomp='denied')", "seccomp filters"),
    "seccomp, forgotten": ("syscalls.load_filter = lambda program: None", "'seccomp': 'allowed'"),
    "landlock, files": ("rules.restrict_cell = lambda ruleset, policy, scratch: None", "'landlock': 'file: allowed'"),
    "landlock, network": ("rules.restrict_network_and_scope = lambda **rest: None", "'landlock': 'bind: allowed'"),
    "landlock, forgotten": ("confine._prepare_landlock = lambda *a: None", "not confirmed from inside: landlock"),
    "capabilities": ("syscalls.drop_capability_sets = lambda: None", "'capabilities': 'allowed'"),
    "no_new_privs": (
        "confine.prctl.set_no_new_privs = lambda on: None",
        "landlock_restrict_self: Operation not permitted",
    ),
    "rlimits, none": ("confine._rlimits = lambda policy: {}", "'rlimits': 'allowed'"),
    "rlimits, processor": (
        "import resource\nreal = confine._rlimits\n"
        "confine._rlimits = lambda p: {k: v for k, v in real(p).items() if k != resource.RLIMIT_CPU}",
        "Max cpu time is unlimited",
    ),
    "rlimits, memory": (
        "import resource\nreal = confine._rlimits\n"
        "confine._rlimits = lambda p: {k: v for k, v in real(p).items() if k != resource.RLIMIT_DATA}",
        "Max data size is unlimited",
    ),
    "mounts, scratch may be executed": (
        "import dataclasses\nreal = mounts.furnish_cell\n"
        "mounts.furnish_cell = lambda p, t: real(dataclasses.replace(p, exec_writable=True), t)",
        "/tmp is mounted without noexec",
    ),
    "mounts, one more": (
        "real = mounts.furnish_cell\n"
        "mounts.furnish_cell = lambda p, t: (syscalls.mount('tmpfs', '/proc', 'tmpfs', flags=14), real(p, t))",
        "has the mounts|mounts on",
    ),
    "mounts, writable root": (
        "mounts._READ_ONLY = 0",
        "'mountns': 'allowed'",
    ),
    "netns": ("zygote.NAMESPACE_FLAGS['netns'] = 0", "'netns': 'allowed'|shares the namespaces net"),
    "an open file": (
        "real = confine.lock\nconfine.lock = lambda *a, **k: (__import__('os').open('/usr', 0), real(*a, **k))",
        "has the open fds",
    ),
}


@pytest.mark.parametrize("name", FAILURES)
def test_a_layer_that_fails_in_silence_is_seen(tmp_path: Path, name: str) -> None:
    """H-SBX-00, ISO-9: there is no cell then, and its program is never named to it."""
    change, seen = FAILURES[name]
    before = "import worker.wall.cell\n" + change
    with closing(Stand(boot=boot_script(tmp_path, before))) as stand:
        with pytest.raises(ConfinementError, match=seen):
            stand.run(stand.launcher.cells.run_cell(shell("echo ran"), silent))
        assert stand.audit.count(EventKind.CELL_CONFINED) == 0
        assert stand.workers() == []


def test_the_same_boot_without_a_change_confines(tmp_path: Path) -> None:
    """H-SBX-00: what refuses is not that nothing works."""
    with closing(Stand(boot=boot_script(tmp_path, "import worker.wall.cell"))) as stand:
        assert stand.run(stand.launcher.cells.run_cell(shell("echo ran"), silent)).stdout == b"ran\n"


def _without(layer: Layer, request: CellRequest) -> CellResult:
    with closing(Stand(REDUCED | {layer})) as stand:
        result = stand.run(stand.launcher.cells.run_cell(request, silent))
        (confined,) = (event for event in stand.audit.events if event.kind is EventKind.CELL_CONFINED)
        assert str(layer) in str(confined.fields["missing"]).split()
        return result


def test_without_landlock_any_program_of_usr_is_executed() -> None:
    """ISO-4, ISO-12: it is Landlock that says which; what the cell wrote is stopped by its mount alone."""
    script = "/usr/bin/uname; /usr/bin/cp /usr/bin/true /tmp/x; /tmp/x; echo $?"
    result = _without(Layer.LANDLOCK, shell(script))
    assert result.stdout == b"Linux\n126\n"


def test_without_seccomp_a_namespace_can_be_made() -> None:
    """ISO-5, H-SBX-01: it is the filter that refuses."""
    source = "import ctypes, os\nprint(ctypes.CDLL(None).unshare(0x10000000), os.listdir('/tmp'))"
    assert _without(Layer.SECCOMP, python(source)).stdout == b"0 []\n"


def test_without_limits_processes_are_not_counted() -> None:
    """ISO-6: the limits are their own layer."""
    source = "import resource\nprint(resource.getrlimit(resource.RLIMIT_NPROC)[0] != 33)"
    assert _without(Layer.RLIMITS, cell(PYTHON, "-c", source)).stdout == b"True\n"


def test_a_door_that_is_kept_is_seen(tmp_path: Path) -> None:
    """ISO-9: a cell that listens itself could answer in the place of the egress."""
    before = (
        "from worker.cell import door\nimport os, socket\nreal = door.open_door\n"
        "def twice():\n    made = real()\n    os.dup(made.fileno())\n    return made\n"
        "door.open_door = twice"
    )
    with closing(Stand(boot=boot_script(tmp_path, before))) as stand:
        stand.launcher.cells.network = Doorman()
        request = cell("/bin/sh", "-c", "echo ran", egress=[HostPort("example.org", 443)])
        with pytest.raises(ConfinementError, match="has the open fds"):
            stand.run(stand.launcher.cells.run_cell(request, silent))
