"""A Debian 13 guest under emulation, driven through its guest agent: boot, run commands, end.

Invariant: the guest has no network; its disk is a throw-away overlay of the cached image; `Guest` ends it by its own
process, whatever happened. A machine on which no guest can run is told from a guest that is wrong: only the latter is
a TimeoutError. Source: qemu-ga(8), "QEMU Guest Agent Protocol Reference".
"""

import base64
import json
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from qa.vm.boot import MEMORY_MIB, Boot, require_room

POLL_S = 0.2
# Plain `max` has panicked guests of this emulator; these two features are not needed.
_CPU = "max,-cx16,-la57"


@dataclass(frozen=True, slots=True)
class Image:
    """What a guest boots: a root file system, and the kernel and initrd that were installed in it."""

    disk: Path
    kernel: Path
    initrd: Path


@dataclass(frozen=True, slots=True)
class Ran:
    """A command that ended in the guest: its exit status and what it wrote to both outputs."""

    status: int
    output: str


class Guest:
    """A guest whose agent answers."""

    def __init__(self, agent: socket.socket, process: subprocess.Popen[bytes], console: Path) -> None:
        self._agent = agent
        self._reader = agent.makefile("rb")
        self._process = process
        self._console = console

    @property
    def console(self) -> str:
        """What the guest has said on its serial console."""
        return self._console.read_text(errors="replace")

    def run(self, *command: str, user: str | None = None, timeout_s: float = 300.0) -> Ran:
        """Run a shell command line as root, or in a new session of `user`. Raises TimeoutError."""
        words = ["/bin/sh", "-c", " ".join(command)]
        if user is not None:
            words = ["/usr/sbin/runuser", "--login", user, "--command", " ".join(command)]
        started = self._ask("guest-exec", path=words[0], arg=words[1:], **{"capture-output": True})
        until_s = time.monotonic() + timeout_s
        while not (status := self._ask("guest-exec-status", pid=started["pid"]))["exited"]:
            if time.monotonic() > until_s:
                raise TimeoutError(f"{' '.join(command)}: not done in {timeout_s:g} s")
            time.sleep(POLL_S)
        output = "".join(base64.b64decode(status.get(part, "")).decode(errors="replace") for part in _OUTPUTS)
        return Ran(status.get("exitcode", -1), output)

    def end(self) -> None:
        """Switch it off, as by pulling the plug."""
        self._reader.close()
        self._agent.close()
        self._process.kill()
        self._process.wait()

    def _ask(self, name: str, **arguments: Any) -> Any:  # Any: whatever the agent answers
        self._agent.sendall(json.dumps({"execute": name, "arguments": arguments}).encode() + b"\n")
        answer = json.loads(self._reader.readline())
        if "error" in answer:
            raise RuntimeError(f"{name}: {answer['error']['desc']}")
        return answer["return"]

    def wait(self) -> None:
        """Until the agent answers. Raises TimeoutError with the end of the console, NoGuestError."""
        boot = Boot(time.monotonic())
        number = 0
        while self._process.poll() is None and boot.may_go_on(self.console, time.monotonic()):
            number += 1
            if self._answers(number):
                return
        raise boot.fault(self.console, time.monotonic(), has_ended=self._process.poll() is not None)

    def _answers(self, number: int) -> bool:
        """Whether the agent gives the number back; earlier answers, if it had only been slow, are thrown away."""
        self._agent.sendall(json.dumps({"execute": "guest-sync", "arguments": {"id": number}}).encode() + b"\n")
        self._agent.settimeout(5)
        try:
            while json.loads(self._reader.readline()) != {"return": number}:
                continue
        except (TimeoutError, ValueError):  # no answer; no more answers, when the emulator has ended
            self._reader = self._agent.makefile("rb")
            time.sleep(POLL_S)
            return False
        self._agent.settimeout(300)
        return True


_OUTPUTS = ("out-data", "err-data")


@contextmanager
def booted(image: Image, payload: Path) -> Iterator[Guest]:
    """A guest with `payload`, a file system image, as its second disk. Raises TimeoutError, NoGuestError."""
    require_room()
    with tempfile.TemporaryDirectory(prefix="aaos-guest-") as place:
        overlay, channel, console = (Path(place, name) for name in ("disk.qcow2", "agent", "console"))
        _quietly("qemu-img", "create", "-q", "-f", "qcow2", "-b", str(image.disk), "-F", "raw", str(overlay))
        process = subprocess.Popen(_command(image, overlay, payload, channel=channel, console=console))
        guest = Guest(_connected(channel, process), process, console)
        try:
            guest.wait()
            yield guest
        finally:
            guest.end()


def _command(image: Image, overlay: Path, payload: Path, *, channel: Path, console: Path) -> list[str]:
    return [
        "qemu-system-x86_64", "-machine", "q35", "-accel", "tcg,thread=multi", "-cpu", _CPU, "-smp", "2",
        "-m", str(MEMORY_MIB), "-nodefaults", "-display", "none", "-nic", "none", "-no-reboot",
        "-kernel", str(image.kernel), "-initrd", str(image.initrd),
        "-append", "root=/dev/vda rw console=ttyS0 lsm=landlock,lockdown,yama,integrity,apparmor,bpf",
        "-drive", f"file={overlay},if=virtio,format=qcow2,cache=unsafe",
        "-drive", f"file={payload},if=virtio,format=raw,readonly=on",
        "-chardev", f"socket,id=agent,path={channel},server=on,wait=off",
        "-device", "virtio-serial", "-device", "virtserialport,chardev=agent,name=org.qemu.guest_agent.0",
        "-device", "virtio-rng-pci", "-serial", f"file:{console}",
    ]  # fmt: skip


def _connected(channel: Path, process: subprocess.Popen[bytes]) -> socket.socket:
    agent = socket.socket(socket.AF_UNIX)
    until_s = time.monotonic() + 20
    while True:
        try:
            agent.connect(str(channel))
            return agent
        except OSError:
            if time.monotonic() > until_s or process.poll() is not None:
                raise
            time.sleep(POLL_S)


def _quietly(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True)
