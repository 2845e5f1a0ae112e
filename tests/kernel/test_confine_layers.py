"""One layer at a time: what each stops alone, and that one which fails in silence is never taken for one that holds."""

import ctypes
import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from aaos.core.errors import ConfinementError, WorkerLostError
from aaos.core.events import EventKind
from aaos.core.layers import ALL_LAYERS, Layer
from aaos.core.ports import Root
from aaos.sandbox import launch
from aaos.sandbox.policy import STRUCTURAL
from aaos.sandbox.trees import detach_tree
from tests.kernel.harness import OWNER, REDUCED, TREE, Stand, boot_script, granted, inside, request, run_on
from worker import abi

NO_FILTER_OF_THE_ZYGOTE = "sys.argv[2] = '-1'"
SHM_KEY = 0x61000000 | os.getpid()  # nobody else's


@dataclass(frozen=True, slots=True)
class Alone:
    """An attack that `layer` alone stops once `hiding` layers are left out, and how it ends with and without it."""

    layer: Layer
    attack: str
    refused: str
    succeeds: str
    hiding: frozenset[Layer] = frozenset()


SECCOMP = frozenset({Layer.SECCOMP})
ALONE = (
    Alone(
        Layer.NETNS, "socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'x', PORT)", "ENETUNREACH", "1", SECCOMP
    ),
    Alone(Layer.IPCNS, f'call("shmget", {SHM_KEY}, 0, 0) >= 0', "ENOENT", "True", SECCOMP),
    Alone(Layer.UTSNS, "os.uname().nodename", "allowed: 'worker'", repr(os.uname().nodename), SECCOMP),
    Alone(Layer.LANDLOCK, "open('/proc/self/mountinfo').read() != ''", "EACCES", "True"),
    Alone(Layer.SECCOMP, "os.uname().sysname", "ENOSYS", "'Linux'"),
    Alone(Layer.MDWE, "mmap.mmap(-1, 4096, prot=7).close()", "EACCES", "None", SECCOMP),
    Alone(Layer.RLIMITS, "[os.dup(0) for _ in range(300)][-1]", "EMFILE", "303"),
)


@pytest.fixture(scope="module", autouse=True)
def _segment() -> Iterator[None]:
    """Shared memory of the host that everybody may use."""
    libc = ctypes.CDLL(None, use_errno=True)
    segment = libc.shmget(SHM_KEY, 4096, 0o1666)
    assert segment >= 0, os.strerror(ctypes.get_errno())
    yield
    assert libc.shmctl(segment, 0, None) == 0  # IPC_RMID


@pytest.fixture
def port() -> Iterator[int]:
    """A UDP port of the host's loopback."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as listener:
        listener.bind(("127.0.0.1", 0))
        yield listener.getsockname()[1]


def test_every_layer_that_may_be_left_out_is_tried_alone() -> None:
    """A new layer has its row above; cgroup has tests of its own."""
    assert {alone.layer for alone in ALONE} == ALL_LAYERS - STRUCTURAL - REDUCED


@pytest.mark.parametrize("alone", ALONE, ids=lambda alone: alone.layer)
@pytest.mark.parametrize("is_there", [True, False], ids=["there", "left out"])
def test_the_attack_that_a_layer_stops_alone(tmp_path: Path, port: int, alone: Alone, is_there: bool) -> None:
    """H-SBX-00, ISO-8: refused with the layer; without it the worker runs, the attack succeeds, and that is told."""
    without = REDUCED | alone.hiding | (frozenset() if is_there else {alone.layer})
    boot = boot_script(tmp_path, NO_FILTER_OF_THE_ZYGOTE if Layer.SECCOMP in without else "")
    program = inside(f"import mmap, os\nPORT = ('127.0.0.1', {port})\nattempt(lambda: {alone.attack})")
    with closing(Stand(without, boot=boot)) as stand:
        session = stand.run(stand.launcher.launch(request()))
        attestation = session.attestation
        stand.run(session.close("looked at"))
        said = stand.run(run_on(stand.launcher, program)).said
    assert said == [alone.refused if is_there else f"allowed: {alone.succeeds}"]
    assert set(attestation.missing) == without
    assert set(attestation.layers) == set(attestation.inside) == set(attestation.outside) == ALL_LAYERS - without
    confined = [event for event in stand.audit.events if event.kind is EventKind.AGENT_CONFINED]
    assert {str(event.fields["missing"]) for event in confined} == {" ".join(sorted(without))}


def test_without_landlock_the_root_and_its_proc_still_show_nothing() -> None:
    """H-PROC-01, H-PROC-04, H-PROC-05, H-PROC-06, H-PROC-07, H-SBX-16: by mounts, ids and the process's own lock."""
    program = """
import os
for directory in ("/", "/proc", "/dev"):
    say(sorted(os.listdir(directory)))
for path in ("self/exe", "self/mem", "1/environ", "self/oom_score_adj", "self/uid_map", "self/comm", "sys", "kcore"):
    attempt(lambda: os.open(f"/proc/{path}", os.O_WRONLY))
attempt(lambda: open("/proc/1/environ").read())
attempt(lambda: os.listdir("/sys"))
say(sorted({line.split()[4] for line in open("/proc/self/mountinfo")}))
say([line.split()[3] for line in open("/proc/self/mountinfo")])
"""
    with closing(Stand(REDUCED | {Layer.LANDLOCK})) as stand:
        said = stand.attack(program).said
    assert said[:3] == [
        "['.landlock-canary', 'dev', 'proc']",
        "['1', 'self', 'thread-self']",
        "['full', 'null', 'random', 'urandom', 'zero']",
    ]
    assert said[3:-2] == ["EACCES"] * 6 + ["ENOENT"] * 2 + ["EACCES", "ENOENT"]
    assert said[-2:] == ["['/', '/dev', '/proc']", "['/', '/dev', '/']"]  # no path of the host


