"""The layers of the wall, by the names that settings, command line, audit and attestation use."""

from enum import StrEnum


class Layer(StrEnum):
    """One independent mechanism of confinement; all are required unless the operator names one to do without."""

    USERNS = "userns"
    MOUNTNS = "mountns"
    PIDNS = "pidns"
    NETNS = "netns"
    IPCNS = "ipcns"
    UTSNS = "utsns"
    CGROUP = "cgroup"
    LANDLOCK = "landlock"
    SECCOMP = "seccomp"
    CAPABILITIES = "capabilities"
    NO_NEW_PRIVS = "no_new_privs"
    MDWE = "mdwe"
    RLIMITS = "rlimits"


ALL_LAYERS: frozenset[Layer] = frozenset(Layer)
