"""A program that is not there is not offered."""

from dataclasses import replace
from pathlib import Path

from aaos.tools.offered import is_there, offer
from aaos.tools.wrapper import Wrapper


def test_what_is_not_there_is_not_offered(tmp_path: Path) -> None:
    """TOL-4"""
    program = tmp_path / "prog"
    one = Wrapper("one", "s", str(program), "p", exec_paths=(str(tmp_path), "/none"), readable=("/none",))
    assert offer([one]).missing == (one,)
    program.write_text("")
    assert not is_there(one), "it cannot be executed"
    program.chmod(0o755)
    found = offer([one, replace(one, name="two", program=str(tmp_path))])
    assert list(found.tools) == ["one"]
    assert [wrapper.name for wrapper in found.missing] == ["two"], "a directory is no program"
    assert found.tools["one"].wrapper.exec_paths == (str(tmp_path),)
    assert found.tools["one"].wrapper.readable == ()
