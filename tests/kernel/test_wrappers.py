"""The shipped wrappers in real cells: honest work is done, hostile files and code get nowhere (TOL-4, ISO-12)."""

import os
from collections.abc import Iterator

import pytest

from aaos.core.errors import DeniedError
from aaos.core.events import EventKind
from tests.kernel.harness import OWNER, Stand
from tests.kernel.wrapped import OFFERED, Workbench, workbench


def missing(name: str) -> pytest.MarkDecorator:
    return pytest.mark.skipif(name not in OFFERED.tools, reason=f"the program of {name} is not on this machine")


@pytest.fixture
def bench(stand: Stand) -> Iterator[Workbench]:
    with workbench(stand.launcher.cells, stand.run) as made:
        yield made


# --- honest work --------------------------------------------------------------------------------------------------


@missing("ripgrep")
def test_ripgrep_finds_lines(bench: Workbench) -> None:
    """TOL-4"""
    path = bench.write("d/a.txt", "one\ntwo\n")
    assert bench.call("ripgrep", pattern="^t", path=str(bench.workspace)).text == f"{path}:2:two"
    assert bench.call("ripgrep", pattern="none", path=path).text == "[no output]", "no match is no failure"


@missing("jq")
def test_jq_takes_json_apart(bench: Workbench) -> None:
    """TOL-4"""
    path = bench.write("a.json", '{"a": [1, "x"]}')
    assert bench.call("jq", filter=".a[]", file=path, raw=True).text == "1\nx"
    failed = bench.call("jq", filter=".a[", file=path)
    assert not failed.ok
    assert failed.text.startswith("jq failed: exit status 3")


@missing("gcc_build")
@missing("make_run")
def test_a_program_is_built_and_its_test_runs(bench: Workbench) -> None:
    """TOL-4, ISO-12: what was built runs where the wrapper says so, and nowhere else."""
    source = bench.write("add.c", '#include <stdio.h>\nint main(void) { return printf("%d\\n", 20 + 22) < 0; }\n')
    built = bench.call("gcc_build", sources=[source], output=f"{bench.workspace}/add", sanitise=False)
    assert built.ok, built.text
    assert os.stat(bench.workspace / "add").st_uid == OWNER
    bench.write("Makefile", "test: add\n\t./add | grep -x 42\nadd: add.c\n\tgcc -o $@ $<\n")
    assert bench.call("make_run", directory=str(bench.workspace), target="test").text.splitlines()[-1] == "42"
    refused = bench.call("shell", directory=str(bench.workspace), script="./add")
    assert "Permission denied" in refused.text
    changed = [event for event in bench.audit.events if event.kind is EventKind.FILE_CHANGED]
    assert changed[0].fields["made_paths"] == f"{bench.workspace}/add"


@missing("python_run")
def test_python_runs_with_its_arguments(bench: Workbench) -> None:
    """TOL-4"""
    code = "import sys, pathlib\npathlib.Path('out').write_text('x')\nprint(sys.argv[1:], sys.flags.isolated)"
    assert bench.call("python_run", directory=str(bench.workspace), code=code, args=["a b"]).text == "['a b'] 1"
    assert (bench.workspace / "out").read_text() == "x"


@missing("sqlite_read")
def test_sqlite_gives_rows(bench: Workbench) -> None:
    """TOL-4"""
    path = f"{bench.workspace}/d.db"
    bench.call("python_run", directory=str(bench.workspace), code=_DATABASE)
    assert bench.call("sqlite_read", database=path, sql="SELECT a FROM t").text == '[{"a":1}]'


@missing("cargo_run")
def test_cargo_tests_a_package(bench: Workbench) -> None:
    """TOL-4, H-SUB-08: a build script is code of the package, and has what the cell has."""
    bench.write("Cargo.toml", '[package]\nname = "x"\nversion = "0.1.0"\nedition = "2021"\n')
    bench.write("build.rs", 'fn main() { assert!(std::fs::read("/etc/shadow").is_err()); }\n')
    bench.write("src/lib.rs", "#[test]\nfn it_works() { assert_eq!(2 + 2, 4); }\n")
    result = bench.call("cargo_run", directory=str(bench.workspace), command="test")
    assert "test it_works ... ok" in result.text


