# SPDX-License-Identifier: GPL-2.0-or-later
"""The lab host's kernel and the headers to build modules for it: Debian packages unpacked into the cache."""

import shutil
from pathlib import Path

from . import cache
from .kernel_headers import headers
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
        return headers(self.package)
