"""Who may do what: CAP-0, OPS-2, H-API-01, H-SEC-10 in the guest."""

from qa.vm.asking import ADMIN, OPERATOR, OTHER, STRANGER, last_run, ok
from qa.vm.guest import Guest

NOBODYS = "r-000000000000"
CONNECT = "import socket; socket.socket(socket.AF_UNIX).connect('/run/agentd/agentd.sock')"


def has_users(guest: Guest) -> str:
    """OPS-2: two members of the group, an administrator, and a stranger."""
    members = {OPERATOR: "--groups aaos", OTHER: "--groups aaos", ADMIN: "--groups aaos,aaos-admin", STRANGER: ""}
    for name, groups in members.items():
        ok(guest.run(f"useradd --create-home --shell /bin/sh {groups} {name}"))
    return f"{OPERATOR} and {OTHER} in group aaos, {ADMIN} in aaos-admin as well, {STRANGER} in none"


def refuses_with_the_grant(guest: Guest) -> str:
    """CAP-0: a read outside the envelope names the flag that would allow it."""
    ran = guest.run("agentd submit --read /usr/share 'summarise /etc/passwd'", user=OPERATOR)
    assert ran.status == 3 and "--read /etc/passwd" in ran.output, ran
    return "--read /etc/passwd"


def keeps_strangers_out(guest: Guest) -> str:
    """H-API-01, OPS-2: who is in no group learns what to type, and gets no connection by hand either."""
    ran = guest.run("agentd list", user=STRANGER)
    assert ran.status != 0 and "usermod" in ran.output and "aaos" in ran.output, ran
    by_hand = guest.run(f'python3 -c "{CONNECT}"', user=STRANGER)
    assert "PermissionError" in by_hand.output, by_hand
    ok(guest.run(f'python3 -c "{CONNECT}"', user=OTHER))
    return ran.output.strip().splitlines()[-1].strip()


def keeps_users_apart(guest: Guest) -> str:
    """CAP-0, H-SEC-11: a run of somebody else is answered, word for word, as one that never was."""
    run = last_run(guest, OPERATOR)
    commands = ("status", "logs", "stop", "pause", "resume", "attest")
    for command in commands:
        theirs, nobodys = (guest.run(f"agentd {command} {one}", user=OTHER) for one in (run, NOBODYS))
        assert theirs.status == nobodys.status == 4, (theirs, nobodys)
        assert theirs.output.replace(run, NOBODYS) == nobodys.output, (theirs, nobodys)
    assert run not in ok(guest.run("agentd list", user=OTHER))
    assert run in ok(guest.run("agentd list"))  # root sees it
    return f"{OTHER} has no run {run}, by {len(commands)} commands"


def keeps_modes(guest: Guest) -> str:
    """H-SEC-10, H-API-02: what is on disk and who may open it."""
    said = ok(
        guest.run("stat -c '%n %a %U:%G' /run/agentd /run/agentd/agentd.sock /var/lib/aaos /etc/aaos/agentd.toml")
    )
    assert said.splitlines() == [
        "/run/agentd 750 root:aaos",
        "/run/agentd/agentd.sock 660 root:aaos",
        "/var/lib/aaos 700 root:root",
        "/etc/aaos/agentd.toml 644 root:root",
    ], said
    loose = guest.run("find /var/lib/aaos ! -type l -perm /077").output
    assert loose.strip() == "", loose
    return "socket 0660 root:aaos, state 0700"
