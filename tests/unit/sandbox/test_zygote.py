"""How a zygote is started; what it does is tried in tests/kernel/test_zygote.py."""

import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from aaos.sandbox import zygote


@pytest.mark.parametrize(("no_site", "flags"), [(0, "-I"), (1, "-IS")])
def test_zygote_and_egress_find_the_modules_that_the_daemon_finds(
    monkeypatch: pytest.MonkeyPatch, no_site: int, flags: str
) -> None:
    """H-PKG-04"""
    started: list[list[str]] = []
    monkeypatch.setattr(subprocess, "Popen", lambda words, **_: started.append(words))
    monkeypatch.setattr(sys, "flags", SimpleNamespace(no_site=no_site))
    zygote._exec(Path("/boot.py"), 3, 4, Path("/template"))
    assert started == [[sys.executable, flags, "/boot.py", "3", "4", "/template"]]
