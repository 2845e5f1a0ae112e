"""Makes what the package ships of what the project says elsewhere: `packaging/generate.py WHAT`.

WHAT is `catalog` (of the journal, made of docs/events.md), or `bash`, `zsh` or `fish` (completion, made of the parser).
Source: systemd.io/CATALOG, bash(1) "Programmable Completion", zshcompsys(1), fish complete(1).
"""

import argparse
import re
import sys
from collections.abc import Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from aaos.cli.parser import COMMANDS, command_parser
from aaos.core.events import EventKind, message_id

ROOT = Path(__file__).resolve().parents[1]
_SECTION = re.compile(r"^### ([a-z._]+)\n(.+?)(?=\n##|\Z)", re.MULTILINE | re.DOTALL)
_RUN_COMMANDS = ("status", "stop", "logs", "attest")


def catalog() -> str:
    """An entry for each kind of event: its subject, what it means, what to do."""
    told = dict(_SECTION.findall((ROOT / "docs/events.md").read_text()))
    missing = {kind.value for kind in EventKind} ^ told.keys()
    if missing:
        raise SystemExit(f"docs/events.md: {', '.join(sorted(missing))}: missing, or not a kind of event")
    return "\n".join(_entry(kind, told[kind.value].strip()) for kind in EventKind)


def _entry(kind: EventKind, text: str) -> str:
    return (
        f"-- {message_id(kind)}\nSubject: {kind.value}\nDefined-By: aaOS\nDocumentation: man:agentd(1)\n\n{text}\n\n"
        "Run: @AAOS_RUN_ID@, agent: @AAOS_AGENT_ID@\n"
    )


def options() -> dict[str, list[tuple[str, str]]]:
    """Each command with its long options and what they are for."""
    commands = next(a for a in command_parser()._actions if isinstance(a, argparse._SubParsersAction))
    return {name: list(_long(made)) for name, made in commands.choices.items()}


def _long(made: argparse.ArgumentParser) -> Iterator[tuple[str, str]]:
    for action in made._actions:
        for option in action.option_strings:
            if option.startswith("--"):
                yield option, (action.help or "").replace("%%", "%")


def bash() -> str:
    """Commands, then a command's options, ids of runs, or files."""
    cases = "\n".join(
        f"        {name}) words='{' '.join(option for option, _ in found)}' ;;" for name, found in options().items()
    )
    return f"""# bash completion for agentd(1)
_agentd() {{
    local word=${{COMP_WORDS[COMP_CWORD]}} command= words= each
    for each in "${{COMP_WORDS[@]:1:COMP_CWORD-1}}"; do
        [[ $each == -* ]] || {{ command=$each; break; }}
    done
    case $command in
        '') words='{" ".join(COMMANDS)} --socket --json' ;;
{cases}
    esac
    if [[ $command =~ ^({"|".join(_RUN_COMMANDS)})$ && $word != -* ]]; then
        words=$(agentd --json list 2>/dev/null | grep -o '"run":"r-[a-z0-9]*"' | cut -d '"' -f 4)
    fi
    mapfile -t COMPREPLY < <(compgen -W "$words" -- "$word")
}}
complete -o default -F _agentd agentd
"""


def zsh() -> str:
    """Commands with what they are for, then options and files."""
    commands = "\n".join(f"        {_quoted(f'{name}:{about}')}" for name, about in COMMANDS.items())
    cases = "\n".join(f"        {name}) {_zsh_case(found)} ;;" for name, found in options().items())
    return f"""#compdef agentd
# zsh completion for agentd(1)
_agentd() {{
    local -a commands
    commands=(
{commands}
    )
    if (( CURRENT == 2 )); then
        _describe command commands
        return
    fi
    case $words[2] in
{cases}
    esac
}}
_agentd "$@"
"""


def _zsh_case(found: list[tuple[str, str]]) -> str:
    specs = " ".join(_quoted(f"{option}[{_plain(about)}]") for option, about in found)
    return f"_arguments {specs} '*:file:_files'"


def fish() -> str:
    """Commands with what they are for, then a command's options."""
    lines = ["# fish completion for agentd(1)"]
    for name, about in COMMANDS.items():
        lines.append(f"complete -c agentd -n __fish_use_subcommand -f -a {name} -d {_quoted(about)}")
    for name, found in options().items():
        for option, about in found:
            seen = _quoted(f"__fish_seen_subcommand_from {name}")
            lines.append(f"complete -c agentd -n {seen} -l {option.removeprefix('--')} -d {_quoted(about)}")
    return "\n".join(lines) + "\n"


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "'\\''") + "'"


def _plain(text: str) -> str:
    """Without what _arguments reads as its own."""
    return re.sub(r"[\[\]:]", " ", text)


if __name__ == "__main__":
    made = {"catalog": catalog, "bash": bash, "zsh": zsh, "fish": fish}
    sys.stdout.write(made[sys.argv[1]]())
