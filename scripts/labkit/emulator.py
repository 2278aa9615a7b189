# SPDX-License-Identifier: GPL-2.0-or-later
"""The emulator of the lab host: QEMU 10 from bookworm-backports, unpacked into the cache, not installed."""

import os

from . import cache
from .base import LabError, run
from .debian import Apt, unpack

# QEMU 10 because under 7.2's emulation a 2-vCPU nested guest died of a double fault.
SUITE = "bookworm-backports"
PACKAGES = ("qemu-system-x86", "qemu-system-common", "qemu-system-data", "seabios")


class Emulator:
    """The unpacked QEMU: how to call it."""

    def __init__(self):
        self.apt = Apt(SUITE, "bookworm", "bookworm-security")
        version = next(
            (record["Version"] for record in self.apt.records(PACKAGES[0]) if "bpo" in record["Version"]),
            None,
        )
        if version is None:
            raise LabError(f"no {PACKAGES[0]} in {SUITE}: the lab needs QEMU 10 from there")
        self.root = cache.folder("qemu", [PACKAGES, version], self._unpack)

    def _unpack(self, folder):
        for deb in self.apt.fetch_missing(SUITE, PACKAGES):
            unpack(deb, folder)
        self.root = folder
        run(
            [*self.command(), "--version"],
            env=self.environment(),
            hint="the unpacked emulator does not start",
        )

    def command(self):
        """The first words of the emulator's command line."""
        return [
            str(self.root / "usr/bin/qemu-system-x86_64"),
            "-L",
            str(self.root / "usr/share/qemu"),
            "-L",
            str(self.root / "usr/share/seabios"),
        ]

    def environment(self):
        """The environment it must be started with."""
        return {
            **os.environ,
            "LD_LIBRARY_PATH": str(self.root / "usr/lib/x86_64-linux-gnu"),
            "QEMU_MODULE_DIR": str(self.root / "usr/lib/x86_64-linux-gnu/qemu"),
        }
