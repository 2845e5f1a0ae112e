"""The installed package in a Debian 13 guest: boot, install, use it as an operator would, attack, break, remove.

What needs systemd, cgroup v2 controllers or the journal is shown here, since build machines have none of them.
"""