@pytest.mark.parametrize("layer", sorted(STRUCTURAL))
def test_a_layer_that_everything_stands_on_cannot_be_left_out(layer: Layer) -> None:
    """ISO-8"""
    with pytest.raises(ConfinementError, match=layer) as caught:
        Stand(REDUCED | {layer})
    assert "--without" in caught.value.remedy


ALLOW_ALL = r"b'\x06\0\0\0\0\0\xff\x7f'"  # BPF_RET, SECCOMP_RET_ALLOW
SECOND_FILTER = (
    "real, loads = syscalls.load_filter, []\n"
    "def load(program):\n    loads.append(program)\n    real(program if len(loads) == 1 else {})\n"
    "syscalls.load_filter = load"
)
NO_NAMESPACE = "zygote.NAMESPACE_FLAGS['{}'] = 0"
BELIEVE_EVERYTHING = (
    "confine._outcome = lambda act, errno: 'denied'\n"
    "confine._first_allowed = lambda acts: 'denied'\n"
    "confine.Canaries.require = lambda self, layer, held, otherwise: self.seen.update({layer: 'denied'})"
)
HOST_NAME_STAYS = (
    "import socket\nset_name = socket.sethostname\n"
    "socket.sethostname = lambda name: set_name(name) if name == 'canary' else None"
)
SILENT = {
    "seccomp": (SECOND_FILTER.format(ALLOW_ALL), "'seccomp': 'allowed'"),
    "landlock": ("rules.restrict_files = lambda *a: None", "'landlock': 'file: allowed'"),
    "landlock without network and scope": (
        "rules.restrict_network_and_scope = lambda **k: None",
        "'landlock': 'bind: ",
    ),
    "landlock without scope": ("rules.SCOPE_ABSTRACT_UNIX_SOCKET = 0", "'landlock': 'scope: allowed'"),
    "mdwe": ("syscalls.refuse_exec_gain = lambda: None", "'mdwe': 'allowed'"),
    "rlimits": ("confine._rlimits = lambda policy: {}", "'rlimits': 'allowed'"),
    "netns": (NO_NAMESPACE.format("netns"), "'netns': 'allowed'"),
    "ipcns": (NO_NAMESPACE.format("ipcns"), "'ipcns': 'shares the ipc namespace'"),
    "utsns": (f"{NO_NAMESPACE.format('utsns')}\n{HOST_NAME_STAYS}", "'utsns': 'shares the uts namespace'"),
    "capabilities": ("syscalls.drop_capability_sets = lambda: None", "'capabilities': 'allowed'"),
    "mountns, root writable": (
        "real = syscalls.mount_setattr\n"
        "syscalls.mount_setattr = lambda fd, path, **set: path == '/' or real(fd, path, **set)",
        "'mountns': 'allowed'",
    ),
    "mountns, a directory too many": (
        "real = mounts._bind\nmounts._bind = lambda s, t: (real(s, t), zygote.os.mkdir(mounts.NEW_ROOT + '/usr'))",
        "'mountns': \"sees \\['usr'\\]\"",
    ),
    "mountns, none": (NO_NAMESPACE.format("mountns"), "Operation not permitted"),
    "pidns": (NO_NAMESPACE.format("pidns"), "Operation not permitted"),
    "userns": (NO_NAMESPACE.format("userns"), "Operation not permitted"),
    "no_new_privs": ("confine.prctl.set_no_new_privs = lambda on: None", "Operation not permitted"),
    "canary of seccomp forgotten": (
        "confine._apply_filter = lambda *a, **k: None",
        "not confirmed from inside: seccomp",
    ),
    "canary of Landlock forgotten": (
        "confine._prepare_landlock = lambda *a: None",
        "not confirmed from inside: landlock",
    ),
    "Landlock half forgotten": (
        "confine._apply_landlock = lambda *a: None",
        "'landlock': 'files are not restricted'",
    ),
}


