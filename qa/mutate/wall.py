"""Mutants of the wall: what builds it, what looks at it, and the filter, row group by row group."""

CONFINE, MOUNTS, RULES = "worker/wall/confine.py", "worker/wall/mounts.py", "worker/wall/rules.py"
ZYGOTE, TRANSPORT, ABI = "worker/wall/zygote.py", "worker/transport.py", "worker/abi.py"
ROWS, FIELDS = "aaos/sandbox/rows.py", "worker/fields.py"
CELLROWS, CELLPLAN = "aaos/sandbox/cellrows.py", "aaos/sandbox/cellplan.py"
CELLS, TRUSTED = "aaos/sandbox/cells.py", "aaos/sandbox/trusted.py"
FILTERS, ATTEST, LAUNCH = "aaos/sandbox/filters.py", "aaos/sandbox/attest.py", "aaos/sandbox/launch.py"
YARD = "aaos/sandbox/yard.py"
SESSION, POLICY, CONTROL = "aaos/sandbox/session.py", "aaos/sandbox/policy.py", "aaos/sandbox/control.py"

BY_ATTEST = ("tests/kernel/test_attest.py",)
BY_CELLS = ("tests/kernel/test_cell_attacks.py", "tests/kernel/test_trial.py")
BY_SOCKETS = ("tests/kernel/test_cell_sockets.py",)
BY_TRUSTED = ("tests/kernel/test_trusted.py",)
BY_CELLATTEST = ("tests/kernel/test_cellattest.py",)
BY_PLANS = ("tests/kernel/test_cellplan.py",)
BY_CHECKS = ("tests/kernel/test_attest_checks.py",)
BY_LAYERS = ("tests/kernel/test_confine_layers.py",)
BY_RULES = ("tests/kernel/test_rules.py",)
BY_ROWS = ("tests/kernel/test_filters_rows.py",)
BY_ATTACKS = ("tests/kernel/test_confine_attacks.py",)
BY_MOUNTS = ("tests/kernel/test_mounts.py",)
BY_PROBES = ("tests/kernel/test_trial.py",)
BY_ZYGOTE = ("tests/kernel/test_zygote.py",)
BY_SESSION = ("tests/kernel/test_session.py",)
BY_FRAMES = ("tests/unit/worker/test_abi.py",)
BY_TRANSPORT = ("tests/kernel/test_transport.py",)

