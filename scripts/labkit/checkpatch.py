# SPDX-License-Identifier: GPL-2.0-or-later
"""The kernel's own style check over the module and its ABI; the script comes with Debian's kernel source."""

import subprocess

from . import cache
from .base import REPOSITORY, LabError, run
from .debian import Apt

PACKAGE = "linux-source-6.1"
PARTS = ("checkpatch.pl", "spelling.txt", "const_structs.checkpatch")
# An out-of-tree module asks for the kernel's version, and for no other tree than the one it is built in.
OPTIONS = ("--no-tree", "--terse", "--no-summary", "--max-line-length=127")
IGNORED = "LINUX_VERSION_CODE,CONSTANT_COMPARISON"


def script():
    """checkpatch.pl, in the cache."""
    apt = Apt("bookworm", "bookworm-security")
    version = apt.records(PACKAGE)[0]["Version"]

    def make(folder):
        deb = apt.fetch(PACKAGE, version)
        members = " ".join(f"{PACKAGE}/scripts/{part}" for part in PARTS)
        pipeline = (
            f"dpkg-deb --fsys-tarfile '{deb}' | tar -xO ./usr/src/{PACKAGE}.tar.xz | "
            f"tar -xJ -C '{folder}' --strip-components=2 {members}"
        )
        run(["bash", "-c", f"set -o pipefail; {pipeline}"], hint="checkpatch.pl cannot be unpacked")

    return cache.folder("checkpatch", [PACKAGE, version, PARTS], make) / PARTS[0]


def check():
    """Run it; LabError that shows what it says, if it says anything."""
    sources = [
        file.relative_to(REPOSITORY)
        for folder in ("kmod", "include")
        for file in sorted((REPOSITORY / folder).rglob("*.[ch]"))
    ]
    done = subprocess.run(
        ["perl", script(), *OPTIONS, f"--ignore={IGNORED}", "--file", *sources],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode or done.stdout.strip():
        raise LabError(f"checkpatch objects:\n{done.stdout}{done.stderr}")
