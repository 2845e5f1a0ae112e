"""Runs a command as its unit would, as far as that needs no systemd: `packaging/under_unit.py UNIT COMMAND…`, as root.

It takes CapabilityBoundingSet=, NoNewPrivileges= and SystemCallFilter= with SystemCallErrorNumber= from the unit; what
a group of system calls holds is asked of this machine's systemd. Source: systemd.exec(5), setpriv(1).
"""

import errno
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

sys.path.insert(0, "/usr/lib/aaos")  # where the package has what Debian lacks

import pyseccomp

_ALWAYS = "@default"  # systemd permits it to every allow-list


def main(unit: Path, command: Sequence[str]) -> None:
    """Become the command."""
    told = directives(unit.read_text(encoding="utf-8"))
    kept = ",".join(f"+{name.removeprefix('CAP_').lower()}" for name in told["CapabilityBoundingSet"].split())
    words = ["setpriv", f"--bounding-set=-all,{kept}", "--inh-caps=-all"]
    if told["NoNewPrivileges"] == "yes":
        words.append("--no-new-privs")
    with tempfile.TemporaryFile() as program:
        _filter(told).export_bpf(program)
        os.set_inheritable(program.fileno(), True)
        words += [f"--seccomp-filter=/proc/self/fd/{program.fileno()}", "--", *command]
        os.execvp(words[0], words)  # noqa: S606  # no shell is wanted


def directives(text: str) -> Mapping[str, str]:
    """What the unit says, name by name."""
    return dict(re.findall(r"^([A-Z]\w+)=(.*)$", text, re.MULTILINE))


def _filter(told: Mapping[str, str]) -> pyseccomp.SyscallFilter:
    made = pyseccomp.SyscallFilter(pyseccomp.ERRNO(getattr(errno, told["SystemCallErrorNumber"])))
    for name in sorted(set(_names([_ALWAYS, *told["SystemCallFilter"].split()]))):
        try:
            made.add_rule(pyseccomp.ALLOW, name)
        except (ValueError, OSError):
            continue  # of another architecture, or newer than this libseccomp
    return made


def _names(words: Sequence[str]) -> Iterator[str]:
    for word in words:
        if word.startswith("@"):
            asked = ["systemd-analyze", "syscall-filter", word]
            said = subprocess.run(asked, check=True, capture_output=True, text=True).stdout
            yield from _names(re.findall(r"^    (@?[\w-]+)$", said, re.MULTILINE))
        else:
            yield word


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
