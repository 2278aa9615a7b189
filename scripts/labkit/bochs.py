# SPDX-License-Identifier: GPL-2.0-or-later
"""The lab host with an Intel processor: Bochs implements VMX with EPT, which QEMU's emulation does not."""

import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

from . import cache
from .base import run
from .debian import Apt, unpack
from .host import HERE, Host
from .host_disk import make_disk, read_disk, root_disk
from .host_kernel import DISKS
from .kernel_package import payload

SUITE = "bookworm"
PACKAGES = ("bochs", "bochs-term", "bochsbios", "genisoimage", "isolinux", "syslinux-common", "vgabios")
RESULTS_BYTES = 256 << 20
# ips: instructions in a second of the emulated machine, about what Bochs does in a real one.
CONFIGURATION = """\
config_interface: textconfig
display_library: rfb, options="timeout=0"
memory: guest=2048, host=2048
romimage: file={root}/usr/share/bochs/BIOS-bochs-latest, options=fastboot
vgaromimage: file={root}/usr/share/vgabios/vgabios.bin
cpu: model=corei7_haswell_4770, count=1, ips=50000000, reset_on_triple_fault=0
clock: sync=none
pci: enabled=1, chipset=i440fx
ata0: enabled=1, ioaddr1=0x1f0, ioaddr2=0x3f0, irq=14
ata0-master: type=disk, mode=flat, path={disks}/root.img
ata0-slave: type=disk, mode=flat, path={disks}/results.img
ata1: enabled=1, ioaddr1=0x170, ioaddr2=0x370, irq=15
ata1-master: type=cdrom, path={disks}/boot.iso, status=inserted
boot: cdrom
com1: enabled=1, mode=file, dev={out}/host-console.log
com2: enabled=1, mode=file, dev={out}/agent.log
sound: driver=dummy
speaker: enabled=0
mouse: enabled=0
log: {out}/bochs.log
panic: action=fatal
error: action=ignore
info: action=ignore
debug: action=ignore
"""
# The ELF note XEN_ELFNOTE_PHYS32_ENTRY: lengths of name and address, type 18, name.
PVH_NOTE = re.compile(rb"\x04\0\0\0[\x04\x08]\0\0\0\x12\0\0\0Xen\0")
BOOT_MENU = """\
DEFAULT lab
PROMPT 0
LABEL lab
 KERNEL /vmlinuz
 INITRD /initrd
 APPEND {arguments}
"""


class Bochs:
    """Bochs and what makes a CD-ROM to boot it from: unpacked into the cache, not installed."""

    def __init__(self):
        self.apt = Apt(SUITE, f"{SUITE}-security")
        version = self.apt.records(PACKAGES[0])[0]["Version"]
        self.root = cache.folder("bochs", [PACKAGES, version], self._unpack)

    def _unpack(self, folder):
        for deb in self.apt.fetch_missing(SUITE, PACKAGES):
            unpack(deb, folder)

    def command(self):
        """The first words of the emulator's command line."""
        return [str(self.root / "usr/bin/bochs-bin"), "-q"]

    def environment(self):
        """The environment it and genisoimage must be started with."""
        libraries = self.root / "usr/lib/x86_64-linux-gnu"
        return {
            **os.environ,
            "LD_LIBRARY_PATH": str(libraries),
            "LTDL_LIBRARY_PATH": str(libraries / "bochs/plugins"),
            "BXSHARE": str(self.root / "usr/share/bochs"),
        }

    def boot_disk(self, image, kernel, initrd, arguments):
        """Make a CD-ROM image that boots this kernel."""
        syslinux = self.root / "usr/lib"
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            shutil.copyfile(syslinux / "ISOLINUX/isolinux.bin", folder / "isolinux.bin")
            shutil.copyfile(syslinux / "syslinux/modules/bios/ldlinux.c32", folder / "ldlinux.c32")
            shutil.copyfile(kernel, folder / "vmlinuz")
            shutil.copyfile(initrd, folder / "initrd")
            (folder / "isolinux.cfg").write_text(BOOT_MENU.format(arguments=arguments))
            options = "-quiet -b isolinux.bin -c boot.cat -no-emul-boot -boot-load-size 4 -boot-info-table"
            command = [self.root / "usr/bin/genisoimage", *options.split(), "-o", image, folder]
            run(command, env=self.environment())


class IntelHost(Host):
    """A lab host in Bochs; it has disks instead of shared folders."""

    MODULES = (*DISKS, "kvm_intel")
    ARGUMENTS = "LAB_DISKS=1 mitigations=off nowatchdog cryptomgr.notests"
    # The agent counts the emulated machine's seconds, and Bochs may need longer for one.
    SECONDS, SECONDS_PER_GUEST, STARTUP_SECONDS = 300, 200, 600
    ENDS_WITH = (*Host.ENDS_WITH, 1)  # Bochs, when the machine powers itself off
    # Few devices and little firmware: a guest is in its kernel at once.
    GUEST_MACHINE = "microvm,pit=on,pic=on,rtc=on,isa-serial=on"
    INPUT = subprocess.DEVNULL  # its debugger, asked after an end, finds nobody there

    def guest_image(self, kernel):
        """The guest's kernel, uncompressed: decompressing it would take longer than the rest of its boot.

        One that has no PVH entry (such as a 686 without PAE) QEMU can only boot as it is.
        """

        def make(folder):
            (folder / "vmlinux").write_bytes(payload(kernel.vmlinuz))

        vmlinux = cache.folder("guest-vmlinux", [str(kernel.folder)], make) / "vmlinux"
        return vmlinux if PVH_NOTE.search(vmlinux.read_bytes()) else kernel.vmlinuz

    def run(self, out, timeout):
        """As any host; its results are on a disk until it is off."""
        with tempfile.TemporaryDirectory(prefix="lacuna-lab-", dir=out) as name:
            self.disks = Path(name)
            job = self.disks / "results"
            job.mkdir()
            shutil.copyfile(out / "job.json", job / "job.json")
            make_disk(self.disks / "results.img", job, RESULTS_BYTES)
            root_disk(self.disks / "root.img", out / "job.json", [HERE])
            disk = self.disks / "boot.iso"
            self.emulator.boot_disk(disk, self.kernel.image, self.initramfs, self.arguments())
            try:
                super().run(out, timeout)
            finally:
                read_disk(self.disks / "results.img", out)

    def command(self, out):
        """The emulator's command line; it ends when the lab ends."""
        (self.disks / "debugger-commands").write_text("c\n")
        (self.disks / "bochsrc").write_text(CONFIGURATION.format(root=self.emulator.root, disks=self.disks, out=out))
        # The debugger is compiled in and waits for a "c" to continue.
        files = ["-f", self.disks / "bochsrc", "-rc", self.disks / "debugger-commands"]
        # Its display is a VNC server for all the world: in a network of its own nobody sees it.
        user = [] if os.geteuid() == 0 else ["--map-root-user"]
        alone = ["unshare", "--net", *user, "setpriv", "--pdeathsig", "KILL"]
        return [*alone, *self.emulator.command(), *files]
