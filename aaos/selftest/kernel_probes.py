"""Probes of the kernel's interfaces: namespaces, mounts, processes, identity, memory, and what is only for root.

Source of the numbers: linux/sched.h, linux/mount.h, linux/prctl.h, linux/keyctl.h, linux/bpf.h.
"""

from aaos.selftest.probe import Probe, Unshown

_NO = "EPERM seccomp"
_GONE = "ENOSYS seccomp"
_ARGUMENT, _ABSENT = Unshown.ARGUMENT, Unshown.ABSENT

NAMESPACES = tuple(
    Probe("namespaces", name, act, worker, unshown)
    for name, act, worker, unshown in (
        ("make a user namespace", 'call("unshare", NEWUSER)', _NO, None),
        ("make a mount namespace", 'call("unshare", NEWNS)', _NO, None),
        ("make a pid namespace", 'call("unshare", NEWPID)', _NO, None),
        ("make a network namespace", 'call("unshare", NEWNET)', _NO, None),
        ("make an IPC namespace", 'call("unshare", NEWIPC)', _NO, None),
        ("make a host name namespace", 'call("unshare", NEWUTS)', _NO, None),
        ("make a cgroup namespace", 'call("unshare", NEWCGROUP)', _NO, None),
        ("make a clock namespace", 'call("unshare", NEWTIME)', _NO, None),
        ("clone into a user namespace", 'cloned("clone", NEWUSER | 17, 0, 0, 0, 0)', _NO, None),
        ("clone into a network namespace", 'cloned("clone", NEWNET | 17, 0, 0, 0, 0)', _NO, None),
        ("clone by the new call", 'cloned("clone3", packed("8Q3Q", *[0] * 4, 17, *[0] * 6), 88)', _GONE, None),
        ("enter a namespace by its file", 'call("setns", os.open("/proc/self/ns/uts", 0), 0)', _NO, None),
        ("enter a process's namespaces", 'call("setns", os.open("/proc/self/ns/net", 0), NEWNET)', _NO, None),
        ("ask a namespace for its owner", 'fcntl.ioctl(os.open("/proc/self/ns/net", 0), 0xB701)', _GONE, None),
        ("open agentd's mount namespace", 'opened(f"/proc/{AGENTD}/ns/mnt")', "ENOENT pidns", None),
        ("open agentd's user namespace", 'opened(f"/proc/{AGENTD}/ns/user")', "ENOENT pidns", None),
    )
)
MOUNTS = tuple(
    Probe("mounts", name, act, worker, unshown)
    for name, act, worker, unshown in (
        ("mount a file system", 'call("mount", b"none", W.encode(), b"tmpfs", 0, None)', _NO, None),
        ("bind a directory elsewhere", 'call("mount", R.encode(), W.encode(), None, 0x1000, None)', _NO, None),
        ("mount the root anew, writable", 'call("mount", None, b"/", None, 0x20 | 0x40000, None)', _NO, _ARGUMENT),
        ("take a mount away", 'call("umount2", b"/proc", 2)', _NO, None),
        ("exchange the root", 'call("pivot_root", b"/", b"/")', _NO, _ARGUMENT),
        ("change the root", 'os.chroot("/")', _NO, None),
        ("leave by a kept directory", "os.fchdir(os.open(W, os.O_RDONLY))", _GONE, None),
        ("open a file system", 'os.close(call("fsopen", b"tmpfs", 1))', _NO, None),
        ("pick a file system", 'os.close(call("fspick", HERE, b"/", 0))', _NO, None),
        ("copy a tree of mounts", 'os.close(call("open_tree", HERE, b"/", 1))', _NO, None),
        ("attach a tree of mounts", 'call("move_mount", -1, b"", HERE, W.encode(), 4)', _NO, _ARGUMENT),
        (
            "make a mount writable",
            'call("mount_setattr", HERE, W.encode(), 0, packed("4Q", 0, 1, 0, 0), 32)',
            _NO,
            _ARGUMENT,
        ),
        (
            "list all mounts",
            'call("listmount", packed("IIQQQ", 24, 0, 2**64 - 1, 0, 0), bytes(256), 4, 0)',
            _GONE,
            None,
        ),
        ("ask a mount for its source", 'call("statmount", bytes(64), bytes(256), 256, 0)', _GONE, _ARGUMENT),
    )
)
PROCESSES = tuple(
    Probe("processes", name, act, worker, unshown)
    for name, act, worker, unshown in (
        ("fork", 'cloned("fork")', _NO, None),
        ("start the shell", 'os.execv("/bin/sh", ["sh", "-c", ":"])', _NO, None),
        ("start the interpreter again", 'os.execv("/proc/self/exe", ["python3", "-c", ""])', _NO, None),
        ("start a program from memory", "in_memory_program()", _NO, None),
        ("be traced", 'call("ptrace", 0, 0, 0, 0)', _NO, None),
        ("trace agentd", 'call("ptrace", 0x4206, AGENTD, 0, 0)', _NO, None),
        (
            "read agentd's memory",
            'call("process_vm_readv", AGENTD, packed("QQ", 0, 0), 1, packed("QQ", 0, 0), 1, 0)',
            _NO,
            None,
        ),
        (
            "write into agentd's memory",
            'call("process_vm_writev", AGENTD, packed("QQ", 0, 0), 1, packed("QQ", 0, 0), 1, 0)',
            _NO,
            None,
        ),
        ("get a handle on a process", 'os.close(call("pidfd_open", os.getpid(), 0))', _NO, None),
        ("take a file out of a process", 'call("pidfd_getfd", -1, 0, 0)', _NO, _ARGUMENT),
        ("compare two processes", 'call("kcmp", os.getpid(), os.getpid(), 0, 0, 0)', _NO, None),
        ("signal agentd", "os.kill(AGENTD, 0)", _NO, None),
        ("signal everything", "os.kill(-1, 0)", _NO, None),
        ("signal a thread", 'call("tgkill", os.getpid(), os.getpid(), 0)', _NO, None),
        ("signal with a forged sender", 'call("rt_sigqueueinfo", os.getpid(), 0, packed("iii", 0, 0, -1))', _NO, None),
        ("outlive by a session of its own", 'call("setpgid", 0, 0)', _GONE, None),
        ("go ahead of the others", "os.setpriority(os.PRIO_PROCESS, 0, -20)", _NO, None),
        ("run in real time", 'call("sched_setscheduler", 0, 1, packed("i", 1))', _NO, None),
        ("read ahead of the others", 'call("ioprio_set", 1, 0, 1 << 13)', _NO, None),
        ("raise a limit", 'call("prlimit64", 0, 7, packed("QQ", 64, 64), None)', _NO, None),
        ("set a timer that signals", 'call("alarm", 0)', _GONE, None),
        (
            "run in real time by the newer call",
            'call("sched_setattr", 0, packed("IIQiIQQQ", 48, 1, 0, 0, 1, 0, 0, 0), 0)',
            _NO,
            None,
        ),
        (
            "run at a deadline",
            'call("sched_setattr", 0, packed("IIQiIQQQ", 48, 6, 0, 0, 0, 10**6, 10**7, 10**7), 0)',
            _NO,
            None,
        ),
        ("call by the gate of i386", "machine_code(bytes((0xB8, 20, 0, 0, 0, 0xCD, 0x80, 0xC3)))", _NO, _ABSENT),
        ("call by a number of x32", "number(X32 | 39)", "killed seccomp", _ABSENT),
    )
)
IDENTITY = tuple(
    Probe("identity", name, act, worker, unshown)
    for name, act, worker, unshown in (
        ("become root", "os.setuid(0)", _NO, None),
        ("become root's group", "os.setgid(0)", _NO, None),
        ("become root by three ids", "os.setresuid(0, 0, 0)", _NO, None),
        ("become another user", "os.setreuid(65534, 65534)", _NO, None),
        ("open files as another user", 'call("setfsuid", 0)', _NO, None),
        ("join a group", "os.setgroups([0])", _NO, None),
        ("take capabilities", 'call("capset", packed("II", 0x20080522, 0), packed("6I", *[0] * 6))', _NO, None),
        ("keep capabilities for programs", 'call("prctl", 8, 0, 0, 0, 0)', _NO, None),
        ("have its memory dumped", 'call("prctl", 4, 0, 0, 0, 0)', _NO, None),
        ("live on after its parent", 'call("prctl", 1, 0, 0, 0, 0)', _NO, None),
        ("let anybody trace it", 'call("prctl", 0x59616D61, -1, 0, 0, 0)', _NO, _ABSENT),
        ("keep its memory from being shuffled", 'call("personality", 0x0040000)', _NO, None),
        ("answer the calls of its children", 'call("seccomp", 1, 8, packed("HQ", 0, 0))', _NO, _ARGUMENT),
        ("load a filter of its own", 'call("seccomp", 2, 0, packed("I", 0))', _NO, None),
        ("ask for the rights of files", 'call("landlock_create_ruleset", None, 0, 1)', _GONE, None),
    )
)
MEMORY = tuple(
    Probe("memory", name, act, worker, unshown)
    for name, act, worker, unshown in (
        ("memory to write and execute", "mapped(7)", _NO, None),
        ("memory to execute", "mapped(5)", _NO, None),
        ("make memory executable", 'protected("mprotect", 5)', _NO, None),
        ("make memory executable by a key", 'protected("pkey_mprotect", 5, -1)', _NO, None),
        ("execute a file in memory", "mapped_file()", _NO, None),
        ("make all memory executable", 'call("personality", 0x0400000)', _NO, None),
        ("memory at address 0", "mapped_at_zero()", "EPERM capabilities", None),
        ("write to itself as a file", 'opened("/proc/self/mem", os.O_RDWR)', "EACCES landlock", None),
        ("write to the interpreter", 'opened("/proc/self/exe", os.O_WRONLY)', "EACCES landlock", _ARGUMENT),
        ("read the interpreter", 'opened("/proc/self/exe")', "EACCES landlock", None),
        ("share memory by a key", 'call("shmget", 0, SMALL, 0o600)', _NO, None),
        ("share a queue by a key", 'call("msgget", 0, 0o600)', _NO, None),
        ("share semaphores by a key", 'call("semget", 0, 1, 0o600)', _NO, None),
        ("share a queue by a name", 'os.close(call("mq_open", b"aaos-probe", 0o102, 0o600, None))', _NO, None),
        ("memory that even the kernel may not read", 'os.close(call("memfd_secret", 0))', _GONE, _ABSENT),
        ("hold memory against swapping", 'call("mlockall", 1)', _GONE, None),
        ("a file in huge pages", 'os.close(os.memfd_create("probe", os.MFD_HUGETLB))', _GONE, None),
        ("huge pages", "mapped(3, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | 0x40000)", _GONE, _ARGUMENT),
    )
)
KERNEL = tuple(
    Probe("kernel", name, act, worker, unshown)
    for name, act, worker, unshown in (
        ("load a program into the kernel", 'os.close(call("bpf", 0, packed("IIIII", 2, 4, 4, 1, 0), 48))', _NO, None),
        (
            "count events of the processor",
            'os.close(call("perf_event_open", packed("IIQQQQQ", 1, 128, 0, 0, 0, 0, 0x21), 0, -1, -1, 0))',
            _NO,
            None,
        ),
        ("handle page faults", 'os.close(call("userfaultfd", 0))', _NO, None),
        ("use the kernel's keys", 'call("keyctl", 0, -3, 0, 0, 0)', _NO, None),
        ("keep a key in the kernel", 'call("add_key", b"user", b"probe", b"x", 1, -2)', _NO, None),
        ("ask for a key", 'call("request_key", b"user", b"aaos-no-such-key", None, 0)', _NO, _ARGUMENT),
        ("queue work past the filter", 'os.close(call("io_uring_setup", 1, bytes(120)))', _NO, None),
        ("queue reads by the older calls", 'call("io_setup", 1, packed("Q", 0))', _GONE, None),
        ("load a module", 'call("init_module", b"", 0, b"")', _NO, _ARGUMENT),
        ("load a module from a file", 'call("finit_module", -1, b"", 0)', _NO, _ARGUMENT),
        ("unload a module", 'call("delete_module", b"aaos_no_such_module", 0x800)', _NO, _ARGUMENT),
        ("load another kernel", 'call("kexec_load", 0, 17, 0, 0)', _NO, _ARGUMENT),
        ("load another kernel from a file", 'call("kexec_file_load", -1, -1, 0, 0, 0)', _NO, _ARGUMENT),
        ("restart the machine", 'call("reboot", 0, 0, 0, 0)', _NO, _ARGUMENT),
        ("swap to a file", 'call("swapon", b"/aaos-no-such-file", 0)', _NO, _ARGUMENT),
        ("stop swapping", 'call("swapoff", b"/aaos-no-such-file")', _NO, _ARGUMENT),
        ("write accounts of processes", 'call("acct", b"/aaos-no-such-file")', _NO, _ARGUMENT),
        ("speak with devices", 'call("iopl", 0)', _NO, _ABSENT),
        ("open a port of a device", 'call("ioperm", 128, 1, 0)', _NO, _ABSENT),
        ("read how the clock is steered", 'call("adjtimex", bytes(256))', _NO, None),
        ("steer the clock", 'call("clock_adjtime", 0, bytes(256))', _NO, None),
        ("set the clock", 'call("clock_settime", 0, packed("qq", -1, -1))', _NO, _ARGUMENT),
        ("set the clock by the older call", 'call("settimeofday", packed("qq", -1, -1), 0)', _NO, _ARGUMENT),
        ("read the kernel's log", 'call("syslog", 10, None, 0)', _NO, None),
        ("watch files being opened", 'os.close(call("fanotify_init", 0, 0))', _NO, None),
        ("change segments", 'call("modify_ldt", 0, bytes(64), 64)', _NO, None),
        ("name the machine", "socket.sethostname(socket.gethostname())", "EPERM seccomp, ENOSYS seccomp", None),
        ("name the machine's domain", 'call("setdomainname", b"(none)", 6)', _NO, None),
        ("ask what machine this is", "os.uname()", _GONE, None),
        ("ask how busy the machine is", 'call("sysinfo", bytes(128))', _GONE, None),
        ("move memory between nodes", 'call("migrate_pages", 0, 0, None, None)', _NO, _ARGUMENT),
        ("steer where memory lies", 'call("set_mempolicy", 0, None, 0)', _NO, None),
    )
)
