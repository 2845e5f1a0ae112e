"""What kind of text a file holds."""

import pytest

from aaos.llm.rules_file import FileText
from aaos.llm.rules_kind import TextKind, kind_of, language_of


@pytest.mark.parametrize(
    ("path", "text", "kind"),
    [
        ("/a", "", TextKind.EMPTY),
        ("/a", "\n \n", TextKind.EMPTY),
        ("/a", "Some words that make a text.\nAnd more of them.", TextKind.PROSE),
        ("/a.md", "a,b,c\n1,2,3\n4,5,6", TextKind.PROSE),
        ("/a.py", "import os\n", TextKind.CODE),
        ("/a", "#!/usr/bin/env python3\nprint()\n", TextKind.CODE),
        ("/a", "#!/bin/sh\nls\n", TextKind.CODE),
        ("/a", "a,b,c\n1,2,3\n4,5,6", TextKind.RECORDS),
        ("/a.conf", "key value\n# note\n", TextKind.CONFIG),
        ("/a", "# note\n# note\nkey = value\n[x]\n", TextKind.CONFIG),
        ("/log", "2024-01-01 10:00:00 a\n2024-01-01 10:00:01 b\n2024-01-01 10:00:02 c", TextKind.LOG),
        ("/log", "Jan  1 10:00:00 h a\nJan  1 10:00:01 h b\n continued\nJan  1 10:00:02 h c", TextKind.LOG),
        ("/log", "[    0.000000] a\n[    1.500000] b\n[    2.000000] c", TextKind.LOG),
        ("/log", '1.2.3.4 - - [10/Oct/2000:13:55:36 -0700] "GET /"\n' * 3, TextKind.LOG),
    ],
)
def test_kinds(path: str, text: str, kind: TextKind) -> None:
    assert kind_of(FileText(path, tuple(text.split("\n")))) is kind


@pytest.mark.parametrize(
    ("path", "line", "name"),
    [
        ("/a.py", "    async def run(self):", "run"), ("/a.py", "class Foo(Bar):", "Foo"),
        ("/a.sh", "do_it() {", "do_it"), ("/a.js", "export default class Foo {", "Foo"),
        ("/a.c", "static int main(int argc, char **argv)", "main"),
        ("/a.go", "func (s *Server) Serve() error {", "Serve"), ("/a.rs", "pub(crate) fn go() {", "go"),
        ("/a.java", "public final class Foo {", "Foo"), ("/a.rb", "  def go!", "go!"), ("/a.pl", "sub go {", "go"),
    ],
)  # fmt: skip
def test_definitions_of_languages(path: str, line: str, name: str) -> None:
    language = language_of(FileText(path, (line,)))
    assert language is not None
    found = language.definition.match(line)
    assert found is not None
    assert found["name"] == name


@pytest.mark.parametrize("path", ["/a", "/a.txt", "/py"])
def test_other_files_are_no_code(path: str) -> None:
    assert language_of(FileText(path, ("text",))) is None
