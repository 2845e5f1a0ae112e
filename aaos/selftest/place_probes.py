"""Probes of places: files, what the kernel shows of the machine, terminals, networks, limits, what was inherited."""

from aaos.selftest.probe import Probe, Unshown

_NO = "EPERM seccomp"
_GONE = "ENOSYS seccomp"
_HIDDEN = "ENOENT mountns"
_SHUT = "EACCES landlock"
_RO = "EROFS mountns"
_NONE = "nothing zygote"
_ARGUMENT, _ABSENT = Unshown.ARGUMENT, Unshown.ABSENT

FILES = tuple(
    Probe("files", name, act, worker, unshown)
    for name, act, worker, unshown in (
        ("read the users of the machine", 'content("/etc/passwd")', _HIDDEN, None),
        ("read the passwords of the machine", 'content("/etc/shadow")', _HIDDEN, None),
        ("list the machine", 'os.listdir("/")', _SHUT, None),
        ("list the homes", 'os.listdir("/home")', _HIDDEN, None),
        ("read a program", 'content("/bin/sh")', _HIDDEN, None),
        ("read beside what was granted", 'content(f"{X}/secret")', _HIDDEN, None),
        ("read beside it by going up", 'content(f"{W}/../closed/secret")', _HIDDEN, None),
        ("go up from a granted directory", 'through(os.open(W, 0), "../closed/secret")', _HIDDEN, None),
        ("list what is above", 'os.listdir(f"{W}/..")', _SHUT, None),
        ("follow a link out", 'content(f"{W}/link")', _HIDDEN, None),
        ("follow a link to a process", 'content(f"{W}/magic")', "EACCES landlock, ENOENT mountns", None),
        ("write to what may be read", 'opened(f"{R}/text", os.O_WRONLY)', _RO, None),
        ("empty what may be read", 'opened(f"{R}/text", os.O_WRONLY | os.O_TRUNC)', _RO, None),
        ("shorten what may be read", 'os.truncate(f"{R}/text", 0)', _NO, None),
        ("open it anew to write", 'opened("/proc/self/fd/%d" % os.open(f"{R}/text", 0), os.O_WRONLY)', _RO, None),
        ("open its name anew to write", 'opened("/proc/self/fd/%d" % os.open(f"{R}/text", PATH), 1)', _RO, None),
        ("change who may use what may be read", 'os.chmod(f"{R}/text", 0o777)', _NO, None),
        ("change who may use it by its number", 'os.fchmod(os.open(f"{R}/text", 0), 0o777)', _NO, None),
        ("give away what may be read", 'os.chown(f"{R}/text", os.getuid(), os.getgid())', _NO, None),
        ("change when what may be read was written", 'os.utime(f"{R}/text", (0, 0))', _NO, None),
        ("make a file beside what may be read", 'opened(f"{R}/new", os.O_WRONLY | os.O_CREAT)', _NO, None),
        ("remove what may be read", 'os.unlink(f"{R}/gone")', _NO, None),
        ("let nobody write without asking", 'fcntl.fcntl(os.open(f"{W}/a", 0), 1024, 0)', _GONE, None),
        ("hear of changes by signals", "fcntl.fcntl(os.open(W, 0), 1026, 2)", _GONE, None),
        ("send a process signals by a file", "fcntl.fcntl(os.open(W, 0), 8, os.getpid())", _GONE, None),
        ("execute memory of a file", 'mmap.mmap(os.open(f"{W}/a", 0), 0, flags=2, prot=5)', _NO, None),
        ("plant a hook of git", 'opened(f"{W}/.git/hooks/post-commit", os.O_WRONLY | os.O_CREAT)', _NO, None),
        (
            "settings of git by its directory",
            'opened("/proc/self/fd/%d/config" % os.open(f"{W}/.git", 0), 1)',
            _RO,
            None,
        ),
        ("write to settings of git", 'opened(f"{W}/.git/config", os.O_WRONLY)', _RO, None),
        ("make a file", 'opened(f"{W}/new", os.O_WRONLY | os.O_CREAT)', _NO, None),
        ("make a file without a name", "opened(W, os.O_WRONLY | os.O_TMPFILE)", _GONE, None),
        ("make a file that makes root", 'opened(f"{W}/su", os.O_WRONLY | os.O_CREAT, 0o4755)', _NO, None),
        ("make a directory", 'os.mkdir(f"{W}/newdir")', _NO, None),
        ("make a link", 'os.symlink("/etc", f"{W}/newlink")', _NO, None),
        ("make a second name", 'os.link(f"{R}/text", f"{W}/hard")', _NO, None),
        ("make a disk", 'os.mknod(f"{W}/disk", 0o60600, os.makedev(259, 4095))', _NO, None),
        ("make a pipe", 'os.mkfifo(f"{W}/pipe")', _NO, None),
        ("rename a file", 'os.rename(f"{W}/text", f"{W}/other")', _NO, None),
        ("exchange two files", 'call("renameat2", HERE, f"{W}/a".encode(), HERE, f"{W}/b".encode(), 2)', _NO, None),
        ("remove a file", 'os.unlink(f"{W}/gone")', _NO, None),
        ("remove a directory", 'os.rmdir(f"{W}/empty")', _NO, None),
        ("change who may use a file", 'os.chmod(f"{W}/a", 0o4777)', _NO, None),
        ("change who may use an open file", 'os.fchmod(os.open(f"{W}/a", 0), 0o4777)', _NO, None),
        ("change it by the newest call", 'call("fchmodat2", HERE, f"{W}/a".encode(), 0o777, 0)', _GONE, None),
        ("give a file away", 'os.chown(f"{W}/a", 0, 0)', _NO, None),
        ("change when a file was written", 'os.utime(f"{W}/a", (0, 0))', _NO, None),
        ("give a file capabilities", 'os.setxattr(f"{W}/a", "user.probe", b"x")', _NO, None),
        (
            "open with rules of its own",
            'os.close(call("openat2", HERE, W.encode(), packed("QQQ", 0, 0, 0), 24))',
            _GONE,
            None,
        ),
        ("open a file by its number", 'call("open_by_handle_at", HERE, packed("II", 8, 1), 0)', _NO, _ARGUMENT),
        (
            "ask for the number of a file",
            'call("name_to_handle_at", HERE, W.encode(), packed("I", 128), bytes(8), 0)',
            _NO,
            None,
        ),
        ("execute a file that was granted", 'os.execv(f"{W}/script", ["script"])', _NO, None),
        ("rename the directory of git", 'os.rename(f"{W}/.git", f"{W}/elsewhere")', _NO, None),
        ("watch a directory", 'os.close(call("inotify_init1", 0))', _GONE, None),
    )
)
MACHINE = tuple(
    Probe("machine", name, act, worker, unshown)
    for name, act, worker, unshown in (
        ("environment of the first process", 'content("/proc/1/environ")', _SHUT, None),
        ("command line of the first process", 'content("/proc/1/cmdline")', _SHUT, None),
        ("memory of the first process", 'opened("/proc/1/mem")', _SHUT, None),
        ("map of the first process", 'opened("/proc/1/maps")', _SHUT, None),
        ("files of the first process", 'os.listdir("/proc/1/fd")', _SHUT, None),
        ("root of the first process", 'os.listdir("/proc/1/root")', _SHUT, None),
        ("environment of agentd", 'content(f"/proc/{AGENTD}/environ")', "ENOENT pidns", None),
        ("memory of agentd", 'opened(f"/proc/{AGENTD}/mem")', "ENOENT pidns", None),
        ("files of agentd", 'os.listdir(f"/proc/{AGENTD}/fd")', "ENOENT pidns", None),
        ("all processes", 'os.listdir("/proc")', _SHUT, None),
        ("mounts with paths of the machine", 'content("/proc/self/mountinfo")', _SHUT, None),
        ("its place among the cgroups", 'content("/proc/self/cgroup")', _SHUT, None),
        ("map ids of its own", 'opened("/proc/self/uid_map", os.O_WRONLY)', _SHUT, None),
        ("forget what groups it may not leave", 'opened("/proc/self/setgroups", os.O_WRONLY)', _SHUT, None),
        ("be the last to be killed for memory", 'opened("/proc/self/oom_score_adj", os.O_WRONLY)', _SHUT, None),
        ("memory of the machine", 'content("/proc/iomem")', _HIDDEN, None),
        ("addresses of the kernel", 'content("/proc/kallsyms")', _HIDDEN, None),
        ("settings of the kernel", 'opened("/proc/sys/kernel/core_pattern", os.O_WRONLY)', _HIDDEN, None),
        ("caches of the kernel", 'opened("/proc/sys/vm/drop_caches", os.O_WRONLY)', _HIDDEN, None),
        ("keys of the kernel", 'opened("/proc/keys")', _HIDDEN, _ABSENT),
        ("the kernel's stack of a call", 'content("/proc/self/stack")', _SHUT, _ABSENT),
        ("version of the kernel", 'content("/proc/version")', _HIDDEN, None),
        ("how the kernel was started", 'content("/proc/cmdline")', _HIDDEN, None),
        ("processors of the machine", 'content("/proc/cpuinfo")', _HIDDEN, None),
        ("name of the machine", 'content("/etc/hostname")', _HIDDEN, _ABSENT),
        ("interrupts of the machine", 'content("/proc/interrupts")', _HIDDEN, None),
        ("devices of the machine", 'os.listdir("/sys")', _HIDDEN, None),
        ("limits of all cgroups", 'os.listdir("/sys/fs/cgroup")', _HIDDEN, None),
        ("sockets of the machine", 'os.listdir("/run")', _HIDDEN, None),
        ("the disks", 'content("/proc/partitions")', _HIDDEN, None),
        ("the kernel's messages", 'opened("/dev/kmsg")', _HIDDEN, None),
        ("how the memory of the machine is used", 'content("/proc/vmstat")', _HIDDEN, None),
        ("a file system of its own", 'opened("/dev/fuse", os.O_RDWR)', _HIDDEN, _ABSENT),
        ("shared memory by names", 'os.listdir("/dev/shm")', _HIDDEN, None),
    )
)
TERMINAL = tuple(
    Probe("terminal", name, act, worker, unshown)
    for name, act, worker, unshown in (
        ("type into the terminal", "sent_into_terminal(TIOCSTI)", _GONE, None),
        ("type with bit 32 set", "sent_into_terminal(TIOCSTI | BIT_32)", _GONE, None),
        ("speak with the console", "sent_into_terminal(TIOCLINUX | BIT_32)", _GONE, _ARGUMENT),
        ("open the terminal", 'opened("/dev/tty", os.O_RDWR)', _HIDDEN, None),
        ("open the console", 'opened("/dev/console", os.O_RDWR)', _HIDDEN, _ABSENT),
        ("make a terminal", 'opened("/dev/ptmx", os.O_RDWR)', _HIDDEN, None),
        ("be on a terminal", "found(any(map(os.isatty, range(4))))", _NONE, None),
    )
)
NETWORK = tuple(
    Probe("network", name, act, worker, unshown)
    for name, act, worker, unshown in (
        ("a socket of this machine", "socket.socket(socket.AF_UNIX).close()", _NO, None),
        ("messages of this machine", "socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM).close()", _NO, None),
        ("a pair that sends elsewhere", "[e.close() for e in socket.socketpair(type=socket.SOCK_DGRAM)]", _NO, None),
        ("a connection of TCP", "socket.socket(socket.AF_INET).close()", _NO, None),
        ("a connection of TCP, version 6", "socket.socket(socket.AF_INET6).close()", _NO, None),
        ("messages of UDP", "socket.socket(socket.AF_INET, socket.SOCK_DGRAM).close()", _NO, None),
        ("raw packets", "socket.socket(socket.AF_INET, socket.SOCK_RAW, 1).close()", _NO, None),
        (
            "a connection over many paths",
            "socket.socket(socket.AF_INET, socket.SOCK_STREAM, 262).close()",
            _NO,
            _ABSENT,
        ),
        ("settings of the network", "socket.socket(socket.AF_NETLINK, socket.SOCK_RAW).close()", _NO, None),
        ("rules of the packet filter", "socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 12).close()", _NO, _ABSENT),
        ("packets past the kernel", "socket.socket(44, socket.SOCK_RAW).close()", _NO, _ABSENT),
        ("pings", "socket.socket(socket.AF_INET, socket.SOCK_DGRAM, 1).close()", _NO, _ABSENT),
        ("streams of SCTP", "socket.socket(socket.AF_INET, socket.SOCK_STREAM, 132).close()", _NO, _ABSENT),
        ("other machines of a cluster", "socket.socket(30, socket.SOCK_RDM).close()", _NO, _ABSENT),
        ("packets of the wire", "socket.socket(socket.AF_PACKET, socket.SOCK_RAW).close()", _NO, None),
        ("the machine below", "socket.socket(socket.AF_VSOCK).close()", _NO, _ABSENT),
        ("ciphers of the kernel", "socket.socket(socket.AF_ALG, socket.SOCK_SEQPACKET).close()", _NO, _ABSENT),
        ("a pair of sockets", "[end.close() for end in socket.socketpair()]", _NO, None),
        ("agentd's operator socket", "os.stat(SOCKET)", _HIDDEN, None),
        ("connect what it has", 'call("connect", 3, packed("H", 1), 110)', _NO, _ARGUMENT),
        ("listen on what it has", 'call("listen", 3, 1)', _NO, _ARGUMENT),
    )
)
LIMITS = tuple(
    Probe("limits", name, act, worker, unshown)
    for name, act, worker, unshown in (
        ("more memory than it may have", "grown(1 << 40)", "ENOMEM rlimits", None),
        ("more open files than it may have", "many_files(2000)", "EMFILE rlimits", None),
        ("a longer file than it may have", "large_file(1 << 41)", "EFBIG rlimits", None),
        ("a longer file where it may write", 'os.truncate(f"{W}/b", 1 << 40)', _NO, None),
        ("more processes than it may have", "many_processes(300)", _NO, None),
        ("more scratch than it may have", 'filled("/tmp/aaos-probe", 1 << 25)', _NO, None),
        ("more names than scratch may have", 'many_names("/tmp", 5_000)', _NO, None),
    )
)
INHERITED = tuple(
    Probe("inherited", name, act, worker, unshown)
    for name, act, worker, unshown in (
        ("variables of an environment", "found(variables())", _NONE, None),
        ("open files of others", "found(open_files())", _NONE, None),
        ("an open directory", "found(directories())", _NONE, None),
        ("a parent that it can see", "found(os.getppid())", _NONE, None),
        ("arguments of agentd", 'found([word for word in sys.argv + sys.orig_argv if "/" in word][2:])', _NONE, None),
    )
)
