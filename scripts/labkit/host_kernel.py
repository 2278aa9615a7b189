# SPDX-License-Identifier: GPL-2.0-or-later
"""The lab host's kernel and the headers to build modules for it: Debian packages unpacked into the cache."""

import re
import shutil
from pathlib import Path

from . import cache
from .debian import unpack
from .kernel_modules import ModuleTree
from .kernel_package import KernelPackage, payload, unpack_kernel

DEFAULT = "bookworm"
# What the lab host needs: its disks (shared folders), and KVM.
MODULES = ("virtio_pci", "9pnet_virtio", "9p", "overlay", "kvm_amd")


class HostKernel:
    """A kernel chosen as KernelPackage does; `vmlinux`, `modules()` and `headers()` are its parts."""

    def __init__(self, choice=DEFAULT):
        self.package = KernelPackage(choice)
        self.release, self.version = self.package.release, self.package.version
        self.root = cache.folder("host-kernel", [self.release, self.version], self._unpack_image)
        # Uncompressed, QEMU starts it by its PVH note: that saves decompressing it under emulation.
        self.vmlinux = self.root / "vmlinux"

    def _unpack_image(self, folder):
        image, modules = unpack_kernel(self.package.fetch(), folder / "unpacked")
        (folder / "vmlinux").write_bytes(payload(image))
        tree = ModuleTree(modules)
        order = tree.load_order(MODULES)
        for name in order:
            (folder / f"{name}.ko").write_bytes(tree.content(name))
        (folder / "order").write_text("".join(f"{name}.ko\n" for name in order))
        shutil.rmtree(folder / "unpacked")

    def modules(self):
        """[(file name, content)] of the modules to load at boot, in that order."""
        names = (self.root / "order").read_text().split()
        return [(name, (self.root / name).read_bytes()) for name in names]

    def headers(self):
        """The folder to give to `make -C` for building modules."""
        root = cache.folder("host-headers", [self.release, self.version, cache.CACHE], self._unpack_headers)
        return root / f"usr/src/linux-headers-{self.release}"

    def _unpack_headers(self, folder):
        apt = self.package.apt
        depends = apt.records(f"linux-headers-{self.release}")[0]["Depends"]
        needed = re.findall(r"(linux-headers-[^\s,]+-common[^\s,]*|linux-kbuild-[^\s,]+)", depends)
        for package in [f"linux-headers-{self.release}", *needed]:
            unpack(apt.fetch(package), folder)
        relocate(folder)


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
