# SPDX-License-Identifier: GPL-2.0-or-later
"""The guest's kernel: from Debian packages or from files, with a choice of modules to load."""

import json
import shutil
from pathlib import Path

from . import cache
from .base import LabError
from .kernel_modules import ModuleTree
from .kernel_headers import GCC, headers
from .kernel_package import is_64_bit, unpack_kernel

# Modules that need no hardware and run an init function, in order of preference.
PREFERRED = (
    "dummy",
    "tun",
    "veth",
    "loop",
    "zram",
    "8021q",
    "ifb",
    "bonding",
    "macvlan",
    "crc7",
    "crc4",
    "configfs",
    "fuse",
    "brd",
    "netconsole",
    "raid6_pq",
    "xor",
    "ip_tables",
    "bridge",
    "cramfs",
    "msdos",
    "autofs4",
    "autofs",
    "binfmt_misc",
    "nls_ascii",
    "nls_cp437",
    "nls_iso8859_1",
    "nls_utf8",
)
WANTED, LIMIT = 14, 18


class GuestKernel:
    """A kernel image and the modules its guest is to load: files in the cache. `system_map`: what Lacuna is given, or None.

    `headers` is the folder its true offsets are compiled against, by `tools`; without, they are read from its BTF. `truth` is
    what is known of them already: of a kernel that was built here. `debs` are its packages, if it comes from such.
    """

    def __init__(self, folder, headers_folder=None, debs=(), tools=GCC):
        self.vmlinuz = folder / "vmlinuz"
        self.folder, self.headers, self.debs, self.tools = folder, headers_folder, debs, tools
        self.is_64_bit = is_64_bit(self.vmlinuz)
        self.release = (folder / "release").read_text()
        self.order = (folder / "order").read_text()
        self.system_map = folder / "System.map" if (folder / "System.map").exists() else None
        truth = folder / "truth.json"
        self.truth = json.loads(truth.read_text()) if truth.exists() else None

    def modules(self):
        """[(file name, content)] of the modules, uncompressed."""
        return [(file.name, file.read_bytes()) for file in sorted(self.folder.glob("*.ko"))]


def more_modules(kernel, names):
    """Files of these modules and of all they need, each after what it needs, of a kernel from packages."""
    if not kernel.debs:
        raise LabError("further modules are taken from a kernel's Debian packages: choose a kernel by its suite")

    def make(folder):
        _, modules = unpack_kernel(kernel.debs, folder / "unpacked")
        tree = ModuleTree(modules)
        order = tree.load_order(names)
        for name in order:
            (folder / f"{name}.ko").write_bytes(tree.content(name))
        (folder / "order").write_text("".join(f"{name}\n" for name in order))
        shutil.rmtree(folder / "unpacked")

    folder = cache.folder("more-modules", [cache.hash_files([Path(deb) for deb in kernel.debs]), names], make)
    return [folder / f"{name}.ko" for name in (folder / "order").read_text().split()]


def from_package(package):
    """The kernel in a KernelPackage. Debian's 32-bit kernels have no BTF."""
    needed = headers(package) if package.architecture == "i386" else None
    return from_debs(package.fetch(), needed)


def from_debs(debs, headers_folder=None):
    """The kernel in these Debian packages (several when a kernel's packages are split, as from 6.19)."""
    for deb in debs:
        if not Path(deb).is_file():
            raise LabError(f"no such kernel package: {deb}")
    inputs = [cache.hash_files([Path(deb) for deb in debs]), PREFERRED, WANTED, LIMIT]

    def make(folder):
        image, modules = unpack_kernel(debs, folder / "unpacked")
        fill(folder, image, modules, modules.name if modules else image.name.removeprefix("vmlinuz-"))
        shutil.rmtree(folder / "unpacked")

    return GuestKernel(cache.folder("guest-kernel", inputs, make), headers_folder, debs)


def from_files(vmlinuz, modules=None, headers_folder=None, system_map=None):
    """A kernel image file with, if there are such, its module folder (/lib/modules/RELEASE) and its System.map."""
    for file in filter(None, (vmlinuz, system_map)):
        if not Path(file).is_file():
            raise LabError(f"no such file: {file}")
    if modules and not any(Path(modules).rglob("*.ko*")):
        raise LabError(
            f"no kernel modules below {modules}: give the folder /lib/modules/RELEASE of that kernel"
        )
    tree = [Path(modules)] if modules else []
    maps = [Path(system_map)] if system_map else []
    inputs = [cache.hash_files([Path(vmlinuz), *tree, *maps]), PREFERRED, WANTED, LIMIT]
    release = Path(modules).name if modules else "unknown"
    folder = cache.folder("guest-kernel", inputs, lambda folder: fill(folder, vmlinuz, modules, release, system_map))
    return GuestKernel(folder, headers_folder)


def from_build(kernel):
    """A labkit.kernel_build.BuiltKernel."""
    inputs = [cache.hash_files([kernel.vmlinuz, kernel.modules]), kernel.truth, PREFERRED, WANTED, LIMIT]

    def make(folder):
        fill(folder, kernel.vmlinuz, kernel.modules, kernel.release, kernel.system_map)
        (folder / "truth.json").write_text(json.dumps(kernel.truth))

    return GuestKernel(cache.folder("guest-kernel", inputs, make), kernel.headers, tools=kernel.tools)


def fill(folder, image, modules, release, system_map=None):
    """Write vmlinuz, the chosen modules and their load order into a folder, and the System.map if one is given."""
    shutil.copyfile(image, folder / "vmlinuz")
    if system_map:
        shutil.copyfile(system_map, folder / "System.map")
    (folder / "release").write_text(release)
    lines = choose(ModuleTree(modules), folder) if modules else []
    (folder / "order").write_text("".join(f"{' '.join(line)}\n" for line in lines))


def choose(tree, folder):
    """Write a few modules into the folder; return the load order, as lines of one or two modules.

    Two modules on a line are loaded at the same time, so neither may need the other: they need none.
    """
    chosen, order = 0, []
    for name in PREFERRED:
        more = [needed for needed in tree.load_order([name]) if needed not in order]
        if chosen < WANTED and name in tree.files and tree.has_init(name) and len(order) + len(more) <= LIMIT:
            order += more
            chosen += 1
    for name in order:
        (folder / f"{name}.ko").write_bytes(tree.content(name))
    alone = [name for name in order if not tree.depends(name) and tree.has_init(name)][:2]
    pair = [alone] if len(alone) == 2 else []
    return pair + [[name] for name in order if [name] not in pair and not (pair and name in alone)]
