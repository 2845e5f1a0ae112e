"""What the package starts finds its own modules, Python's and Debian's, and nothing that root has added by pip.

The machine's own Python is asked, in a mount namespace where /usr/local holds traps of every name that is imported.
"""

import subprocess
from pathlib import Path

import pytest

TREE = Path(__file__).parent.parent.parent
PYTHON = "/usr/bin/python3"
AGENTD = "packaging/debian/agentd"
BOOTS = {
    AGENTD: ("version",),
    "aaos/daemon/boot.py": ("doctor",),
    "worker/wall/__main__.py": ("-1", "-1", "/nowhere"),
    "aaos/egress/__main__.py": ("-1", "-1", "/nowhere"),
}
NAMES = ("h11", "httpx", "landlock", "lxml", "prctl", "pydantic", "pyseccomp", "systemd", "yaml", "sitecustomize")
# $1: where traps are; then a command
TRAPPED = """
mount -t tmpfs aaos-test /usr/local && mkdir -p "$1" && cd "$1" || exit 99
for name in {names}; do echo 'import os; os.write(2, b"PLANTED\\n")' >$name.py; done
echo 'import os; os.write(2, b"PLANTED\\n")' >trap.pth
shift && cd / && exec "$@"
""".format(names=" ".join(NAMES))


def trapped(*command: str) -> str:
    """What a command says where the traps are."""
    where = "import sys; print('/usr/local/lib/python%d.%d/dist-packages' % sys.version_info[:2])"
    place = subprocess.run([PYTHON, "-IS", "-c", where], capture_output=True, text=True, check=True, timeout=60)
    words = [
        "unshare",
        "--mount",
        "--propagation",
        "private",
        "sh",
        "-c",
        TRAPPED,
        "sh",
        place.stdout.strip(),
        *command,
    ]
    done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode != 99, done.stderr
    return done.stdout + done.stderr


def test_the_traps_catch_who_does_not_look_away() -> None:
    assert "PLANTED" in trapped(PYTHON, "-I", "-c", "pass")
    assert "PLANTED" in trapped(PYTHON, "-I", "-c", "import yaml")


@pytest.mark.parametrize("boot", BOOTS)
def test_nothing_that_root_has_added_is_in_the_way_of_what_debian_ships(tmp_path: Path, boot: str) -> None:
    """H-PKG-04: started as the package does."""
    text = (TREE / boot).read_text(encoding="utf-8")
    if boot == AGENTD:  # as it is installed: for this tree
        assert text.startswith(f"#!{PYTHON} -IS\n")
        script = tmp_path / "agentd"
        script.write_text(text.replace("/usr/lib/aaos", str(TREE)))
    else:
        script = TREE / boot
    said = trapped(PYTHON, "-IS", str(script), *BOOTS[boot])
    assert "PLANTED" not in said
    assert str(TREE) in said or "agentd" in said, "it was not this tree that ran"
