# A chroot of Debian 13, made once and kept, in which the package is built and the tests run on what Debian 13 ships.
# Sourced by packaging/build and packaging/test, which run as root in the project's directory.
# shellcheck shell=sh

cache=/var/cache/aaos-build
room_mib=6144 # for a root, and the disk of the guest that is made of another
tools=debhelper,dh-apparmor,dh-python,python3-all,python3-setuptools,python3-stdeb,fakeroot,pandoc,lintian
product=e2fsprogs,python3-certifi,python3-h11,python3-httpx,python3-idna,python3-lxml,python3-prctl,python3-webencodings,python3-pydantic,python3-systemd,python3-yaml,libseccomp2
tests=python3-pytest,python3-hypothesis,procps,iproute2,bubblewrap,openssl,git,jq,python3-pip,ripgrep,sqlite3
judges=apparmor,autopkgtest,systemd
chroot=$cache/trixie-$(printf '%s' "$tools,$product,$tests,$judges" | sha256sum | cut -c 1-12)

say() { printf 'deb: %s\n' "$*" >&2; }

# Run "$@" with its output in a log; a failure shows the end of the log.
quietly() {
    log=$(mktemp)
    if "$@" >"$log" 2>&1; then
        rm -f "$log"
    else
        tail -n 30 "$log" >&2
        say "failed: $*; the whole output: less $log"
        exit 1
    fi
}

# A root of Debian 13: debootstrapped DIRECTORY VARIANT PACKAGES. Exits with 75 (EX_TEMPFAIL of sysexits.h) where this
# machine is to blame: no room, no archive, no right to. It is not when the archive is there and lacks one of ours.
debootstrapped() {
    [ "$(df --output=avail -m "$cache" | tail -n 1)" -ge "$room_mib" ] || cannot "$cache has less than $room_mib MiB free"
    rm -rf "$1"
    log=$(mktemp)
    if mmdebstrap --mode=root --variant="$2" --aptopt='Acquire::Retries "5"' --include="$3" trixie "$1" >"$log" 2>&1; then
        rm -f "$log"
    elif grep -q '^E: Unable to locate package\|^E: Package .* has no installation candidate' "$log"; then
        tail -n 30 "$log" >&2
        say 'the archive does not have what is asked for'
        exit 1
    else
        tail -n 30 "$log" >&2
        cannot "no root of Debian 13 could be made; the whole output: less $log"
    fi
}

cannot() {
    say "$1"
    exit 75
}

make_chroot() {
    [ ! -d "$chroot" ] || return 0
    mkdir -p "$cache"
    exec 8>"$cache/lock-chroot" && flock 8
    if [ ! -d "$chroot" ]; then
        say 'making a chroot of Debian 13 (two minutes, once)'
        debootstrapped "$chroot.new" buildd "$tools,$product,$tests,$judges"
        mv "$chroot.new" "$chroot"
    fi
    exec 8>&-
}

# What Debian does not package: bundle PYTHON DIRECTORY.
bundle() {
    rm -rf "$2"
    quietly "$1" -I -m pip --disable-pip-version-check install --quiet --no-deps --no-compile --target "$2" \
        --require-hashes --only-binary :all: -r packaging/bundled.txt
    rm -rf "${2:?}/bin" "$2"/*.dist-info
}

# The files of the project, those not committed yet too: copy_sources DIRECTORY.
copy_sources() {
    rm -rf "$1"
    mkdir -p "$1"
    git -c safe.directory="$PWD" ls-files -z --cached --others --exclude-standard |
        xargs -0 cp --parents --no-dereference -t "$1"
}

# Run a command in the chroot as its root, without a network. It has mounts of its own, which end with it: the root is a
# mount point, since pivot_root wants one, with /proc, /sys, /dev and an empty /tmp.
inside() {
    # shellcheck disable=SC2016  # expanded by the inner shell
    unshare --net --mount --pid --fork --kill-child --propagation private -- sh -c '
        mount --bind "$0" "$0" && cd "$0" &&
        mount -t proc proc proc && mount --rbind /sys sys && mount --rbind /dev dev && mount -t tmpfs tmpfs tmp &&
        mkdir -p mnt/old && pivot_root . mnt/old && umount -l mnt/old && exec chroot . "$@"
    ' "$chroot" env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C.UTF-8 "$@"
}

# A root that is as the chroot at first, named by $root, until forget_root: its changes are in memory. The mounts are the
# script's, which runs in a mount namespace of its own: unshare --mount --propagation private.
fresh_root() {
    trap forget_root EXIT
    root=$(mktemp -d "$cache/judge-XXXXXX")
    mount -t tmpfs tmpfs "$root"
    mkdir "$root/upper" "$root/work" "$root/merged"
    mount -t overlay overlay -o "lowerdir=$chroot,upperdir=$root/upper,workdir=$root/work" "$root/merged"
    rm -rf "$root/merged/src" "$root/merged/build" "$root/merged/usr/lib/python3/dist-packages/aaos-source.pth"
    printf '#!/bin/sh\nexit 101\n' >"$root/merged/usr/sbin/policy-rc.d"
    chmod +x "$root/merged/usr/sbin/policy-rc.d"
    mkdir "$root/merged/judge"
}

forget_root() {
    [ -n "$root" ] || return 0
    umount --lazy "$root/merged" "$root"
    rmdir "$root"
    root=
}
