# SPDX-License-Identifier: GPL-2.0-or-later
"""The lab guest's initramfs: its two programs, and the modules it is to load."""

from . import cache
from .cpio import Archive
from .guest_programs import Glibc, programs

PROGRAMS = ("init", "worker", "opener")


def initrd(kernel, extra_modules=(), following=None, libc=Glibc, aside=(), shell=None):
    """The initramfs file for this guest kernel; extra modules (files) are loaded after its own, those `aside` only lie in it.

    `following`: a kernel that lies in it, with an initramfs of its own, to be started by kexec. `libc`: what its programs are made with.
    `shell`: a file that is /bash in it.
    """
    compiled = programs(kernel.is_64_bit, libc)
    modules = [*kernel.modules(), *((file.name, file.read_bytes()) for file in (*extra_modules, *aside))]
    order = kernel.order + "".join(f"{file.stem}\n" for file in extra_modules)
    carried = {"kernel": following.vmlinuz, "initrd": initrd(following)} if following else {}
    inputs = [str(compiled), str(kernel.folder), cache.hash_files([*extra_modules, *aside]), carried, str(shell)]

    def make(folder):
        archive = Archive()
        archive.console()
        archive.folder("modules")
        for name in PROGRAMS:
            archive.file(name, (compiled / name).read_bytes(), 0o755)
        if shell:
            archive.file("bash", shell.read_bytes(), 0o755)
        for name, content in modules:
            archive.file(f"modules/{name}", content)
        archive.file("modules/order", order.encode())
        archive.folder("next")
        for name, file in carried.items():
            archive.file(f"next/{name}", file.read_bytes())
        (folder / "initrd").write_bytes(archive.bytes())

    return cache.folder("guest-initrd", inputs, make) / "initrd"
