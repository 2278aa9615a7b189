# SPDX-License-Identifier: GPL-2.0-or-later
"""Guest disks that boot a kernel by GRUB, in the layouts that operators have; made without mounting anything."""

import shutil
from pathlib import Path

from . import cache
from .base import run

GRUB = Path("/usr/lib/grub")
MIB = 1 << 20
START = 1  # MiB: where the first partition begins
BIOS_MODULES = ("biosdisk", "part_msdos", "ext2", "normal", "linux", "configfile", "search")
UEFI_MODULES = ("part_gpt", "fat", "ext2", "normal", "linux", "configfile", "search")
FIND = "search --no-floppy --file --set=root {0}/grub.cfg\nset prefix=($root){0}\nconfigfile $prefix/grub.cfg\n"


def disks(kernel, initrd):
    """The folder with one disk of each layout that boots this kernel.

    plain.raw: one partition; overlay.qcow2: the same behind an overlay; separate-boot.raw: /boot is a partition of its own, /lib/modules on the
    other; uefi.raw: GPT with an EFI system partition.
    """
    inputs = [str(kernel.folder), str(initrd), run(["grub-mkimage", "--version"])]

    def make(folder):
        parts = Parts(folder / "parts", kernel, initrd)
        root = parts.file_system("root", parts.whole())
        msdos(folder / "plain.raw", [root])
        run(["qemu-img", "create", "-q", "-f", "qcow2", "-F", "raw", "-b", "plain.raw", folder / "overlay.qcow2"])
        boot, rest = parts.file_system("boot", parts.boot()), parts.file_system("rest", parts.rest())
        msdos(folder / "separate-boot.raw", [boot, rest], prefix="/grub")
        uefi(folder / "uefi.raw", parts.system_partition(), root)
        shutil.rmtree(parts.folder)

    return cache.folder("guest-disk", inputs, make)


def of_root(image):
    """The folder with debian.raw, a disk whose only partition is a copy of this file system with a system that GRUB boots."""

    def make(folder):
        msdos(folder / "debian.raw", [image])

    return cache.folder("guest-disk", [str(image), run(["grub-mkimage", "--version"])], make)


class Parts:
    """What goes into the partitions, in a folder of its own."""

    def __init__(self, folder, kernel, initrd):
        self.folder, self.kernel, self.initrd = folder, kernel, initrd
        folder.mkdir()

    def _boot_files(self, folder, seen_as):
        """/boot's files into a folder that GRUB sees as `seen_as`."""
        (folder / "grub").mkdir(parents=True)
        release = self.kernel.release
        shutil.copyfile(self.kernel.vmlinuz, folder / f"vmlinuz-{release}")
        shutil.copyfile(self.initrd, folder / f"initrd.img-{release}")
        (folder / "grub/grub.cfg").write_text(
            f"linux {seen_as}/vmlinuz-{release} console=ttyS0 quiet panic=-1\n"
            f"initrd {seen_as}/initrd.img-{release}\nboot\n"
        )

    def whole(self):
        """A root with /boot in it."""
        tree = self.folder / "whole"
        self._boot_files(tree / "boot", "/boot")
        return self._root(tree)

    def boot(self):
        """What is in a /boot of its own."""
        tree = self.folder / "boot"
        self._boot_files(tree, "")
        return tree

    def rest(self):
        """A root whose /boot is elsewhere."""
        return self._root(self.folder / "rest")

    def _root(self, tree):
        (tree / "etc").mkdir(parents=True)
        (tree / "etc/os-release").write_text('ID=lab\nNAME="Lab guest"\n')
        (tree / "lib/modules" / self.kernel.release).mkdir(parents=True)
        return tree

    def file_system(self, name, tree):
        """An ext4 file system with a folder's content."""
        image = self.folder / f"{name}.ext4"
        content = sum(file.stat().st_size for file in tree.rglob("*") if file.is_file())
        blocks = (content + 16 * MIB) // MIB
        run(["mke2fs", "-q", "-t", "ext4", "-L", name, "-d", tree, image, f"{blocks}M"])
        return image

    def system_partition(self):
        """An EFI system partition with GRUB where firmware looks for a boot loader (UEFI 2.10, 3.5.1.1)."""
        early, loader, image = (self.folder / name for name in ("early.cfg", "BOOTX64.EFI", "esp.fat"))
        early.write_text(FIND.format("/boot/grub"))
        run(["grub-mkimage", "-O", "x86_64-efi", "-p", "/", "-c", early, "-o", loader, *UEFI_MODULES])
        run(["mkfs.vfat", "-C", image, 16 * 1024])
        run(["mmd", "-i", image, "::EFI", "::EFI/BOOT"])
        run(["mcopy", "-i", image, loader, "::EFI/BOOT/BOOTX64.EFI"])
        return image


def partition(disk, label, parts):
    """A disk with these [(type, image)] as its partitions, each at a whole MiB."""
    at, script = START, f"label: {label}\n"
    starts = []
    for kind, image in parts:
        size = -(-image.stat().st_size // MIB)
        script += f"start={at}MiB, size={size}MiB, type={kind}\n"
        starts.append(at)
        at += size
    with open(disk, "wb") as stream:
        stream.truncate((at + 1) * MIB)
    table = disk.with_suffix(".table")
    table.write_text(script)
    run(["sh", "-c", f"sfdisk --quiet {disk} < {table}"])
    table.unlink()
    for (_, image), start in zip(parts, starts):
        run(["dd", f"if={image}", f"of={disk}", "bs=1M", f"seek={start}", "conv=notrunc,sparse", "status=none"])


def msdos(disk, images, prefix="/boot/grub"):
    """A disk that BIOS boots: GRUB's first sector, its core between that and the first partition (bootable by its own block list)."""
    partition(disk, "dos", [("83", image) for image in images])
    core, early = disk.with_suffix(".core"), disk.with_suffix(".cfg")
    early.write_text(FIND.format(prefix))
    run(["grub-mkimage", "-O", "i386-pc", "-p", prefix, "-c", early, "-o", core, *BIOS_MODULES])
    first = disk.with_suffix(".first")
    first.write_bytes((GRUB / "i386-pc/boot.img").read_bytes()[:440])
    for image, sector in ((first, 0), (core, 1)):
        run(["dd", f"if={image}", f"of={disk}", "bs=512", f"seek={sector}", "conv=notrunc", "status=none"])
    for file in (core, early, first):
        file.unlink()


def uefi(disk, system_partition, root):
    """A disk that UEFI firmware boots."""
    partition(disk, "gpt", [("U", system_partition), ("L", root)])
