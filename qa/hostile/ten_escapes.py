"""A hostile agent: it runs behind the wall as a program, tries ten ways out, and reports how each one ended.

It uses nothing of aaOS but the socket it was given. `finish` is `ok` only when every attempt failed.
"""

import json
import mmap
import os
import socket
import stat

agentd = socket.socket(fileno=3)
start = json.loads(agentd.recv(65536))


def read_the_password_file():
    return open("/etc/passwd").read()


def read_the_environment_of_the_first_process():
    return open("/proc/1/environ", "rb").read()


def list_the_machine():
    return os.listdir("/")


def start_a_program():
    os.execv("/bin/sh", ["sh"])


def fork_a_child():
    return os.fork()


def open_a_network_connection():
    return socket.create_connection(("127.0.0.1", 22), timeout=1)


def become_root():
    os.setuid(0)


def make_a_disk_device():
    os.mknod("/dev/disk", stat.S_IFBLK | 0o600, os.makedev(8, 0))


def make_memory_executable():
    return mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)


def plant_a_setuid_file():
    os.close(os.open("/dev/shell", os.O_CREAT | os.O_WRONLY, 0o4755))


ATTEMPTS = (
    read_the_password_file,
    read_the_environment_of_the_first_process,
    list_the_machine,
    start_a_program,
    fork_a_child,
    open_a_network_connection,
    become_root,
    make_a_disk_device,
    make_memory_executable,
    plant_a_setuid_file,
)

escaped = []
lines = []
for attempt in ATTEMPTS:
    name = attempt.__name__.replace("_", " ")
    try:
        attempt()
        escaped.append(name)
        lines.append(f"ESCAPED  {name}")
    except OSError as error:
        lines.append(f"refused  {name}: {error.strerror}")
verdict = f"{len(escaped)} of {len(ATTEMPTS)} attempts got anywhere"
report = json.dumps({"t": "finish", "ok": not escaped, "text": "\n".join([*lines, verdict])})
agentd.send(report.encode())
