# SPDX-License-Identifier: GPL-2.0-or-later
"""The emulator of the lab host: QEMU 11 from trixie-backports, unpacked into the cache with its libraries, not installed."""

import os

from . import cache
from .base import run
from .debian import Apt
from .kernel_package import RELEASES
from .package_tree import PackageTree

# Not an older one: under 7.2 a guest with two vCPUs died of a double fault, under 10.0 a guest's exit that met an interrupt
# was lost once in some dozen boots, with the guest or the host (see host.emulator_failed()).
SUITE = "trixie-backports"
PACKAGES = ("qemu-system-x86", "seabios")
LIBRARIES = "usr/lib/x86_64-linux-gnu"


class Emulator:
    """The unpacked QEMU: how to call it."""

    def __init__(self):
        tree = PackageTree(Apt(*RELEASES[SUITE]), PACKAGES, SUITE)
        self.root = cache.folder("qemu", [tree.packages], tree.unpack)
        run([*self.command(), "--version"], env=self.environment(), hint="the unpacked emulator does not start")

    def command(self):
        """The first words of the emulator's command line: it runs on the libraries of its own suite."""
        return [
            str(self.root / "usr/lib64/ld-linux-x86-64.so.2"),
            "--library-path",
            str(self.root / LIBRARIES),
            str(self.root / "usr/bin/qemu-system-x86_64"),
            "-L",
            str(self.root / "usr/share/qemu"),
            "-L",
            str(self.root / "usr/share/seabios"),
        ]

    def environment(self):
        """The environment it must be started with."""
        return {**os.environ, "QEMU_MODULE_DIR": str(self.root / LIBRARIES / "qemu")}
