# SPDX-License-Identifier: GPL-2.0-or-later
"""The root of an operator's host: a Debian 12 with systemd and libvirt as the installer would leave it, made by mmdebstrap."""

import re
import shutil

from . import cache
from .base import run, say
from .debian import KEYRING, mirror, unpack

SUITES = (("bookworm", "Debian"), ("bookworm-security", "Debian-Security"))
PACKAGES = (
    "systemd-sysv",
    "dbus",
    "udev",
    "kmod",
    "python3",
    "libvirt-daemon-system",
    "libvirt-clients",
    "qemu-system-x86",
    "qemu-utils",
    "ovmf",
    "libguestfs-tools",
)
# Modules that neither this host nor libguestfs' appliance, into which all are copied, has any use for.
UNUSED = ("sound", *(f"drivers/{part}" for part in ("gpu", "media", "infiniband", "staging", "iio", "usb", "hwmon", "i2c")))
UNUSED += tuple(f"drivers/net/{part}" for part in ("ethernet", "wireless", "can", "usb", "dsa"))


class OperatorRoot:
    """A folder with the installed packages, what `debs` depend on, and the lab host's kernel; not the `debs` themselves.

    `more`: packages that are to be there besides.
    """

    def __init__(self, kernel, debs, more=()):
        self.kernel = kernel
        self.packages = sorted({*PACKAGES, *needed(debs), *more})
        self.folder = cache.folder("operator-root", [self.packages, UNUSED, kernel.release, kernel.version], self._install) / "root"

    def _install(self, folder):
        say(f"installing {len(self.packages)} packages and what they need: some minutes")
        root = folder / "root"
        sources = [f"deb [signed-by={KEYRING}] {mirror(label)} {suite} main" for suite, label in SUITES]
        options = ["--mode=root", "--variant=apt", "--format=directory", '--aptopt=APT::Install-Recommends "false"']
        options += ["--dpkgopt=force-unsafe-io", f"--include={','.join(self.packages)}"]
        run(["mmdebstrap", "--quiet", *options, "bookworm", root, *sources])
        # Not installed but unpacked: its scripts would make an initramfs, which takes long and is not booted.
        for deb in self.kernel.package.fetch():
            unpack(deb, folder / "kernel")
        for part in ("boot", "lib"):  # into what is a link to /usr/lib
            shutil.copytree(folder / "kernel" / part, root / part, symlinks=True, dirs_exist_ok=True)
        shutil.rmtree(folder / "kernel")
        for part in UNUSED:
            shutil.rmtree(root / "lib/modules" / self.kernel.release / "kernel" / part, ignore_errors=True)
        run(["depmod", "--basedir", root, self.kernel.release])


def needed(debs):
    """The packages that these depend on: of alternatives the first, and none of their own."""
    own = {run(["dpkg-deb", "--field", deb, "Package"]).strip() for deb in debs}
    names = set()
    for deb in debs:
        for field in ("Pre-Depends", "Depends"):
            text = run(["dpkg-deb", "--field", deb, field])
            names |= {match[1] for match in re.finditer(r"(?:^|,)\s*([a-z0-9][a-z0-9+.-]*)", text)}
    return names - own
