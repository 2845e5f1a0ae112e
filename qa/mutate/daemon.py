"""Mutants of the daemon: files and their syncs, the store, grants, doors, models, the egress."""

OPENING, PUBLISHING, FILES = "aaos/broker/opening.py", "aaos/broker/publishing.py", "aaos/broker/files.py"
STATE, DATABASE, BARRIER = "aaos/store/statedir.py", "aaos/store/database.py", "aaos/store/barrier.py"
LEVELS, BACKLOG, CALLS = "aaos/store/levels.py", "aaos/store/backlog.py", "aaos/store/calls.py"
AUDIT, OPENED = "aaos/store/audit.py", "aaos/store/opening.py"
GATE, TOKEN, PATTERN = "aaos/tools/gate.py", "aaos/core/token.py", "aaos/core/pattern.py"
OPERATOR, PEERS, LISTEN = "aaos/daemon/operator.py", "aaos/daemon/peers.py", "aaos/daemon/listen.py"
ADDRESSES, CONNECT, KEYS, REDACT = (
    "aaos/egress/addresses.py",
    "aaos/egress/connect.py",
    "aaos/llm/keys.py",
    "aaos/llm/redact.py",
)
YAML, SELFTEST, ORDER, ASKED = (
    "aaos/core/yamlfile.py",
    "aaos/selftest/probe.py",
    "aaos/agent/order.py",
    "aaos/agent/asked.py",
)

BY_OPENING = ("tests/unit/broker/test_opening.py", "tests/unit/broker/test_files.py")
BY_PUBLISHING = ("tests/unit/broker/test_publishing.py",)
BY_STEPS = ("tests/unit/store/test_redo.py", "tests/unit/store/test_database_steps.py")
BY_LATER = (
    "tests/unit/store/test_database_later.py",
    "tests/unit/store/test_levels.py",
    "tests/unit/store/test_backlog.py",
)
BY_AUDIT = ("tests/unit/store/test_audit.py", "tests/unit/store/test_database_later.py")
BY_CALLS = ("tests/unit/store/test_calls.py",)
BY_STATE = ("tests/unit/store/test_statedir.py", "tests/unit/store/test_database.py")
BY_DISK = ("tests/unit/store", "tests/kernel/test_store_disk.py")
BY_GATE = ("tests/unit/tools",)
BY_TOKEN = ("tests/unit/core/test_token.py", "tests/unit/core/test_token_time.py")
BY_DOOR = ("tests/kernel/test_operator_socket.py",)
BY_ADDRESS = ("tests/unit/egress/test_addresses.py",)
BY_YAML = ("tests/unit/core/test_yamlfile.py",)

