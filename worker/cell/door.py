"""The door of a cell with network: a socket that listens on the cell's own loopback, for the egress to accept from.

Invariant: it is opened while the cell is parked and its network namespace holds nothing but a loopback; Landlock then
denies every other port, and this process closes its own end before it is confirmed.
"""

import fcntl
import socket
import struct

from worker.cell.frames import PROXY_PORT

_SIOCSIFFLAGS, _IFF_UP = 0x8914, 1  # linux/sockios.h, linux/if.h


def open_door() -> socket.socket:
    """Bring up the loopback, and listen there. Raises OSError. Source: netdevice(7)."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        fcntl.ioctl(any_socket, _SIOCSIFFLAGS, struct.pack("16sH22x", b"lo", _IFF_UP))
    door = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    door.bind(("127.0.0.1", PROXY_PORT))
    door.listen()
    return door