_BUILDING = (
    ("no change of ids", CONFINE, "    os.setresuid(policy.inside_uid, policy.inside_uid, policy.inside_uid)\n", "", BY_ATTEST),
    ("a root that can be written", MOUNTS, '    syscalls.mount_setattr(syscalls.AT_FDCWD, "/", set_attributes=_READ_ONLY)\n', "", BY_ATTEST),
    ("control files that can be written", MOUNTS, '        _cover(f"{mount.path}/{covered}")', "        pass", BY_MOUNTS),
    ("no resource limits", CONFINE, "        resource.setrlimit(kind, (value, value))", "        pass", BY_ATTEST),
    ("agentd's umask", CONFINE, "    os.umask(0o077)\n", "", BY_ATTEST),
    ("capabilities stay", CONFINE, "    syscalls.drop_capability_sets()\n", "", BY_ATTEST),
    ("the bounding set stays", CONFINE, "    syscalls.drop_bounding_set()\n", "", BY_ATTEST),
    ("new privileges", CONFINE, "    prctl.set_no_new_privs(1)\n", "", BY_ATTEST),
    ("executable memory", CONFINE, "        syscalls.refuse_exec_gain()\n", "", BY_LAYERS),
    ("a worker outlives agentd", CONFINE, "    prctl.set_pdeathsig(signal.SIGKILL)", "    pass", ("tests/kernel/test_launch_deaths.py",)),
    ("no filter", CONFINE, "    syscalls.load_filter(program)\n", "", BY_LAYERS),
    ("canaries are not believed", CONFINE, "    if wrong:\n", "    if False:\n", BY_LAYERS),
    ("an old Landlock will do", RULES, "    if abi < minimum:", "    if False:", BY_LAYERS),
    ("no Landlock for network and scope", RULES, "    syscalls.landlock_restrict_self(ruleset)\n    os.close(ruleset)\n\n\ndef prepare_files", "    os.close(ruleset)\n\n\ndef prepare_files", BY_RULES),
    ("no Landlock for files", RULES, "_READ)\n    syscalls.landlock_restrict_self(ruleset)", "_READ)", BY_RULES),
    ("TCP connections", RULES, "NET_BIND_TCP | NET_CONNECT_TCP\n", "NET_BIND_TCP\n", BY_RULES),
    ("TCP listeners", RULES, "NET_BIND_TCP if may_connect else NET_BIND_TCP | NET_CONNECT_TCP", "NET_CONNECT_TCP", BY_RULES),
    ("signals to others", RULES, "SCOPE_ABSTRACT_UNIX_SOCKET | SCOPE_SIGNAL,", "SCOPE_ABSTRACT_UNIX_SOCKET,", BY_RULES),
    ("abstract sockets of others", RULES, "SCOPE_ABSTRACT_UNIX_SOCKET | SCOPE_SIGNAL,", "SCOPE_SIGNAL,", BY_RULES),
    ("Landlock writes what may be read", RULES, "_READ_WRITE if mount.writable else _READ)", "_READ_WRITE)", BY_RULES),
    ("files may be made for Landlock", RULES, "_ALL = int(_A.all())", "_ALL = int(_A.all() & ~_A.MAKE_REG)", BY_RULES),
    ("fds of the zygote stay", ZYGOTE, "    os.closerange(order.filter_fd + 1, _MAX_FD)\n", "", ("tests/kernel/test_attest.py", "tests/kernel/test_zygote.py", "tests/kernel/test_confine_attacks.py")),
    ("standard fds of the zygote stay", ZYGOTE, "        os.dup2(null, fd)\n", "        pass\n", BY_ATTEST),
    ("groups may be set", ZYGOTE, '    _write(f"/proc/{pid}/setgroups", "deny")\n', "", BY_ATTEST),
    ("the zygote keeps all capabilities", ZYGOTE, "    syscalls.keep_capabilities(KEPT_CAPABILITIES)\n", "", BY_ZYGOTE),
    ("the zygote has no filter", ZYGOTE, "    if zygote_filter:", "    if False:", ("tests/kernel/test_attest.py", "tests/kernel/test_zygote.py")),
    ("the zygote keeps its groups", ZYGOTE, "    os.setgroups([])\n", "", ("tests/kernel/test_attest.py", "tests/kernel/test_zygote.py")),
    ("an agent before its start", ZYGOTE, "    if sock.recv(1, socket.MSG_PEEK):\n", "    if True:\n", BY_ATTEST),
    ("a worker that memory pressure spares", ZYGOTE, '    _write(f"/proc/{pid}/oom_score_adj", str(OOM_SCORE_ADJUST))\n', "", BY_ATTEST),
    ("programs on the worker's mounts", MOUNTS, "_LOCKED_DOWN = syscalls.MS_NOSUID | syscalls.MS_NODEV | syscalls.MS_NOEXEC", "_LOCKED_DOWN = syscalls.MS_NOSUID | syscalls.MS_NODEV", BY_ATTEST),
    ("all of proc", MOUNTS, "hidepid=invisible,subset=pid", "hidepid=invisible", BY_PROBES),
    ("devices behind agentd's umask", MOUNTS, '        os.chmod(f"{at}/{name}", 0o755)', "        pass", BY_PROBES),
)  # fmt: skip