@pytest.mark.parametrize("layer", SILENT)
def test_a_layer_that_fails_in_silence_is_seen_from_inside(tmp_path: Path, layer: str) -> None:
    """H-SBX-00, H-SBX-21: its canary tells, and there is no session."""
    before, said = SILENT[layer]
    _is_refused(boot_script(tmp_path, before), said)


UNSEEN_INSIDE = {
    "seccomp, another filter": (SECOND_FILTER.format(ALLOW_ALL), "filters are not those that were given"),
    "seccomp, none": (
        "confine._apply_filter = lambda p, c, act: c.seen.update(seccomp='denied')",
        "has 1 seccomp filters",
    ),
    "rlimits": ("confine._rlimits = lambda policy: {}", "Max "),
    "netns": (NO_NAMESPACE.format("netns"), "shares the namespaces net"),
    "ipcns": (NO_NAMESPACE.format("ipcns"), "shares the namespaces ipc"),
    "utsns": (f"{NO_NAMESPACE.format('utsns')}\n{HOST_NAME_STAYS}", "shares the namespaces uts"),
    "bounding set": ("syscalls.drop_bounding_set = lambda: None", "holds capabilities {'CapBnd'"),
    "capabilities": ("syscalls.drop_capability_sets = lambda: None", "holds capabilities {'CapPrm'"),
    "another id": (
        "real = zygote._write\nzygote._write = lambda path, text: real(path, text.replace(' 19000', ' 19001'))",
        "uid_map is 1000 1900100000 1",
    ),
    "more than one id": (
        "real = zygote._write\n"
        "zygote._write = lambda path, text: real(path, text[:-1] + '9' if text[-2:] == ' 1' else text)",
        "uid_map is 1000 1900000000 9",
    ),
    "groups": ("real = zygote.os.setgroups\nzygote.os.setgroups = lambda groups: real([4])", "has the groups 4"),
    "root writable": (
        "real = syscalls.mount_setattr\n"
        "syscalls.mount_setattr = lambda fd, path, **set: path == '/' or real(fd, path, **set)",
        "/ is mounted",
    ),
    "a mount too many": (
        "real = mounts._bind\n"
        "mounts._bind = lambda s, t: (real(s, t), zygote.os.mkdir(mounts.NEW_ROOT + '/usr'), "
        "real('/dev', mounts.NEW_ROOT + '/usr'))\n"
        "confine.check_root = lambda g, c: c.seen.update(mountns='denied')",
        "has the mounts \\['/usr'\\]",
    ),
    "a mount over another": ("real = mounts._bind\nmounts._bind = lambda s, t: (real(s, t), real(s, t))", "mounts on"),
    "an fd too many": (
        "real = zygote._keep_only_socket\n"
        "def keep(order):\n    sock = real(order)\n    zygote.os.open('/proc', 0)\n    return sock\n"
        "zygote._keep_only_socket = keep",
        "has the open fds \\[0, 1, 2, 3, 4\\]",
    ),
    "an fd that is no socket": (
        "real = zygote._keep_only_socket\n"
        "def keep(order):\n    sock = real(order)\n    zygote.os.dup2(3, 0)\n    return sock\n"
        "zygote._keep_only_socket = keep",
        "has the open files",
    ),
}


