# SPDX-License-Identifier: GPL-2.0-or-later
"""The small programs of lab guests, compiled here from tests/lab/guest."""

from . import cache
from .base import REPOSITORY, run

SOURCES = REPOSITORY / "tests/lab/guest"
COMPILE = ("gcc", "-std=gnu11", "-O2", "-Wall", "-Wextra", "-Werror", "-pthread")
STATIC, STATIC_PIE = ("-static", "-no-pie"), ("-static-pie", "-fPIE")
# What each is made from, and how it is linked.
PROGRAMS = {
    "init": (("init.c", "view.c"), STATIC),
    "worker": (("worker.c",), STATIC_PIE),
    "report": (("report.c", "view.c"), STATIC),
    "single": (("single.c", "view.c"), STATIC),
}


def programs(is_64_bit):
    """The folder with the compiled programs."""
    width = "-m64" if is_64_bit else "-m32"
    inputs = [cache.hash_files([SOURCES], (".c", ".h")), COMPILE, PROGRAMS, width]

    def make(folder):
        for name, (sources, options) in PROGRAMS.items():
            files = [SOURCES / source for source in sources]
            run([*COMPILE, width, *options, *files, "-o", folder / name])

    return cache.folder("guest-programs", inputs, make)
