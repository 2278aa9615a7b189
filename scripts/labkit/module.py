# SPDX-License-Identifier: GPL-2.0-or-later
"""Building kernel modules for a lab host kernel, in the cache: the sources' own folders stay clean."""

import re
import shutil

from . import cache
from .base import REPOSITORY, LabError, plain_environment, run

# Only what the build reads, so that editing anything else does not build anew.
SOURCES = ("kmod", "include")
GUEST_MODULE = ("tests/lab/guest/hypercall",)
CREDS_MODULE = ("tests/lab/guest/shared_creds",)
HOSTILE_MODULE = ("tests/lab/guest/hostile",)
CR8_MODULE = ("tests/lab/host/cr8",)
DEAD_FTRACE_MODULE = ("tests/lab/host/dead_ftrace",)
IGNORED = shutil.ignore_patterns(".*", "*.o", "*.ko", "*.mod", "*.mod.c", "modules.order", "Module.symvers")


def build(kernel, sources=SOURCES):
    """Build the module in the first of these folders (relative to the repository); return its .ko file."""
    return build_with(kernel, sources, ["W=1"])


def check(kernel):
    """Build lacuna.ko with all warnings and sparse; LabError that shows them if there are any."""
    module = build_with(kernel, SOURCES, ["W=1", "C=2", "KCFLAGS=-Werror"])
    log = (module.parents[1] / "build.log").read_text()
    found = [line for line in log.splitlines() if re.search(r"^(\S*kmod/)?[\w/]+\.[ch]:\d+:.*(warning|error):", line)]
    if found:
        raise LabError("the module does not build cleanly:\n  " + "\n  ".join(found))
    return module


def build_with(kernel, sources, options):
    """Build with further options for make."""
    digest = cache.hash_files(
        [REPOSITORY / source for source in sources], suffixes=(".c", ".h", "Kbuild", "Makefile")
    )

    def make(folder):
        for source in sources:
            shutil.copytree(REPOSITORY / source, folder / source, ignore=IGNORED)
        # warnings come on standard error
        command = ["sh", "-c", 'exec "$@" 2>&1', "sh", *kernel.make(folder, sources[0], options)]
        output = run(command, env=plain_environment(), hint="the module does not build for this kernel")
        (folder / "build.log").write_text(output)

    folder = cache.folder("module", [kernel.release, kernel.version, sources, digest, options], make)
    return next((folder / sources[0]).glob("*.ko"))