@missing("pandoc")
def test_pandoc_turns_a_document_and_reads_no_other(bench: Workbench) -> None:
    """TOL-4, H-SUB-06"""
    path = bench.write("a.md", "# Head\n")
    assert '<h1 id="head">Head</h1>' in bench.call("pandoc", input=path, to="html").text
    bench.write("secret.txt", "swordfish")
    for name, text in _INCLUDES.items():
        hostile = bench.write(f"i.{name}", text.format(secret=bench.workspace / "secret.txt"))
        assert "swordfish" not in bench.call("pandoc", input=hostile, **{"from": name}).text


@missing("ffmpeg")
def test_ffmpeg_turns_sound_and_follows_no_playlist(bench: Workbench) -> None:
    """TOL-4, H-SUB-07"""
    sound = bench.write("s.wav", _SILENCE)
    made = bench.call("ffmpeg", input=sound, output=f"{bench.workspace}/s.flac", format="flac")
    assert made.ok, made.text
    assert (bench.workspace / "s.flac").read_bytes()[:4] == b"fLaC"
    for name, text in _PLAYLISTS.items():
        hostile = bench.write(f"{name}.mp4", text.format(path=sound))
        refused = bench.call("ffmpeg", input=hostile, output=f"{bench.workspace}/{name}.wav", format="wav")
        assert not refused.ok
        assert not (bench.workspace / f"{name}.wav").exists()


@missing("imagemagick")
def test_imagemagick_turns_a_picture_and_no_script(bench: Workbench) -> None:
    """TOL-4, H-SUB-07"""
    picture = bench.write("p.png", _PIXEL)
    out = f"{bench.workspace}/p.jpg"
    made = bench.call("imagemagick", input=picture, output=out, to="jpeg", **{"from": "png"})
    assert made.ok, made.text
    assert (bench.workspace / "p.jpg").read_bytes()[:2] == b"\xff\xd8"
    for text in _PICTURES:
        hostile = bench.write("h.png", text.format(out=bench.workspace))
        assert not bench.call("imagemagick", input=hostile, output=out, to="jpeg", **{"from": "png"}).ok
    assert not (bench.workspace / "pwned").exists()


# --- hostile values and code --------------------------------------------------------------------------------------


_REFUSED_BY_346 = 'cannot set .log to anything other than "on" or "off"'  # and sqlite3 3.46 ends with 0


@missing("sqlite_read")
@pytest.mark.parametrize(
    "sql",
    [
        ".shell touch {out}", ".system touch {out}", "select writefile('{out}', 'x')", "select readfile('/etc/passwd')",
        "select load_extension('/x.so')", "attach '{out}' as x; create table x.t(a)", "insert into t values (2)",
        ".output {out}", ".once {out}", ".backup {out}", "select edit('x', 'touch {out}')", ".log {out}", ".cd /",
        ".import {out} t", ".read {out}", ".open {out}", "vacuum into '{out}'",
    ],
)  # fmt: skip
def test_sqlite_reads_and_does_nothing_else(bench: Workbench, sql: str) -> None:
    """H-SUB-09"""
    bench.call("python_run", directory=str(bench.workspace), code=_DATABASE)
    before = (bench.workspace / "d.db").read_bytes()
    result = bench.call("sqlite_read", database=f"{bench.workspace}/d.db", sql=sql.format(out=bench.workspace / "out"))
    assert not result.ok or result.text == _REFUSED_BY_346, result.text
    assert not (bench.workspace / "out").exists()
    assert (bench.workspace / "d.db").read_bytes() == before


@missing("jq")
def test_a_filter_sees_no_variable_and_no_other_file(bench: Workbench) -> None:
    """H-SUB-04, H-SUB-11"""
    path = bench.write("a.json", "{}")
    bench.write("m.jq", "def f: 1;")
    assert set(_json_keys(bench.call("jq", filter="env | keys", file=path, compact=True).text)) == {
        "HOME", "LANG", "PATH", "TMPDIR",
    }  # fmt: skip
    for hostile in ('import "m" as m; m::f', 'import "/etc/passwd" as $x; $x', 'include "m"; f', "input_line_number+x"):
        assert not bench.call("jq", filter=hostile, file=path).ok


@missing("ripgrep")
def test_a_search_follows_no_link_and_no_settings(bench: Workbench) -> None:
    """H-SUB-03"""
    bench.write("a.txt", "x\n")
    bench.write(".ripgreprc", "--pre=/usr/bin/id\n")
    (bench.workspace / "out").symlink_to("/etc")
    result = bench.call("ripgrep", pattern="root|uid=", path=str(bench.workspace), hidden=True)
    assert result.text == "[no output]"


