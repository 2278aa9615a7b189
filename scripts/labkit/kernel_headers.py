# SPDX-License-Identifier: GPL-2.0-or-later
"""The headers of a Debian kernel, to build against: its packages unpacked into the cache, not installed."""

import re
from pathlib import Path

from . import cache
from .debian import Apt, unpack

GCC = ("CC=gcc",)  # what make is told, so that it is this machine's that compiles


def headers(package, relocated=True):
    """The folder to give to `make -C`, of the kernel in a KernelPackage; not relocated: if it is /usr/src."""

    def make(folder):
        name = f"linux-headers-{package.release}"
        depends = package.apt.records(name)[0]["Depends"]
        for needed in [name, *re.findall(r"linux-headers-[^\s,]+-common[^\s,]*", depends)]:
            unpack(package.apt.fetch(needed), folder)
        # Programs that run here, whatever the kernel's architecture is.
        tools = re.search(r"linux-kbuild-[^\s,]+", depends).group()
        unpack(Apt(*package.apt.suites).fetch(tools), folder)
        if relocated:
            relocate(folder)

    place = cache.CACHE if relocated else "/usr/src"
    root = cache.folder("kernel-headers", [package.release, package.version, place], make)
    return root / f"usr/src/linux-headers-{package.release}"


def relocate(folder):
    """Make headers unpacked in a folder refer to themselves: their absolute /usr paths are rewritten.

    The folder is renamed once it is finished, so the paths written are those it will have then.
    """
    final = folder.with_suffix("")
    for path in folder.rglob("*"):
        if path.is_symlink() and str(path.readlink()).startswith(("/usr/src/", "/usr/lib/linux-kbuild")):
            target = Path(f"{final}{path.readlink()}")
            path.unlink()
            path.symlink_to(target)
    for path in folder.glob("usr/src/linux-headers-*/Makefile"):
        path.write_text(
            re.sub(r"(?<![\w.)/])/usr/(src/linux-|lib/linux-kbuild)", rf"{final}/usr/\1", path.read_text())
        )
