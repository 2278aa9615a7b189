# SPDX-License-Identifier: GPL-2.0-or-later
"""Guests that are not Linux: boot sectors of tests/lab/guest."""

from . import cache
from .base import REPOSITORY, run

SOURCES = REPOSITORY / "tests/lab/guest"
KINDS = {"firmware": ("not-linux.S",), "high-half": ("not-linux.S", "-DHIGH_HALF"), "cpuid": ("cpuid.S",), "clock": ("clock.S",)}


def floppies():
    """{kind: boot sector file}."""
    inputs = [cache.hash_files(sorted(SOURCES.glob("*.[Sh]"))), KINDS]

    def make(folder):
        for kind, (source, *options) in KINDS.items():
            run(["gcc", "-c", *options, SOURCES / source, "-o", folder / f"{kind}.o"])
            link = ["ld", "-Ttext=0x7c00", "--oformat", "binary"]
            run([*link, folder / f"{kind}.o", "-o", folder / kind])

    folder = cache.folder("other-systems", inputs, make)
    return {kind: folder / kind for kind in KINDS}
