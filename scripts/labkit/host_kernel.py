# SPDX-License-Identifier: GPL-2.0-or-later
"""The lab host's kernel and what is needed to build modules for it: Debian packages unpacked into the cache, or built here."""

import functools
import os
import re
import shutil

from . import cache
from .base import LabError
from .build_root import BuildRoot
from .kernel_build import BUILT, BuiltKernel
from .kernel_headers import headers
from .kernel_modules import ModuleTree
from .kernel_package import KernelPackage, payload, unpack_kernel

DEFAULT = "bookworm"
# What lab hosts need to see their disks (shared folders or ATA), and KVM.
SHARES, DISKS = ("virtio_pci", "9pnet_virtio", "9p", "overlay"), ("ata_piix", "sd_mod", "crc32c_generic", "ext4")
MODULES = (*SHARES, *DISKS, "kvm_amd", "kvm_intel")


def choose(choice):
    """The kernel that scripts/lab's --host-kernel names."""
    return BuiltHostKernel(choice.removeprefix(BUILT)) if choice.startswith(BUILT) else HostKernel(choice)


class HostKernel:
    """A kernel chosen as KernelPackage does: its parts, and make() for it."""

    def __init__(self, choice=DEFAULT):
        self.package = KernelPackage(choice)
        self.release, self.version = self.package.release, self.package.version

    @functools.cached_property
    def root(self):
        """The folder with the image and the modules, which building a module does not need."""
        return cache.folder("host-kernel", [self.release, self.version], self._unpack_image)

    @property
    def image(self):
        """The kernel as it is booted."""
        return self.root / "vmlinuz"

    @property
    def vmlinux(self):
        """The kernel uncompressed: QEMU starts it by its PVH note, which saves decompressing it."""
        return self.root / "vmlinux"

    def _unpack_image(self, folder):
        image, modules = unpack_kernel(self.package.fetch(), folder / "unpacked")
        fill(folder, image, modules)
        shutil.rmtree(folder / "unpacked")

    def modules(self, wanted):
        """[(file name, content)] of these of MODULES and what they need, in the order to load them."""
        return in_order(self.root, wanted)

    def headers(self):
        """The folder to give to `make -C` for building modules with this machine's compiler."""
        return headers(self.package)

    def make(self, folder, module, options):
        """The command that builds the kernel module in `folder`/`module` with these options for make.

        Where this machine has the kernel's compiler it builds, otherwise tools of the kernel's own suite do.
        """
        depends = self.package.apt.records(f"linux-headers-{self.release}")[0]["Depends"]
        compiler = re.search(r"gcc-\d+", depends).group()
        if shutil.which(compiler):
            return make_command(self.headers(), folder / module, compiler, options)
        tools = [compiler, re.search(r"linux-kbuild-[^\s,]+", depends).group(), "sparse"]
        build = headers(self.package, relocated=False)
        mounts = {"usr/src": build.parent, "build": folder}
        command = make_command(f"/usr/src/{build.name}", f"/build/{module}", compiler, options)
        return BuildRoot(self.package.apt, tools).command(command, mounts)


class BuiltHostKernel:
    """A kernel of kernels.json that is made to be a lab host's: the same for it."""

    def __init__(self, name):
        self.built = BuiltKernel(name)
        if not self.built.more:
            raise LabError(f"the kernel {name} is made for guests: it cannot be a host's")
        self.built.build()
        self.release, self.version = self.built.release, self.built.folder.name

    @functools.cached_property
    def root(self):
        """As HostKernel's."""
        make = lambda folder: fill(folder, self.built.vmlinuz, self.built.modules)  # noqa: E731
        return cache.folder("host-kernel", [self.release, self.version], make)

    image = HostKernel.image
    vmlinux = HostKernel.vmlinux
    modules = HostKernel.modules

    def headers(self):
        """The folder to give to `make -C`: that of the build."""
        return self.built.folder / "source/objects"

    def make(self, folder, module, options):
        """As HostKernel's; it was built with this machine's compiler."""
        return make_command(self.headers(), folder / module, "gcc", options)


def fill(folder, image, modules):
    """Write the kernel, packed and unpacked, and those of its modules that lab hosts need into a folder."""
    (folder / "vmlinux").write_bytes(payload(image))
    shutil.copyfile(image, folder / "vmlinuz")
    for name, content in in_order(modules, MODULES):
        (folder / name).write_bytes(content)


def in_order(folder, wanted):
    """[(file name, content)] of these modules below a folder and what they need, in the order to load them."""
    tree = ModuleTree(folder)
    return [(f"{name}.ko", tree.content(name)) for name in tree.load_order(wanted)]


def make_command(headers_folder, module, compiler, options):
    """The command that builds the module in a folder."""
    words = ["make", "-C", headers_folder, f"M={module}", f"-j{os.cpu_count()}", f"CC={compiler}"]
    # without BTF of its own, for which make would want pahole
    return [*words, "CONFIG_DEBUG_INFO_BTF_MODULES=", *options, "modules"]
