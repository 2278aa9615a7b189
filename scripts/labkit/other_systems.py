# SPDX-License-Identifier: GPL-2.0-or-later
"""Guests that are not Linux: boot sectors, made of tests/lab/guest/not-linux.S."""

from . import cache
from .base import REPOSITORY, run

SOURCE = REPOSITORY / "tests/lab/guest/not-linux.S"
KINDS = {"firmware": (), "high-half": ("-DHIGH_HALF",)}


def floppies():
    """{kind: boot sector file}."""
    inputs = [cache.hash_files([SOURCE]), KINDS]

    def make(folder):
        for kind, options in KINDS.items():
            run(["gcc", "-c", *options, SOURCE, "-o", folder / f"{kind}.o"])
            link = ["ld", "-Ttext=0x7c00", "--oformat", "binary"]
            run([*link, folder / f"{kind}.o", "-o", folder / kind])

    folder = cache.folder("other-systems", inputs, make)
    return {kind: folder / kind for kind in KINDS}