ESCAPES = {
    "a file of the machine": "open('/etc/shadow')",
    "the processes of the machine": "assert int(max(p for p in os.listdir('/proc') if p.isdigit())) > 40",
    "another program": "subprocess.run(['/usr/bin/id'], check=True)",
    "what it wrote": "open('x', 'w').write('#!/usr/bin/python3\\n'); os.chmod('x', 0o755); os.execv('./x', ['x'])",
    "the network": "socket.create_connection(('127.0.0.1', 22), 1)",
    "an abstract socket": "socket.socket(socket.AF_UNIX).connect('\\0aaos')",
    "a setuid file": "open('s','w'); os.chmod('s', 0o4755)",
    "a device": "os.mknod('d', 0o20666, os.makedev(1, 1))",
    "a namespace": "ctypes.CDLL(None).unshare(0x10000000) and 1/0",
    "a mount": "ctypes.CDLL(None).mount(b'x', b'/tmp', b'tmpfs', 0, 0) and 1/0",
    "the root directory": "open('/x', 'w')",
    "a system directory": "open('/usr/x', 'w')",
    "git's hooks": "open('.git/hooks/pre-commit', 'w')",
    "git's settings": "open('.git/config', 'a')",
    "git, moved away": "os.rename('.git', 'git')",
    "a terminal": "open('/dev/tty')",
}


@missing("python_run")
@pytest.mark.parametrize("what", ESCAPES)
def test_code_of_an_agent_gets_nowhere(bench: Workbench, what: str) -> None:
    """H-SUB-09, ISO-12"""
    bench.write(".git/hooks/sample", "x")
    bench.write(".git/config", "[core]\n")
    code = f"import os, socket, subprocess, ctypes\ntry:\n    {ESCAPES[what]}\nexcept Exception as error:\n"
    code += "    print('refused:', type(error).__name__)\nelse:\n    print('IT WORKED')\n"
    result = bench.call("python_run", directory=str(bench.workspace), code=code)
    assert result.text.splitlines()[0].startswith("refused: "), result.text


@missing("shell")
def test_a_script_starts_what_is_listed_and_nothing_else(bench: Workbench) -> None:
    """H-SUB-12, H-SUB-14: the kernel decides, however the script is written."""
    bench.write("a", "2\n1\n")
    work = str(bench.workspace)
    assert bench.call("shell", directory=work, script="sort a | head -n 1").text == "1"
    chained = "; ".join(["true"] * 60 + ["IFS=,; c=i$(printf d); $c", "echo reached"])
    for script in ("id", "/usr/bin/id", "\\i\\d", "$(printf id)", "eval 'i''d'", "exec id", chained, "x=id; $x",
                   "cat <<EOF >s\nid\nEOF\nsh s", "sed '1e id' a", "awk 'BEGIN{system(\"id\")}'", "find . -exec id +",
                   "cp /usr/bin/id ./ls2 && ./ls2", "ln -s /usr/bin/id l && ./l", "xargs id <a", "env id"):  # fmt: skip
        result = bench.call("shell", directory=work, script=script)
        assert "uid=" not in result.text, script
        assert "reached" not in result.text, script
    shadow = bench.write("sort", "#!/usr/bin/sh\necho pwned\n", mode=0o755)
    assert "pwned" not in bench.call("shell", directory=work, script=f"PATH={work}:.; sort a || {shadow}").text


@missing("make_run")
def test_a_makefile_gets_nowhere(bench: Workbench) -> None:
    """H-SUB-08"""
    bench.write(".git/config", "[core]\n")
    bench.write("Makefile", "all:\n\t-cat /etc/shadow\n\t-echo x >> .git/config\n\t-id\n\t-curl http://127.0.0.1/\n")
    result = bench.call("make_run", directory=str(bench.workspace))
    assert "root:" not in result.text
    assert (bench.workspace / ".git" / "config").read_text() == "[core]\n"


@missing("gcc_build")
def test_a_source_reads_no_file_that_is_not_shown(bench: Workbench) -> None:
    """H-SUB-08"""
    for text in ('#include "/etc/passwd"\n', '__asm__(".incbin \\"/etc/passwd\\"");\nint main(void){return 0;}\n'):
        source = bench.write("a.c", text)
        result = bench.call("gcc_build", sources=[source], output=f"{bench.workspace}/a")
        assert not result.ok
        assert "root:" not in result.text


