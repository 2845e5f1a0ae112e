"""The journal: AUD-1, AUD-2 in the guest, and what the documents say of it."""

import json
import re
import shlex

from qa.daemon import REPOSITORY
from qa.vm.asking import OPERATOR, journal, last_run, ok, run_id, until
from qa.vm.guest import Guest

DOCUMENTS = (*sorted((REPOSITORY / "docs").glob("*.md")), REPOSITORY / "README.md", REPOSITORY / "SECURITY.md")
DENIED = 200  # by qa/hostile/forged_journal.py
_QUERY = re.compile(r"^\$ (journalctl .*)$", re.MULTILINE)
_KIND = re.compile(r"^### ([a-z._]+)\n([^\n]+)", re.MULTILINE)


def is_in_the_journal(guest: Guest) -> str:
    """AUD-1: the queries that the documents show."""
    run = last_run(guest, OPERATOR)
    entries = journal(guest, f"-t agentd AAOS_RUN_ID={run}")
    kinds = {entry.get("AAOS_EVENT", "") for entry in entries}
    assert {"run.submitted", "agent.confined", "run.completed"} <= kinds, kinds
    assert all(re.fullmatch(r"[0-9a-f]{32}", entry["MESSAGE_ID"]) for entry in entries)
    return f"{len(entries)} entries of run {run}"


def answers_what_the_documents_ask(guest: Guest) -> str:
    """AUD-1: each query that they show, word for word but for the id of a run, finds something."""
    ran = guest.run("agentd submit --program /payload/hostile/denied_read.py 'look at shadows'", user=OPERATOR)
    assert ran.status == 0 and "refused" in ran.output, ran
    run = last_run(guest, OPERATOR)
    texts = (document.read_text() for document in DOCUMENTS)
    queries = list(dict.fromkeys(query for text in texts for query in _QUERY.findall(text)))
    assert len(queries) >= 4, queries
    for query in queries:
        asked = re.sub(r"\br-[a-z0-9]{12}\b", run, query)
        said = guest.run(f"timeout 10 {asked} 2>&1 | head -c 100000").output
        assert "agentd[" in said and "No entries" not in said, (asked, said[-500:])
    return f"{len(queries)} queries: {'; '.join(queries)}"


def explains_itself(guest: Guest) -> str:
    """AUD-2: journalctl -x tells of every kind that has happened what docs/events.md says of it."""
    meant = dict(_KIND.findall((REPOSITORY / "docs/events.md").read_text()))
    kinds = ok(guest.run("journalctl -F AAOS_EVENT")).split()
    assert len(kinds) > 15 and set(kinds) <= set(meant), kinds
    each = " ".join(map(shlex.quote, kinds))
    said = ok(guest.run(f"for kind in {each}; do journalctl -x -t agentd AAOS_EVENT=$kind -n 1 --no-pager; done"))
    lacking = [kind for kind in kinds if meant[kind] not in " ".join(said.replace("\n-- ", " ").split())]
    again = {kind: journal(guest, f"-t agentd AAOS_EVENT={kind}")[-1:] for kind in lacking}
    assert not lacking, (again, [line for line in said.splitlines() if any(kind in line for kind in lacking)])
    return f"{len(kinds)} kinds, each with its meaning"


def is_quiet(guest: Guest) -> str:
    """No warning of ours in the whole boot, the kill we did apart."""
    said = [e for e in journal(guest, "-b -p warning -u agentd") if e.get("_SYSTEMD_UNIT") == "agentd.service"]
    assert not said, [entry.get("MESSAGE") for entry in said]
    return "nothing of agentd at warning or above"


def takes_no_text_for_fields(guest: Guest) -> str:
    """H-SEC-08, H-RES-14: an agent's words make no entry and no field; each denial is an entry, or counted in one."""
    program = "--program /payload/hostile/forged_journal.py"
    run = run_id(guest.run(f"agentd submit {program} 'forge entries'", user=OPERATOR))
    fields = ("SYSLOG_IDENTIFIER=forged", "_SYSTEMD_UNIT=forged.service", "AAOS_EVENT=approval.given")
    assert [query for query in (*fields, "-p emerg -t agentd") if journal(guest, f"-b {query}")] == []
    told = journal(guest, f"-t agentd AAOS_RUN_ID={run}")
    said = [entry for entry in told if entry["AAOS_EVENT"] == "agent.log"]
    assert len(said) == 5 and all(isinstance(value, str) for entry in said for value in entry.values()), said  # no ESC
    until(lambda: sum(_denials(guest, run)) == DENIED)
    entries, counted = _denials(guest, run)
    return f"{entries} denials as entries, {counted} counted; nothing forged"


def _denials(guest: Guest, run: str) -> tuple[int, int]:
    """How many are entries, and how many are in the counts of what was left out."""
    told = journal(guest, f"-t agentd AAOS_RUN_ID={run}")
    counts = [json.loads(entry["AAOS_FIELDS"]) for entry in told if entry["AAOS_EVENT"] == "audit.suppressed"]
    entries = sum(entry["AAOS_EVENT"] == "tool.denied" for entry in told)
    return entries, sum(one["count"] for one in counts if one["kind"] == "tool.denied")
