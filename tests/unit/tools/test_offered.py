"""A program that is not there is not offered."""

from dataclasses import replace
from pathlib import Path

from aaos.tools.offered import is_there, offer
from aaos.tools.wrapper import Limits, Wrapper


def test_what_is_not_there_is_not_offered(tmp_path: Path) -> None:
    """TOL-4"""
    program = tmp_path / "prog"
    one = Wrapper("one", "s", str(program), "p", exec_paths=(str(tmp_path), "/none"), readable=("/none",))
    assert offer([one], most_wall_s=600).missing == (one,)
    program.write_text("")
    assert not is_there(one), "it cannot be executed"
    program.chmod(0o755)
    found = offer([one, replace(one, name="two", program=str(tmp_path))], most_wall_s=600)
    assert list(found.tools) == ["one"]
    assert [wrapper.name for wrapper in found.missing] == ["two"], "a directory is no program"
    assert found.tools["one"].wrapper.exec_paths == (str(tmp_path),)
    assert found.tools["one"].wrapper.readable == ()


def test_no_program_runs_for_longer_than_the_settings_let_one(tmp_path: Path) -> None:
    """ISO-12, BRK-9"""
    program = tmp_path / "prog"
    program.write_text("")
    program.chmod(0o755)
    limits = [Limits(wall_s=asked, cpu_s=7) for asked in (20, 600)]
    wrappers = [Wrapper(f"w{one.wall_s}", "s", str(program), "p", limits=one) for one in limits]
    found = offer(wrappers, most_wall_s=90).tools
    assert [found[one.name].wrapper.limits for one in wrappers] == [limits[0], Limits(wall_s=90, cpu_s=7)]