_LOOKING = tuple(
    (f"not looked at: {name}", ATTEST, f"_require({check}", "_require(True", BY_CHECKS)
    for name, check in (
        ("user ids", 'status["Uid"].split() == [uid] * 4'),
        ("group ids", 'status["Gid"].split() == [gid] * 4'),
        ("groups", 'status["Groups"].split() == []'),
        ("maps of ids", 'mapped == [str(inside), str(outside), "1"]'),
        ("mounts without nosuid", '"nosuid" in options'),
        ("mounts without noexec", '"noexec" in options or path in executable'),
        ("mounts without nodev", '"nodev" in options or path == "/dev"'),
        ("capabilities", "not held"),
        ("no_new_privs", 'status["NoNewPrivs"] == "1"'),
        ("loaded filters", "loaded == expected.filters"),
        ("limits", "soft == hard == str(value)"),
    )
)
_AGREEING = (
    ("not looked at: namespaces", ATTEST, "== _OWN[name]", "== None", BY_CHECKS),
    ("not looked at: the places of mounts", ATTEST, "    if seen.keys() != wanted.keys():", "    if False:", BY_CHECKS),
    ("not looked at: writable mounts", ATTEST, '        if writable is not None and writable != ("rw" in options):', "        if False:", BY_CHECKS),
    ("not looked at: open fds", ATTEST, "        if count == _FDS:", "        if True:", BY_LAYERS),
    ("not looked at: open files", ATTEST, '    if files[:3] != ["/dev/null"] * 3 or not files[3].startswith("socket:"):', "    if False:", BY_LAYERS),
    ("what lasts is not looked at in haste", ATTEST, "        if not is_settled:", "        if False:", BY_LAYERS),
    ("what lasts is taken as seen", YARD, "                    attest_parked(parked.pid, parked.policy)\n", "", ("tests/kernel/test_yard.py",)),
    ("what runs in a cell is not looked at", CELLS, "            attest_started(pid, parked.pid, cell.expected)\n", "            pass\n", BY_CELLATTEST),
    ("a live cell is not looked at", CELLS, "        outside = attest_outside(parked.pid, cell.expected)\n", "        outside = {}\n", BY_CELLATTEST),
    ("rights of what runs in a cell", ATTEST, "        _check_owner(status, expected.policy)\n        _check_privileges(status)\n", "", BY_CELLATTEST),
    ("filters of what runs in a cell", ATTEST, "            _check_count(status, len(expected.filters))\n", "            pass\n", BY_CELLATTEST),
    ("threads of what runs in a cell", ATTEST, "        for task in os.listdir(tasks):", "        for task in (str(pid),):", BY_CELLATTEST),
    ("what is ending has changed", ATTEST, " or bool(int(fields[6]) & _PF_EXITING)", "", ("tests/unit/sandbox/test_attest.py",)),
    ("namespaces of what runs in a cell", ATTEST, "        if other := [name", "        if False and [name", BY_CELLATTEST),
    ("canaries that were not denied", ATTEST, "    if undenied or set(ready.layers) != set(layers):", "    if False:", BY_LAYERS),
    ("no record of the confinement", LAUNCH, "            await self._confirmed.record(_confirmed(request, attestation))\n", "", BY_ATTEST),
    ("a second owner in one worker", POLICY, "    if len(owners) > 1:", "    if False:", ("tests/unit/sandbox/test_policy.py",)),
    ("root as an owner inside", POLICY, "    if 0 in owner:", "    if False:", ("tests/unit/sandbox/test_policy.py",)),
    ("a link in place of a control file", CONTROL, "    if kind == stat.S_IFLNK:\n        raise", "    if False:\n        raise", ("tests/unit/sandbox/test_control.py",)),
    ("fds from a worker", SESSION, "                if fds:\n", "                if False:\n", BY_SESSION),
    ("a queue without end", SESSION, "        if len(self._queue) >= QUEUE_FRAMES:", "        if False:", BY_SESSION),
)  # fmt: skip
_FILTERING = (
    ("rows of files: names can be made", FILTERS, "Row(\"openat\", \"open below a granted root; no name can be created\", (Check(2, NEW_FILE_FLAGS, 0),))", 'Row("openat", "open")', BY_ATTACKS),
    ("rows of memory: it may be executed", FILTERS, 'deadline"),\n    Row("mmap", "memory, never executable, no huge pages", (Check(2, PROT_EXEC, 0), Check(3, MAP_HUGETLB, 0)))', 'deadline"),\n    Row("mmap", "memory")', BY_ATTACKS),
    ("rows of memory: huge pages", ROWS, "MAP_HUGETLB = 0x40000 ", "MAP_HUGETLB = 0 ", BY_PROBES),
    ("rows of memory: huge files", FILTERS, '"a result that is longer than a frame; no huge pages", (Check(1, os.MFD_HUGETLB, 0),)', '"a result"', BY_PROBES),
    ("rows of terminals: every request", FILTERS, '"Python\'s open() asks whether a file is a terminal", (Check(1, LOW_32_BITS, TCGETS),)', '"terminals"', BY_ATTACKS),
    ("rows of terminals: bit 32 counts", FILTERS, "terminal\", (Check(1, LOW_32_BITS, TCGETS),)", "terminal\", (Check(1, 2**64 - 1, TCGETS),)", BY_ATTACKS),
    ("a row that honest work needs", FILTERS, '    Row("getdents64", "list a granted directory"),\n', "", BY_ROWS),
    ("rows of the egress: TCP over many paths", FILTERS, "LOW_32_BITS & ~socket.IPPROTO_TCP)", "0)", ("tests/kernel/test_egress_attacks.py",)),
    ("rows of the egress: listening", FILTERS, 'EGRESS_ROWS: tuple[Row, ...] = (\n', 'EGRESS_ROWS: tuple[Row, ...] = (\n    Row("listen", "mutant"),\n', ("tests/kernel/test_egress_attacks.py", "tests/kernel/test_egress_rows.py")),
    ("rows of the egress: new processes", FILTERS, ", and nothing but threads\", (Check(0, LOW_32_BITS, THREAD),)", '"', ("tests/kernel/test_egress_attacks.py",)),
)  # fmt: skip
_WORKER_ROWS = "WORKER_ROWS: tuple[Row, ...] = (\n"
_PERMITTING = tuple(
    (f"rows of {what}", FILTERS, _WORKER_ROWS, f'{_WORKER_ROWS}    Row("{call}", "mutant"),\n', tests)
    for what, call, tests in (
        ("processes: fork", "fork", BY_ROWS),
        ("processes: tracing", "ptrace", BY_ATTACKS),
        ("programs: execve", "execve", BY_ATTACKS),
        ("networks: sockets", "socket", BY_ATTACKS),
        ("namespaces: unshare", "unshare", BY_ATTACKS),
        ("mounts: mount", "mount", BY_ATTACKS),
        ("modes: chmod", "fchmodat", BY_ATTACKS),
        ("rings: io_uring", "io_uring_setup", BY_ATTACKS),
    )
)
_CELLS = (
    ("rows of cells: leases", CELLROWS, "_FCNTL = {\n", "_FCNTL = {\n    1024: \"mutant\",\n", BY_SOCKETS),
    ("rows of cells: data with the opening of a connection", CELLROWS, "MSG_FASTOPEN = 0x20000000 ", "MSG_FASTOPEN = 0 ", BY_SOCKETS),
    ("rows of cells: namespaces", CELLROWS, "NAMESPACES = 0x7E020000 ", "NAMESPACES = 0 ", BY_CELLS),
    ("rows of cells: files that run as others", CELLROWS, "SET_IDS = stat.S_ISUID | stat.S_ISGID\n", "SET_IDS = 0\n", BY_CELLS),
    ("a program that others can change", CELLPLAN, "_OTHERS_MAY_WRITE = stat.S_IWGRP | stat.S_IWOTH", "_OTHERS_MAY_WRITE = 0", BY_PLANS),
    ("a path that others can write to", TRUSTED, "_OTHERS_MAY_WRITE = stat.S_IWGRP | stat.S_IWOTH", "_OTHERS_MAY_WRITE = 0", BY_TRUSTED),
    ("a path that belongs to somebody", TRUSTED, "    if status.st_uid != 0:\n", "    if False:\n", BY_TRUSTED),
    ("everything may be executed in a cell", RULES, "        _allow(ruleset, path, _READ | _EXECUTE)\n", "        _allow(ruleset, \"/\", _READ | _EXECUTE)\n", BY_CELLS),
    ("all of /usr may be read in a cell", RULES, "else _NAMES_SHOWN if is_in_part else _READ", "else _READ", ("tests/kernel/test_cell_attacks.py",)),
    ("a cell writes what may be read", RULES, "rights = _READ_WRITE | _NAMES | own if mount.writable else _NAMES_SHOWN", "rights = _READ_WRITE | _NAMES | own if True else _NAMES_SHOWN", BY_RULES),
)  # fmt: skip
_SPEAKING = (
    ("a frame whose bytes can change", TRANSPORT, "    if seals & _SEALS != _SEALS:", "    if False:", BY_TRANSPORT),
    ("a large frame without a bound", TRANSPORT, "    if size > limit:", "    if False:", BY_TRANSPORT),
    ("fds of a wrong frame stay open", TRANSPORT, "    except BaseException:  # whatever ends this, nobody else knows of the fds\n        close_all(fds)\n", "    except BaseException:\n", BY_TRANSPORT),
    ("fds that programs inherit", TRANSPORT, "_CLOEXEC = int(socket.MSG_CMSG_CLOEXEC)", "_CLOEXEC = 0", BY_TRANSPORT),
    ("a key twice in a frame", ABI, "    if len(document) != len(pairs):", "    if False:", BY_FRAMES),
    ("frames of any depth", ABI, " and text.count(\"[\") + text.count(\"{\") > MAX_DEPTH:", " and False:", BY_FRAMES),
    ("true as a number", FIELDS, "type(value) is int and 0 <= value <= MAX_INT", "isinstance(value, int) and 0 <= value <= MAX_INT", BY_FRAMES),
    ("numbers of any size", FIELDS, "type(value) is int and 0 <= value <= MAX_INT", "type(value) is int", BY_FRAMES),
    ("fields that nobody knows", ABI, '            raise FrameError(f"{_show(name)}: unknown field")', "            continue", BY_FRAMES),
    ("NUL in a text", ABI, "    if _ESCAPED_NUL.search(text):", "    if False:", BY_FRAMES),
    ("a document without a bound", ABI, "    if len(data) > LARGE_BYTES:\n        raise FrameError(f\"{len(data)}", "    if False:\n        raise FrameError(f\"{len(data)}", BY_FRAMES),
)  # fmt: skip

WALL = (*_BUILDING, *_LOOKING, *_AGREEING, *_FILTERING, *_PERMITTING, *_CELLS, *_SPEAKING)
