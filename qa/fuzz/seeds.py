"""The seeds: small right inputs of every kind, and inputs that once found a defect."""

import re
from pathlib import Path

from aaos.core.config import Settings
from aaos.core.layers import ALL_LAYERS
from aaos.egress import wire
from aaos.sandbox.policy import parked_policy
from worker import abi

ROOT = Path(__file__).resolve().parents[2]

FRAMES = tuple(
    abi.encode(frame)
    for frame in (
        abi.Ready(1, ("userns", "seccomp"), {"userns": "denied"}, {"parked": 12}),
        abi.ModelComplete(1),
        abi.ToolCall(2, "file_read", {"path": "/d/a", "offset": 1, "deep": {"a": [1, 2.5, None]}}, "c1"),
        abi.ToolDone(3, "a-1-1-0", True, "text \u00e9\u2028"),
        abi.Checkpoint(4, "state"),
        abi.Log("a line"),
        abi.Finish(True, "done"),
        abi.Start(1, "a-1", "goal", {"path": "/d"}, ("echo",), ("file_read: /d/**",), 4, "x", ("c1",)),
        abi.Reply(5, {"ok": True, "text": "x"}),
        abi.Failure(6, "denied", "no", "ask"),
        abi.Stop("enough"),
    )
)
_POLICY = parked_policy((1000, 1000), host_id=1_900_000_000, layers=ALL_LAYERS, settings=Settings())
_MOUNTS = abi.mounts_to_json((abi.Mount("/d", True, True, True, (".git",)), abi.Mount("/e", True, False, False)))
ZYGOTE = tuple(
    abi.encode(frame)
    for frame in (
        abi.Spawn(1, {**abi.policy_to_json(_POLICY), "mounts": _MOUNTS}),
        abi.Spawned(1, 12),
        abi.SpawnFailed(2, "no"),
        abi.Assign("loop", _MOUNTS, program=True),
    )
)
EGRESS = tuple(
    wire.encode(frame)
    for frame in (
        wire.Fetch(1, "https", "example.com", 443, "/a?b", "GET", ("10.0.0.0/8",), True, 0, 9, 9, 9, 9),
        wire.Cancel(1),
        wire.Fetched(1, 200, "192.0.2.1", "text/html", "", 1, 1, 1, ""),
        wire.Failed(1, "tls", "no"),
    )
)
LINES = (
    b'{"jsonrpc":"2.0","id":1,"method":"submit","params":{"goal":"count lines","cwd":"/","read":["/a"],"max_usd":0.5}}',
    b'{"jsonrpc":"2.0","id":"x","method":"logs","params":{"run":"r-abc","after_seq":3,"limit":10}}',
    b'{"jsonrpc":"2.0","id":0,"method":"list","params":{"limit":3}}\n{"jsonrpc":"2.0","id":2,"method":"list"}',
    b'{"jsonrpc":"2.0","id":9,"method":"attest","params":{"agent":"a-1"}}',
    b'{"jsonrpc":"2.0","id":7,"method":"tail","params":{"after_seq":5}}',
    b'{"jsonrpc":"2.0","id":8,"method":"approve","params":{"approval":"ap-1","digest":"' + b"0a" * 32 + b'"}}',
)
ANSWERS = (
    b'{"jsonrpc":"2.0","id":1,"result":{"runs":[]}}',
    b'{"jsonrpc":"2.0","id":1,"error":{"code":-32000,"message":"no","data":{"code":"denied","remedy":"x","exit_code":3}}}',
    b'{"jsonrpc":"2.0","method":"event","params":{"request":1,"seq":2,"kind":"tool.done","fields":{}}}',
)
GLOBS = (
    b"/a/**\n/a/b",
    b"/**/b\n/a/c/b",
    b"/[!a]?/*\n/bc/d",
    b"/a*b/[a-c]\n/ab/c",
    b"/**\n/",
    b"/a/\\*\n/a/*",
    b"/\n/a",
)
ADDRESSES = (
    b"https://example.com/a/b?c=d#e",
    b"http://[::1]:8080/",
    b"http://user@example.com:80/%2e%2e/",
    "http://b\u00fccher.example/\u00e9".encode(),
    b"http://127.0.0.1:1/a;b/../c",
)
GRANTS = (
    b"file_read: /data/**",
    b"network: example.com:443/a/** (GET, HEAD)",
    b"tool: file_read",
    b"capability://file_read/data/x?max=3&rate=2/10s&expires=2h&timeout=5&bytes=4KiB",
    b"file_write: /out/[ab]*",
)
PATHS = (b"/a/b", b"/a/../outside/secret", b"/a/./b//c", b"a", b"/a/%2e%2e/b", b"/a/*", b"~/x", b"/outside")
SEARCHES = (b"wor[dx] 7.?,\nword 7, x", b"(a|b)*c{2,3}$\nababcc", rb"^\d+\s\w*$" + b"\n12 ab", b"(?:x+)+y\nxxxxxxxxxx")
PLANS = (
    b'{"kind":"direct"}',
    b'{"kind":"plan","subtasks":[{"id":"one","role":"analyzer","params":{"instruction":"look","paths":["/a.txt"]},'
    b'"inputs":[]},{"id":"out","role":"writer","params":{"instruction":"write","output":"/out.md"},"inputs":["one"]}],'
    b'"final":"out"}',
    b'```json\n{"kind":"plan","subtasks":[{"id":"a","role":"generalist","params":{"instruction":"x"}}],"final":"a"}\n```',
)
GOALS = (
    b"summarise /etc/services and write the summary to ./services.md",
    b"fetch http://127.0.0.1:1/ and http://a.example/, compare their top three stories, and write it to /tmp/x.md",
    b"count the lines in '/a b/c.txt' and search for \"x\" in /d",
    b"compare /a.csv and /b.csv",
)
SETTINGS = (
    (ROOT / "packaging/debian/agentd.toml").read_bytes()[:3_000],
    b'[daemon]\nsocket = "/run/a"\n[worker]\nparked = 3\nmemory_bytes = 16777216\n[limits]\nrun_usd = 2.5\n',
    b'[confinement]\nlandlock_abi = 6\n[roles]\ndirs = ["/a", "/b"]\n[audit]\njournal = false\n',
)
ROLES = (
    *(
        (ROOT / f"etc/aaos/roles/{name}.yaml").read_bytes().replace(f"name: {name}".encode(), b"name: analyzer", 1)
        for name in ("analyzer", "fetcher", "writer")
    ),
    b"name: analyzer\nsummary: s\nentry: loop\nmessage: m {path}\nparameters:\n  path: {type: path}\n"
    b"capabilities:\n  - file_read: '{path}'\n    max: 3\n",
    b"name: analyzer\nsummary: s\nentry: loop\nmessage: '{inputs.*} {i}'\nparameters: {i: {type: string}}\n"
    b"capabilities: ['tool: grep']\nsystem: s\ntiers: [T1]\n",
    b"name: analyzer\nsummary: s\nentry: program\n"
    b"parameters: {n: {type: integer, default: 3}, c: {type: enum, choices: [a, b], required: false}, u: {type: paths}}"
    b"\ncapabilities: ['tool: file_list', {network: 'a.example:443/x/**', rate: 2/10s}]\n"
    b"code_calls: true\nretry: 2\ntiers: [T0, T2]\n"
    b"limits: {iterations: 3, wall_s: 60}\noutput: {file: 'out/{n}.md'}\n",
)
NEEDED_OF_ROLES = ("name", "summary", "entry", "message", "parameters", "capabilities")
_SHIPPED = re.sub(rb"(?m)^ *#.*\n", b"", (ROOT / "etc/aaos/models.yaml").read_bytes())
MODELS = (
    _SHIPPED,
    b"providers: {ollama: {kind: ollama, first_token_s: 300}}\n"
    b"models: {local: {provider: ollama, model: 'q:8b', tier: T1, price_usd: {input: 0, output: 0}, max_parallel: 2}}",
    b"providers: {anthropic: {kind: anthropic, key: anthropic}}\n"
    b"models: {c: {provider: anthropic, model: c-5, tier: T2, price_usd: {input: 2.5, cached: 0.2, output: 10}}}\n",
    b"providers:\n  local: {kind: ollama}\n  cloud: {kind: openai, key: cloud}\nmodels:\n"
    b"  small: {provider: local, model: s, tier: T1, price_usd: {input: 0, output: 0}}\n",
    b"providers:\n  far: {kind: vllm, url: 'https://a.example/v1', stream: false, connect_s: 2, first_token_s: 30.5,\n"
    b"    idle_s: 9, total_s: 60}\n  near: {kind: llamacpp, url: 'http://10.0.0.2:1/v1', plain_http: true}\n"
    b"models:\n  m: {provider: far, model: a/b:c, tier: T3, context_tokens: 4096, max_output_tokens: 256,\n"
    b"    price_usd: {input: 2.5, cached: 0.2, output: 10}, max_parallel: 2, answers_as: [x, y]}\n",
)
LISTER = """\
name: lister
summary: Lists a directory
program: /usr/bin/ls
package: coreutils
parameters:
  place: {type: path}
  names: {type: strings, pattern: "[a-z]+", required: false}
  all: {type: boolean}
  mark: {type: string, default: x}
argv:
  - --color=never
  - {if_given: all, args: [--all]}
  - --
  - "{place}"
  - {if_given: names, args: ["{names}"]}
env: {LC_ALL: C}
stdin: "{mark}"
cwd: "{place}"
readable: [/etc/motd]
exec_paths: [/usr/bin/true]
egress: ["example.com:443"]
success: [0, 1]
output: lines
limits: {wall_s: 5}
"""
CLONER = b"""\
name: lister
summary: Asks a host with a secret
program: /usr/bin/git
package: git
parameters:
  from: {type: url, summary: where}
  to: {type: path, use: make}
  token: {type: secret, required: false}
  depth: {type: integer, min: 1, max: 9, default: 2}
  how: {type: enum, choices: [a, b], default: a}
argv: [clone, "--depth={depth}", "--{how}", {if_given: token, args: [-v]}, "{from}", "{to}"]
egress: ["git.example:443"]
asks: [GET /**/info/refs, POST /*/x]
limits: {wall_s: 5, cpu_s: 2, memory_bytes: 33554432, pids: 4, nofile: 32}
control_files: true
exec_writable: true
"""
WRAPPERS = (
    LISTER.encode(),
    CLONER,
    b"name: lister\nsummary: s\nprogram: /usr/bin/true\npackage: coreutils\nargv: []\n",
)
NEEDED_OF_WRAPPERS = ("name", "summary", "program", "package", "parameters", "argv")