_FILES = (
    ("paths above a root", OPENING, "    syscalls.RESOLVE_BENEATH | ", "    ", BY_OPENING),
    ("links below a root", OPENING, " | syscalls.RESOLVE_NO_SYMLINKS | ", " | ", BY_OPENING),
    ("mounts below a root", OPENING, " | syscalls.RESOLVE_NO_XDEV", "", (*BY_OPENING, "tests/kernel/test_files_as_submitter.py")),
    ("devices as files", OPENING, "    if stat.S_ISREG(mode):", "    if True:", BY_OPENING),
    ("a name that begins like a root", OPENING, 'path.startswith(f"{root.path.rstrip(\'/\')}/")', "path.startswith(root.path)", ("tests/unit/broker", "tests/unit/tools")),
    ("content that can still change", PUBLISHING, "            fcntl.fcntl(content, fcntl.F_ADD_SEALS, SEALS)", "            pass", BY_PUBLISHING),
    ("no sync of a file", PUBLISHING, "        os.fsync(fd)\n        if job", "        if job", BY_PUBLISHING),
    ("no sync of a name", PUBLISHING, "            _sync(directory)\n", "", BY_PUBLISHING),
    ("setuid bits are kept", PUBLISHING, "stat.S_IMODE(pre.mode) & 0o777", "stat.S_IMODE(pre.mode)", BY_PUBLISHING),
    ("changes of others are lost", PUBLISHING, "            if not _is_stat_of(job, pre):", "            if False:", BY_PUBLISHING),
    ("a revoked grant publishes", PUBLISHING, "    if not job.may_commit():", "    if False:", BY_PUBLISHING),
    ("another directory of that name", PUBLISHING, "    if (status.st_dev, status.st_ino) == pending.parent:", "    if True:", BY_PUBLISHING),
    ("a file of that name is overwritten", PUBLISHING, "flags=syscalls.RENAME_NOREPLACE", "flags=0", BY_PUBLISHING),
    ("files of others are replaced", FILES, "        if status.st_uid != self._submitter.uid:", "        if False:", ("tests/kernel/test_files_as_submitter.py", "tests/unit/broker")),
    ("control files are written", FILES, "        if is_control_path(path):", "        if False:", ("tests/unit/broker", "tests/unit/tools")),
)  # fmt: skip
_STORE = (
    ("no sync of the log", BARRIER, "            self._sync(self._fd)", "            pass", BY_DISK),
    ("a failed sync is forgotten", BARRIER, "            self.failure = outcome", "            pass", BY_DISK),
    ("no sync of the marker", STATE, "                os.fsync(file.fileno())\n", "", BY_DISK),
    ("no sync of the state's names", STATE, "            fresh.replace(path)\n            self.sync()", "            fresh.replace(path)", BY_STATE),
    ("two daemons on one state", STATE, "        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)", "        pass", BY_STATE),
    ("a directory that others write to", STATE, "    if info.st_mode & 0o022:", "    if False:", BY_STATE),
    ("a state that others read", STATE, "    if stat.S_IMODE(info.st_mode) != 0o600:", "    if False:", BY_STATE),
    ("an old daemon goes on writing", DATABASE, "        if epoch != self.epoch:", "        if False:", BY_DISK),
    ("a damaged database is opened", "aaos/store/opening.py", '    if rows != [("ok",)]:', "    if False:", BY_DISK),
    ("a torn step is carried out", "aaos/store/redo.py", " or zlib.crc32(body) != checksum:", ":", BY_STEPS),
    ("an older database is opened", "aaos/store/opening.py", "    elif epoch < marker.epoch:", "    elif False:", BY_DISK),
)  # fmt: skip
_LATER = (
    ("a step is carried out twice", BACKLOG, "((NEXT_BATCH, (self._redo.batch + 1,)),) if self._logged else ()", "()", BY_STEPS),
    ("a step is given up when its commit fails", BACKLOG, "        self.cut(self._logged)\n", "        self.cut(0)\n", BY_STEPS),
    ("a step is not carried out again", BACKLOG, "        self.cut(self._logged)\n        self._carried = 0", "        self.cut(self._logged)", (*BY_STEPS, *BY_LATER)),
    ("what follows a step is not in the log", BACKLOG, "            self._logged = len(self)", "            self._logged = len(self) + 1", (*BY_STEPS, *BY_LATER)),
    ("a step is only in memory", DATABASE, "            self._backlog.log()", "            pass", BY_STEPS),
    ("readers miss what is for later", DATABASE, "            self._levels.prepare()\n", "            pass\n", BY_LATER),
    ("what is for later is given up at a commit", LEVELS, "        self.carry_out()\n        for sql", "        for sql", BY_LATER),
    ("what is for now comes before what is for later", LEVELS, "        self.prepare()\n        self._execute(self.cursor", "        self._execute(self.cursor", BY_LATER),
    ("a level that fails leaves what is for later", LEVELS, "                self.backlog.cut(level.position)", "                pass", BY_LATER),
    ("a level that fails leaves what was carried out", LEVELS, 'self._execute(self._control, f"ROLLBACK TO level{len(self._inner)}")', "pass", BY_LATER),
    ("a level takes back what was before it", LEVELS, "                self._carry_out(level.position)\n", "", BY_LATER),
    ("what was taken back is told", LEVELS, "            del self.after[level.after :]", "            pass", BY_LATER),
    ("a level that cannot be taken back stands", LEVELS, "        except AaosError as error:\n            self.broken = error", "        except AaosError:\n            pass", BY_LATER),
    ("writing goes on after SQLite ended it", LEVELS, "            self.broken = failure", "            pass", (*BY_LATER, *BY_STEPS)),
    ("while nobody waits a failure leaves it open", DATABASE, "                self._or_roll_back(self._levels.carry_out)", "                self._levels.carry_out()", BY_LATER),
    ("what cannot be stored stops every start", OPENED, "(sqlite3.DatabaseError, UnicodeEncodeError, OverflowError)", "sqlite3.DatabaseError", BY_LATER),
    ("numbers of events go on after a rollback", AUDIT, "        if self._rollbacks != self._database.rollbacks:", "        if self._rollbacks < 0:", BY_AUDIT),
    ("numbers of events go on after a level failed", LEVELS, "            self.rollbacks += 1\n            del", "            del", BY_AUDIT),
    ("calls of an earlier daemon are opened unseen", CALLS, "        if self._database.rows(_ANY_OF_AGENT, (agent,)):", "        if False:", BY_CALLS),
    ("a call is opened twice, unseen", CALLS, "            return place > last", "            return True", BY_CALLS),
    ("an outcome of a call that was taken back", CALLS, "            self._open.clear()", "            pass", BY_CALLS),
    ("a call has two outcomes", CALLS, "            on_record.discard(call)\n", "", BY_CALLS),
    ("a result that cannot be stored is taken", CALLS, "            require_storable(o.result, o.remedy)\n", "", BY_CALLS),
    ("arguments that cannot be stored are taken", CALLS, "            require_storable(record.tool, record.arguments)\n", "", BY_CALLS),
)  # fmt: skip
_GRANTS = (
    ("a permit that is not on record", GATE, "        self._records.permitted(draft, pre_hash=pre_text(opened.handout.pending))\n", "", BY_GATE),
    ("a result after its grant was revoked", GATE, "        opened.handout.close()\n        if not self._is_live(opened):", "        opened.handout.close()\n        if False:", BY_GATE),
    ("a permit of nobody", GATE, "        if opened is None:", "        if False:", BY_GATE),
    ("uses that are not counted", TOKEN, "            meter.add(now_s, bytes_used)", "            pass", BY_TOKEN),
    ("one use too many", TOKEN, "self._calls >= limits.max_calls:", "self._calls > limits.max_calls:", BY_TOKEN),
    ("one byte too many", TOKEN, "self._bytes + bytes_used > limits.max_bytes:", "self._bytes > limits.max_bytes:", BY_TOKEN),
    ("expiry by one clock", TOKEN, " or self._clock.now_s() >= expires_at_s", "", BY_TOKEN),
    ("expiry is not looked at", TOKEN, "        if self._is_expired(token):\n            return DeniedError", "        if False:\n            return DeniedError", BY_TOKEN),
    ("a handle of another agent", TOKEN, "token is None or token.agent != agent or self._is_expired(token)", "token is None or self._is_expired(token)", BY_TOKEN),
    ("a limit of the parent is left out", TOKEN, "own + (parent.meters if parent else ())", "own", BY_TOKEN),
    ("children outlive a revoked grant", TOKEN, "            todo += token.children.values()\n", "", BY_TOKEN),
)  # fmt: skip
_DOORS = (
    ("every method for everybody", OPERATOR, "        if method.access not in self._rule.of(peer):", "        if False:", ("tests/kernel/test_operator_socket.py", "tests/kernel/test_server.py")),
    ("a member is an administrator", PEERS, "return frozenset({Access.READ, Access.SUBMIT})", "return frozenset(Access)", ("tests/unit/daemon/test_peers.py",)),
    ("a socket for everybody", LISTEN, "0o600 if group is None else 0o660", "0o666", BY_DOOR),
    ("the socket of a live daemon is taken", LISTEN, "            path.unlink()\n            return\n        except OSError as error:\n            raise _taken(path) from error\n    raise _taken(path)", "            path.unlink()\n            return\n        except OSError as error:\n            raise _taken(path) from error\n    path.unlink()", (*BY_DOOR, "tests/unit/daemon/test_listen.py")),
    ("two answers of one model", ORDER, "            raise AbiBrokenError(f\"{frame} after finish\")", "            pass", ("tests/unit/agent/test_order.py",)),
    ("request ids that fall", ORDER, "        if request <= self._last_id:", "        if False:", ("tests/unit/agent/test_order.py",)),
    ("aliases in YAML", YAML, '        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None) is not None:', "        if False:", BY_YAML),
    ("a key twice in YAML", YAML, "            if key in items:", "            if False:", BY_YAML),
    ("a tag in YAML", YAML, "        if (tag := getattr(event, \"tag\", None)) is not None:", "        if (tag := getattr(event, \"tag\", None)) is not None and False:", BY_YAML),
    ("YAML of any depth", YAML, "self._nodes > MAX_NODES or len(at) > MAX_DEPTH", "self._nodes > MAX_NODES", BY_YAML),
    ("a self-test that passes what was allowed", SELFTEST, "is_ok=seen in refusals)", "is_ok=True)", ("tests/unit/selftest", "tests/kernel/test_trial.py")),
)  # fmt: skip
_OUTSIDE = (
    ("long texts are kept, too", "aaos/core/memo.py", "if len(str(args[-1])) <= KEPT_CHARS else compute(*args, **named)", "if args else compute(*args, **named)", ("tests/unit/core/test_memo.py",)),
    ("an address of any length when escaped", "aaos/core/url.py", "    _refuse_long(url.text)", "    pass", ("tests/unit/core/test_url.py",)),
    ("repeats without end", "worker/pattern.py", "            if repeats > MAX_REPEATS:", "            if False:", ("tests/unit/worker/test_pattern.py",)),
    ("work is begun while its agent ends", "aaos/agent/spawning.py", "            work.close()\n", "            raise\n", ("tests/unit/agent/test_spawning.py",)),
    ("readers without a bound", "aaos/daemon/atonce.py", "        if is_full or self._busy[uid] >= self.of_one:", "        if False:", ("tests/unit/daemon/test_atonce.py",)),
    ("a full door is closed", "aaos/egress/door.py", "                if error.errno not in _NO_ROOM:", "                if True:", ("tests/unit/egress/test_door.py",)),
    ("IPv4 in disguise", ADDRESSES, '        "2002::/16": "an IPv4 address in disguise (6to4)",\n', "", BY_ADDRESS),
    ("metadata services", ADDRESSES, '        "169.254.0.0/16": "link-local, where clouds have their metadata service",\n', "", BY_ADDRESS),
    ("loopback", ADDRESSES, '        "127.0.0.0/8": "of this machine",\n', "", BY_ADDRESS),
    ("NAT64", ADDRESSES, '_GLOBAL_6 = IPv6Network("2000::/3")', '_GLOBAL_6 = IPv6Network("::/0")', BY_ADDRESS),
    ("broadcast may be permitted", ADDRESSES, "    if is_one_host and any(", "    if any(", BY_ADDRESS),
    ("addresses are not looked at", CONNECT, "    _check(host, found, permitted)\n", "", ("tests/unit/egress/test_connect.py",)),
    ("a key that others can read", KEYS, "    if status.st_mode & 0o077:", "    if False:", ("tests/unit/llm/test_keys.py",)),
    ("a key of another user", KEYS, "    if status.st_uid != owner:", "    if False:", ("tests/unit/llm/test_keys.py",)),
    ("a key in an error", REDACT, "                if text[at : at + length] in parts:", "                if False:", ("tests/unit/llm/test_redact.py",)),
    ("a key in an answer", REDACT, "            if form in text:\n", "            if False:\n", ("tests/unit/llm/test_redact.py",)),
)  # fmt: skip

DAEMON = (*_FILES, *_STORE, *_LATER, *_GRANTS, *_DOORS, *_OUTSIDE)
