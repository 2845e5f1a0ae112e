"""What systemd does for `agentd configure`: it seals a key for the unit, opens a sealed one, and restarts the daemon.

Invariant: a key goes through pipes only: not in arguments, not in an environment, not in a file; a child's environment
is fixed. Nothing is asked of a machine that systemd does not run.
Source: systemd-creds(1), systemd.exec(5) ImportCredential=, sd_booted(3).
"""

import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from aaos.core.errors import AaosError, StorageError
from aaos.llm.keys import CREDENTIAL, Key, checked_key

UNIT = "agentd.service"
DEADLINE_S = 60
_ENVIRONMENT = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8"}


@dataclass(frozen=True, slots=True)
class Host:
    """The machine; a test replaces its programs and places."""

    credstore: Path = Path("/etc/credstore.encrypted")
    plain_credstore: Path = Path("/etc/credstore")
    systemd: Path = Path("/run/systemd/system")
    creds: Path = Path("/usr/bin/systemd-creds")
    systemctl: Path = Path("/usr/bin/systemctl")

    @property
    def is_run_by_systemd(self) -> bool:
        """Whether there is a manager to ask."""
        return self.systemd.is_dir() and self.systemctl.exists()

    def may_seal(self) -> bool:
        """Whether keys can be sealed, and the unit of this machine will load them."""
        if not self.is_run_by_systemd or not self.creds.exists():
            return False
        asked = [str(self.systemctl), "show", "--property=ImportCredential,ImportCredentialEx", UNIT]
        status, out = _run(asked)
        return status == 0 and f"{CREDENTIAL}*".encode() in out

    def seal(self, key: Key) -> bytes | None:
        """The key as only this machine can open it, or None when it can't seal."""
        asked = [str(self.creds), "encrypt", "--with-key=host", f"--name={CREDENTIAL}{key.name}", "-", "-"]
        status, out = _run(asked, given=key.reveal().encode())
        return out if status == 0 and out else None

    def unseal(self, name: str) -> Key | None:
        """The sealed key, or None when there is none. Raises AaosError when it can't be opened."""
        path = self.sealed(name)
        if not path.exists():
            return None
        status, out = _run([str(self.creds), "decrypt", f"--name={CREDENTIAL}{name}", str(path), "-"])
        if status != 0:
            remedy = "give it again: sudo agentd configure --key-stdin"
            raise StorageError(f"{path}: cannot be opened by systemd-creds on this machine", remedy)
        return checked_key(name, out, source=str(path))

    def sealed(self, name: str) -> Path:
        """Where the sealed key is, or belongs."""
        return self.credstore / f"{CREDENTIAL}{name}"

    def places(self, name: str) -> tuple[Path, Path]:
        """Where the unit takes a key of this name from, sealed or not."""
        return self.sealed(name), self.plain_credstore / f"{CREDENTIAL}{name}"

    def restart(self) -> bool:
        """Start the daemon again if it runs. False where nobody can; raises AaosError when it did not start."""
        if not self.is_run_by_systemd:
            return False
        status, _ = _run([str(self.systemctl), "try-restart", UNIT])
        if status != 0:
            raise AaosError(f"{UNIT} did not start again with the new settings", "journalctl -t agentd -n 20")
        return True


def _run(words: Sequence[str], *, given: bytes = b"") -> tuple[int, bytes]:
    """Exit status and output; what a program says on stderr is of no use to the operator."""
    try:
        done = subprocess.run(
            words,
            input=given,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=_ENVIRONMENT,
            timeout=DEADLINE_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return 127, b""
    return done.returncode, done.stdout