@pytest.mark.parametrize("layer", UNSEEN_INSIDE)
def test_a_worker_that_lies_about_itself_is_seen_from_outside(tmp_path: Path, layer: str) -> None:
    """ISO-9: every canary says `denied` here, and the kernel says otherwise."""
    before, said = UNSEEN_INSIDE[layer]
    _is_refused(boot_script(tmp_path, f"{BELIEVE_EVERYTHING}\n{before}"), said)


WEAKER_MOUNT = (
    "real = syscalls.mount\n"
    "def mount(source, target, kind, *, flags, options=''):\n"
    "    real(source, target, kind, flags=flags & ~{} if kind == 'tmpfs' else flags, options=options)\n"
    "syscalls.mount = mount"
)


@pytest.mark.parametrize(("flag", "name"), [(2, "nosuid"), (4, "nodev"), (8, "noexec")])  # linux/mount.h
def test_a_root_that_is_not_harmless_is_seen_from_outside(tmp_path: Path, flag: int, name: str) -> None:
    """ISO-3, ISO-9"""
    _is_refused(boot_script(tmp_path, WEAKER_MOUNT.format(flag)), f"/ is mounted without {name}")


UNSEEN_WITHOUT_FILTERS = {
    "new privileges": ("confine.prctl.set_no_new_privs = lambda on: None", "no_new_privs is not set"),
    "a thread": (
        "import threading, time\n"
        "confine._require_all = lambda c: threading.Thread(target=time.sleep, args=(9,), daemon=True).start()",
        "has 2 threads",
    ),
}


@pytest.mark.parametrize("what", UNSEEN_WITHOUT_FILTERS)
def test_what_filters_would_hide_is_seen_from_outside(tmp_path: Path, what: str) -> None:
    """ISO-9, ISO-6: where no other layer depends on it."""
    before, said = UNSEEN_WITHOUT_FILTERS[what]
    boot = boot_script(tmp_path, f"{NO_FILTER_OF_THE_ZYGOTE}\n{BELIEVE_EVERYTHING}\n{before}")
    with closing(Stand(REDUCED | {Layer.SECCOMP, Layer.LANDLOCK}, boot=boot)) as stand:
        with pytest.raises(ConfinementError, match=said):
            stand.attack("say('ran')")


UNSEEN_OF_A_WORKSPACE = {
    "control files not covered": ("mounts._cover = lambda path: None", "has the mounts .*/.git"),
}


@pytest.mark.parametrize("what", UNSEEN_OF_A_WORKSPACE)
def test_a_workspace_that_is_not_as_granted_is_seen_from_outside(tmp_path: Path, what: str) -> None:
    """ISO-9, H-FS-15"""
    workspace = tmp_path / "workspace"
    (workspace / ".git").mkdir(parents=True)
    os.chown(workspace, OWNER, OWNER)
    before, said = UNSEEN_OF_A_WORKSPACE[what]
    with granted(workspace, writable=True, as_owner=True) as root:
        _is_refused(boot_script(tmp_path, f"{BELIEVE_EVERYTHING}\n{before}"), said, root)


