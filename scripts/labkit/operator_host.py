# SPDX-License-Identifier: GPL-2.0-or-later
"""The lab host as operators have it: systemd, libvirt, and packages that are to be installed."""

from .base import REPOSITORY
from .host import Host
from .host_kernel import SHARES


class OperatorHost(Host):
    """A lab host whose root is an OperatorRoot's; this repository is where it is on this machine, read-only."""

    MODULES = SHARES  # the rest it loads itself
    ARGUMENTS = f"LAB_REPOSITORY={REPOSITORY} systemd.mask=apt-daily.timer systemd.mask=apt-daily-upgrade.timer"
    SECONDS, STARTUP_SECONDS = 2700, 300

    def __init__(self, emulator, kernel, root):
        super().__init__(emulator, kernel, memory="6G")
        self.root = root

    def shares(self, out):
        """What the host sees of this machine: {tag: options of -virtfs}."""
        return {
            "root": f"path={self.root.folder},readonly=on",
            "repository": f"path={REPOSITORY},readonly=on",
            "out": f"path={out}",
        }
