# SPDX-License-Identifier: GPL-2.0-or-later
"""Debian's kernel source packages, unpacked into the cache."""

import shutil

from . import cache
from .base import run
from .debian import Apt, unpack
from .kernel_package import RELEASES

# What no build for x86 reads, a third of all files. The other architectures' crypto/Kconfig are read.
UNWANTED = ("Documentation/*/*", "arch/[!x]*/[!c]*/*", "tools/perf/*", "tools/testing/*")


class KernelSource:
    """A linux-source package; `folder()` is what is in it, unpacked once for all builds."""

    def __init__(self, suite, package):
        self.apt, self.package = Apt(*RELEASES[suite]), package
        self.version = self.apt.records(package)[0]["Version"]

    def folder(self):
        """The unpacked source: not to be changed."""
        return cache.folder("kernel-source", [self.package, self.version], self._unpack) / self.package

    def _unpack(self, folder):
        unpack(self.apt.fetch(self.package, self.version), folder / "package")
        archive = next(folder.glob("package/usr/src/*.tar.xz"))
        leave_out = ["--anchored", "--no-wildcards-match-slash"]
        leave_out += [f"--exclude={self.package}/{pattern}" for pattern in UNWANTED]
        run(["tar", "--extract", *leave_out, "--file", archive, "--directory", folder])
        shutil.rmtree(folder / "package")
