"""The package in the guest: installed, serving, answering an operator, with a model, reinstalled, removed."""

import json
import re
import time

from qa.daemon import REPOSITORY
from qa.vm.asking import OPERATOR, milliseconds, ok, until
from qa.vm.checks_limits import LAYERS
from qa.vm.guest import Guest

EXPOSURE = 5.6  # systemd-analyze security: no regression
PLANTED = "planted-8c1f0d7be2"
MODEL = "providers: {played: {kind: openai, url: 'http://127.0.0.1:1234/v1', key: played}}\n"
PAGES = tuple(sorted(path.name for path in (REPOSITORY / "qa/pages").glob("*.html")))

_RSS = "ps -o rss= -p $(systemctl show agentd --value -p MainPID)"


def boots(guest: Guest) -> str:
    """Debian 13 runs, and nothing in it failed."""
    ok(guest.run("mkdir -p /payload && mount -o ro /dev/vdb /payload"))
    state = guest.run("systemctl is-system-running --wait").output.strip()
    assert state == "running", guest.run("systemctl --failed --no-legend").output
    return ok(guest.run("uname -r"))


def installs(guest: Guest) -> str:
    """DEB-1, H-PKG-01: one command, without a network."""
    began_s = time.monotonic()
    ok(guest.run("apt-get install --yes /payload/aaos_*.deb", timeout_s=400))
    took_s = time.monotonic() - began_s
    size_kib = ok(guest.run("dpkg-query -W -f '${Installed-Size}' aaos"))
    return f"{took_s:.0f} s, {size_kib} KiB"


def serves(guest: Guest) -> str:
    """DEB-2: the unit is active and notified, with every layer required."""
    assert ok(guest.run("systemctl is-active agentd")) == "active", ok(guest.run("journalctl -u agentd -n 30"))
    begun, ready, memory = (
        int(ok(guest.run(f"systemctl show agentd --value -p {name}")))
        for name in ("ExecMainStartTimestampMonotonic", "ActiveEnterTimestampMonotonic", "MemoryCurrent")
    )
    return f"ready after {(ready - begun) / 1e6:.1f} s, {memory / 2**20:.0f} MiB in its cgroup"


def is_well(guest: Guest) -> str:
    """OPS-4."""
    findings = [json.loads(line) for line in ok(guest.run("agentd --json doctor")).splitlines()]
    bad = [one for one in findings if not one["ok"]]
    assert findings and not bad, bad
    return f"{len(findings)} findings, all well"


def is_hardened(guest: Guest) -> str:
    """DEB-2: no more exposed than it was."""
    said = guest.run("systemd-analyze security agentd.service --no-pager").output
    found = re.search(r"Overall exposure level for agentd.service: ([0-9.]+)", said)
    assert found and float(found[1]) <= EXPOSURE, said[-300:]
    return f"exposure {found[1]}"


def answers_an_operator(guest: Guest) -> str:
    """RUN-1, H-PKG-01: an ordinary user's goal over files, confined, the result at the named place."""
    said = ok(
        guest.run(
            "agentd submit 'summarise /usr/share/common-licenses/GPL-3 and write it to gpl.md'",
            user=OPERATOR, timeout_s=300,
        )
    )  # fmt: skip
    assert f"{LAYERS} layers verified" in said, said
    text = ok(guest.run(f"cat ~{OPERATOR}/gpl.md"))
    owner = ok(guest.run(f"stat -c %U ~{OPERATOR}/gpl.md"))
    assert "674 lines" in text and owner == OPERATOR, (text[:200], owner)
    return "the summary is in the operator's home, and the operator's own"


def breaks_no_rule(guest: Guest) -> str:
    """DEB-2: in all that was done, neither AppArmor nor seccomp has refused anything to an honest part of it."""
    refused = guest.run("journalctl -b -k --no-pager -o cat -g 'apparmor=\"DENIED\".*aaos-agentd|type=1326'").output
    assert "apparmor" not in refused and "1326" not in refused, refused[-3000:]
    return "nothing refused in the whole boot"


def is_measured(guest: Guest) -> str:
    """Figures that decide nothing: this processor is emulated."""
    list_ms = min(milliseconds(guest, "agentd list") for _ in range(5))
    rss_kib = int(ok(guest.run(_RSS)))
    return f"agentd list {list_ms} ms, agentd {rss_kib / 1024:.0f} MiB resident"