@missing("shell")
def test_nobody_is_asked_anything(bench: Workbench) -> None:
    """H-SUB-13"""
    result = bench.call("shell", directory=str(bench.workspace), script="test -t 0 && echo tty; read x || echo none")
    assert "tty" not in result.text
    assert "none" in result.text


@missing("shell")
def test_what_is_outside_of_the_grant_is_denied_before_anything_runs(bench: Workbench) -> None:
    """CAP-1"""
    for path in ("/etc", "/", str(bench.workspace.parent), f"{bench.workspace}-not"):
        with pytest.raises(DeniedError):
            bench.call("shell", directory=path, script="true")
    assert EventKind.TOOL_PERMITTED not in bench.audit.kinds()


def _json_keys(text: str) -> list[str]:
    return [part.strip('"') for part in text.strip("[]").split(",")]


_DATABASE = """
import sqlite3
c = sqlite3.connect("d.db")
c.execute("create table t(a)")
c.execute("insert into t values (1)")
c.commit()
"""
_INCLUDES = {
    "rst": "x\n\n.. include:: {secret}\n\n.. csv-table:: t\n   :file: {secret}\n",
    "latex": "\\input{{{secret}}} \\include{{{secret}}} \\write18{{id}} x",
    "org": "#+INCLUDE: {secret}\n",
    "markdown": "\\input{{{secret}}}\n![x]({secret})\n",
}
_SILENCE = (
    b"RIFF\x64\x3e\x00\x00WAVEfmt \x10\x00\x00\x00\x01\x00\x01\x00\x40\x1f\x00\x00\x80\x3e\x00\x00\x02\x00\x10\x00"
    b"data\x40\x3e\x00\x00" + bytes(0x3E40)
)
_PLAYLISTS = {
    "hls": "#EXTM3U\n#EXT-X-MEDIA-SEQUENCE:0\n#EXTINF:1.0,\nfile://{path}\n#EXT-X-ENDLIST\n",
    "concat": "ffconcat version 1.0\nfile '{path}'\n",
    "url": "[InternetShortcut]\nURL=file://{path}\n",
}
_PIXEL = bytes.fromhex(
    "89504e470d0a1a0a0000000d4948445200000001000000010802000000907753de0000000c4944415408d763f8cfc0000003010100"
    "18dd8db00000000049454e44ae426082"
)
_PICTURES = (
    '<?xml version="1.0"?><image><read filename="/etc/passwd"/><write filename="{out}/pwned"/></image>',
    "push graphic-context\nimage over 0,0 0,0 'label:@/etc/passwd'\npop graphic-context\n",
    "push graphic-context\nviewbox 0 0 1 1\nfill 'url(https://h/\"|touch \"{out}/pwned)'\npop graphic-context\n",
    '<svg xmlns="http://www.w3.org/2000/svg"><image href="text:/etc/passwd"/></svg>',
    "%!PS\n(%pipe%touch {out}/pwned) (w) file\n",
)


def test_a_repository_that_a_script_makes_gives_nobody_orders(bench: Workbench) -> None:
    """ISO-12, H-FS-15: at any depth and in any disguise; the one that was there stays, also when it is moved."""
    bench.write("mine/.git/config", "[core]\n")
    script = """
mkdir -p .git/hooks sub/deep/.GIT 'odd/.git ' copies
echo '[core] fsmonitor = evil' > .git/config
echo 'gitdir: /elsewhere' > sub/.git
cp -r mine/.git copies/.git
mv mine moved
mv moved/.git moved/git || echo kept
"""
    result = bench.call("shell", directory=str(bench.workspace), script=script.replace("-r ", "-R "))
    left = sorted(str(path.relative_to(bench.workspace)) for path in bench.workspace.rglob("*") if path.is_dir())
    assert [path for path in left if path.lower().rstrip().endswith(".git")] == ["moved/.git"]
    assert sum("aside-" in path.rpartition("/")[2] for path in left) == 4, left
    assert "kept" in result.text
    assert "was set aside as" in result.text
    assert (bench.workspace / "moved" / ".git" / "config").read_text() == "[core]\n"


def test_one_where_the_owner_may_not_rename_it_is_told_and_is_a_failure(bench: Workbench) -> None:
    """H-FS-15"""
    tools = "import os\nos.makedirs('shut/.git')\nos.chmod('shut', 0o555)\n"
    result = bench.call("python_run", directory=str(bench.workspace), code=tools)
    assert not result.ok
    assert f"{bench.workspace}/shut/.git' could not be set aside" in result.text
