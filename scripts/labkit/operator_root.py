# SPDX-License-Identifier: GPL-2.0-or-later
"""The root of an operator's host: a Debian with systemd and libvirt as the installer would leave it, made by mmdebstrap."""

import re
import shutil

from . import cache, debian_root
from .base import run, say
from .kernel_package import RELEASES, unpack_kernel

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
# What libguestfs' appliance, into which all modules are copied, has no use for besides.
UNUSED = (*debian_root.UNUSED, *(f"drivers/{part}" for part in ("usb", "hwmon", "i2c")))
UNUSED += tuple(f"drivers/net/{part}" for part in ("can", "usb", "dsa"))


class OperatorRoot:
    """A folder with the release `suite`: the installed packages, what `debs` depend on, and the lab host's kernel; not the `debs` themselves.

    `more`: packages that are to be there besides.
    """

    def __init__(self, suite, kernel, debs, more=()):
        self.suites, self.kernel = RELEASES[suite], kernel
        self.packages = sorted({*PACKAGES, *needed(debs), *more})
        inputs = [self.suites, self.packages, UNUSED, kernel.release, kernel.version, debian_root.RECIPE]
        self.folder = cache.folder("operator-root", inputs, self._install) / "root"

    def _install(self, folder):
        say(f"installing {self.suites[0]} with {len(self.packages)} packages and what they need: some minutes")
        debian_root.install(folder / "root", self.suites, self.packages)
        if not (folder / "root/boot" / f"vmlinuz-{self.kernel.release}").exists():  # from trixie on the headers' package wants it
            self._add_kernel(folder)
        for part in UNUSED:
            shutil.rmtree(folder / "root/lib/modules" / self.kernel.release / "kernel" / part, ignore_errors=True)
        run(["depmod", "--basedir", folder / "root", self.kernel.release])

    def _add_kernel(self, folder):
        """The kernel unpacked, not installed, which would make an initramfs that nobody boots; its headers may be there."""
        image, modules = unpack_kernel(self.kernel.package.fetch(), folder / "kernel")
        image.rename(folder / "root/boot" / f"vmlinuz-{self.kernel.release}")
        shutil.copytree(modules, folder / "root/lib/modules" / modules.name, symlinks=True, dirs_exist_ok=True)
        shutil.rmtree(folder / "kernel")


def needed(debs):
    """The packages that these depend on: of alternatives the first, and none of their own."""
    own = {run(["dpkg-deb", "--field", deb, "Package"]).strip() for deb in debs}
    names = set()
    for deb in debs:
        for field in ("Pre-Depends", "Depends"):
            text = run(["dpkg-deb", "--field", deb, field])
            names |= {match[1] for match in re.finditer(r"(?:^|,)\s*([a-z0-9][a-z0-9+.-]*)", text)}
    return names - own