def compares_two_pages(guest: Guest) -> str:
    """TOL-8, H-PKG-01: the canonical goal, through the confined egress process and its own user."""
    ok(guest.run("systemd-run --unit pages python3 -m http.server 8000 --bind 127.0.0.1 --directory /payload/pages"))
    until(lambda: guest.run("ss -ltn | grep -q 127.0.0.1:8000").status == 0)
    first, second = (f"http://127.0.0.1:8000/{name}" for name in PAGES)
    goal = f"fetch {first} and {second}, compare their top three stories, and write the comparison to stories.md"
    said = ok(guest.run(f"agentd submit '{goal}'", user=OPERATOR, timeout_s=300))
    text = ok(guest.run(f"cat ~{OPERATOR}/stories.md"))
    assert all(name in text for name in PAGES), (said, text[:500])
    user = ok(guest.run("ps -o user= -p $(pgrep -f '[a]aos/egress')"))
    assert "aaos-egress" in user or user.split()[0].startswith("aaos-eg"), user
    return f"egress runs as {user.split()[0]}"


def takes_a_model(guest: Guest) -> str:
    """OPS-3, LLM-6: a server on loopback that wants a key; sealed, loaded by the unit, in no other place."""
    ok(guest.run("systemd-run --unit script agentd dev-provider --script /payload/script.yaml --port 1234"))
    until(lambda: guest.run("ss -ltn | grep -q 127.0.0.1:1234").status == 0)
    ok(guest.run(f"mkdir -p /etc/aaos/models.yaml.d && cat > /etc/aaos/models.yaml.d/played.yaml <<'END'\n{MODEL}END"))
    configure = "agentd configure --provider played --model scripted --tier T1 --key-stdin"
    ok(guest.run(f"echo {PLANTED} | {configure}", timeout_s=300))
    sealed = ok(guest.run("ls /etc/credstore.encrypted"))
    assert ok(guest.run("systemctl is-active agentd")) == "active"
    tiers = [line for line in ok(guest.run("agentd doctor")).splitlines() if "T1" in line]
    assert tiers and "scripted" in tiers[0], tiers
    found = guest.run(f"grep -rlsa {PLANTED} /etc /run /var --exclude-dir=journal").output
    assert found.strip() in ("", "/run/credentials/agentd.service/aaos-key-played"), found
    assert PLANTED not in ok(guest.run("journalctl -t agentd -o export --no-pager"))
    return f"{sealed}; {tiers[0].strip()}"


def wakes_by_its_socket(guest: Guest) -> str:
    """OPS-2: the socket outlives the daemon, and a client starts it."""
    ok(guest.run("systemctl stop agentd.service"))
    ok(guest.run("agentd list", user=OPERATOR))
    assert ok(guest.run("systemctl is-active agentd.service")) == "active"
    return "a client found a stopped daemon and was answered"


def keeps_edited_settings(guest: Guest) -> str:
    """DEB-3: a reinstall leaves an edited conffile alone."""
    ok(guest.run("sed -i 's/#max_runs = 64/max_runs = 7/' /etc/aaos/agentd.toml"))
    ok(guest.run("apt-get install --yes --reinstall /payload/aaos_*.deb", timeout_s=400))
    assert "\nmax_runs = 7" in ok(guest.run("cat /etc/aaos/agentd.toml"))
    assert ok(guest.run("systemctl is-active agentd")) == "active"
    return "max_runs = 7 is still there, the daemon runs"


def says_what_is_wrong(guest: Guest) -> str:
    """OPS-5: a misspelt key keeps it from starting, and says which."""
    slip = "/etc/aaos/agentd.toml.d/slip.toml"
    ok(guest.run(f"mkdir -p /etc/aaos/agentd.toml.d && printf '[limits]\\nmax_rums = 3\\n' > {slip}"))
    guest.run("systemctl restart agentd")
    said = guest.run("journalctl -u agentd -n 12 --no-pager -o cat").output
    assert "max_rums" in said and "max_runs" in said, said
    ok(guest.run(f"rm {slip} && systemctl reset-failed agentd && systemctl restart agentd"))
    return "max_rums: the nearest is max_runs"


def goes_away(guest: Guest) -> str:
    """DEB-3, H-PKG-02: removed it keeps settings and state, purged it leaves nothing of its own."""
    ok(guest.run("apt-get remove --yes aaos", timeout_s=300))
    assert guest.run("pgrep -f '[/]usr/lib/aaos'").output.strip() == ""
    ok(guest.run("test -e /etc/aaos/agentd.toml && test -d /var/lib/aaos && test ! -e /usr/lib/aaos"))
    ok(guest.run("apt-get purge --yes aaos", timeout_s=300))
    left = guest.run("ls -d /etc/aaos /var/lib/aaos /run/agentd /usr/lib/aaos /usr/share/aaos 2>/dev/null").output
    assert left.split() == [], left
    return "nothing left"
