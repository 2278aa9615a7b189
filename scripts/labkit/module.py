# SPDX-License-Identifier: GPL-2.0-or-later
"""Building kernel modules for a lab host kernel, in the cache: the sources' own folders stay clean."""

import os
import shutil

from . import cache
from .base import REPOSITORY, plain_environment, run

# Only what the build reads, so that editing anything else does not build anew.
SOURCES = ("kmod", "include")
GUEST_MODULE = ("tests/lab/guest/hypercall",)
IGNORED = shutil.ignore_patterns(".*", "*.o", "*.ko", "*.mod", "*.mod.c", "modules.order", "Module.symvers")


def build(kernel, sources=SOURCES):
    """Build the module in the first of these folders (relative to the repository); return its .ko file."""
    headers = kernel.headers()
    digest = cache.hash_files(
        [REPOSITORY / source for source in sources], suffixes=(".c", ".h", "Kbuild", "Makefile")
    )

    def make(folder):
        for source in sources:
            shutil.copytree(REPOSITORY / source, folder / source, ignore=IGNORED)
        output = run(
            [
                "make",
                "-C",
                headers,
                f"M={folder / sources[0]}",
                f"-j{os.cpu_count()}",
                "W=1",
                "CC=gcc",
                "modules",
            ],
            env=plain_environment(),
            hint="the module does not build for this kernel",
        )
        (folder / "build.log").write_text(output)

    folder = cache.folder("module", [kernel.release, kernel.version, sources, digest], make)
    return next((folder / sources[0]).glob("*.ko"))
