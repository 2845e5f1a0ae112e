"""What the doctor says of file systems that cannot be id-mapped: ISO-2."""

from aaos.daemon.filesystems import MAX_NAMED, line, told, unmapped

MOUNTS = r"""21 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw
22 21 0:20 / /proc rw - proc proc rw
23 21 0:50 / /var/lib/docker/merged rw - overlay overlay rw
24 21 0:51 / /mnt/a\040b\012c rw master:3 propagate_from:2 - nfs4 host:/x rw
25 21 0:52 / /tmp rw - tmpfs tmpfs rw
26 21 0:50 / /var/lib/docker/merged rw - overlay overlay rw
27 21 0:53 / /- rw - 9p - rw
"""


def test_those_that_cannot_be_id_mapped_are_named_once_and_harmless() -> None:
    assert unmapped(MOUNTS) == ("/var/lib/docker/merged (overlay)", "/mnt/a b\\nc (nfs4)", "/- (9p)")


def test_this_machine_is_told_in_a_line() -> None:
    assert "\n" not in told()


def test_many_are_counted() -> None:
    names = tuple(f"/m{number} (nfs)" for number in range(MAX_NAMED + 2))
    assert line(names).endswith(f"/m{MAX_NAMED - 1} (nfs) and 2 more")
    assert line(()) == "all that are mounted can show their owner to workers"