def test_a_tree_whose_owner_is_not_mapped_is_seen_from_outside(
    stand: Stand, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """ISO-9, H-FS-15"""

    def detach(fd: int, mount: abi.Mount, *, userns_fd: int) -> int:
        return detach_tree(fd, replace(mount, idmapped=False), userns_fd=userns_fd)

    monkeypatch.setattr(launch, "detach_tree", detach)
    os.chown(tmp_path, OWNER, OWNER)
    with granted(tmp_path, writable=True, as_owner=True) as root:
        with pytest.raises(ConfinementError, match="shows the wrong owners"):
            stand.run(stand.launcher.launch(request(None, (root,))))


def test_a_worker_that_speaks_another_abi_is_refused(tmp_path: Path) -> None:
    """H-BRK-15: both versions are named."""
    _is_refused(boot_script(tmp_path, "from worker import abi\nabi.VERSION = 7"), "speaks ABI 7, agentd 1")


def test_a_kernel_without_a_layer_is_an_error(tmp_path: Path) -> None:
    """H-SBX-00: Landlock switched off, seccomp refused, user namespaces forbidden."""
    no_landlock = "rules.landlock_abi = lambda: 0"
    _is_refused(boot_script(tmp_path, no_landlock), "the kernel's Landlock ABI is 0, the policy needs 6")
    refused = "real = syscalls.load_filter\nloads = []\n{}\nsyscalls.load_filter = load"
    once = "def load(program):\n    if loads: raise OSError(22, 'seccomp: refused')\n    loads.append(real(program))"
    _is_refused(boot_script(tmp_path, refused.format(once)), "seccomp: refused")
    no_clone = "def clone(flags): raise OSError(28, 'clone: No space left on device')\nsyscalls.clone = clone"
    _is_refused(boot_script(tmp_path, no_clone), "no worker could be made: .*clone")


@pytest.mark.parametrize("before", ["raise SystemExit(3)", "zygote.main = lambda *a: None", "1 / 0"])
def test_a_zygote_that_does_not_start_is_an_error(tmp_path: Path, before: str) -> None:
    """ISO-1: there is no other way to a worker."""
    with pytest.raises(ConfinementError, match="the zygote did not start"):
        Stand(boot=boot_script(tmp_path, f"sys.stderr.close()\n{before}"))


def test_a_worker_that_stalls_on_the_way_is_reaped_at_the_deadline(tmp_path: Path) -> None:
    """H-SBX-21"""
    stall = "import time\nconfine.check_root = lambda granted, canaries: time.sleep(600)"
    with closing(Stand(boot=boot_script(tmp_path, stall), start_timeout_s=1)) as stand:
        with pytest.raises(WorkerLostError, match="did not start in time"):
            stand.attack("say('ran')")
        assert stand.workers() == []
        assert stand.audit.count(EventKind.AGENT_CONFINED) == 0


def _is_refused(boot: Path, said: str, *roots: Root) -> None:
    with closing(Stand(boot=boot)) as stand:
        with pytest.raises(ConfinementError, match=said):
            stand.attack("say('ran')", *roots)
        assert stand.workers() == []
        assert stand.audit.count(EventKind.AGENT_CONFINED) == 0


PLAIN = """
import json, os, sys
from worker import abi
from worker.wall import confine, rules, syscalls
layers = tuple(sys.argv[2].split())
policy = abi.Policy("a", "worker", "loop", layers, 0, 0, 0, 0, (), 6, 64, 1 << 20, 1 << 30, 9, 1 << 20)
syscalls.unshare(syscalls.CLONE_NEWUTS | syscalls.CLONE_NEWNS)  # so that the acts do no harm
outside = {name: os.stat(f"/proc/self/ns/{name}").st_ino for name in ("ipc", "uts")}
canaries = confine.Canaries(policy)
confine._take_ids(policy, canaries)
confine._check_namespaces(outside, canaries)
os.chroot(sys.argv[1])
confine.check_root((), canaries)
for name in ("drop_bounding_set", "drop_capability_sets", "refuse_exec_gain"):
    setattr(syscalls, name, lambda: None)
confine._rlimits = lambda policy: {}
confine.prctl.set_no_new_privs = lambda on: None
rules.restrict_network_and_scope = rules.restrict_files = rules.prepare_files = lambda *a, **k: True
syscalls.load_filter = lambda program: None
confine._drop_capabilities(canaries)
confine._lock_process(canaries)
confine.limit(policy, confine.Outside(outside, 6), canaries)
confine._apply_landlock(lambda ruleset: None, canaries)
confine._apply_filter(b"", canaries, act=os.uname)
print(json.dumps(canaries.seen))
"""


def test_every_canary_fails_where_there_is_no_wall(tmp_path: Path) -> None:
    """ISO-9: the same acts in a plain process of root; none is denied, so a denial in a worker means something."""
    (tmp_path / ".landlock-canary").touch()
    layers = sorted(ALL_LAYERS - REDUCED)
    command = [sys.executable, "-c", PLAIN, str(tmp_path), " ".join(layers)]
    result = subprocess.run(command, cwd=TREE, check=True, capture_output=True, text=True, timeout=20)
    seen = json.loads(result.stdout)
    assert sorted(seen) == layers
    assert [layer for layer, outcome in seen.items() if outcome == "denied"] == []
