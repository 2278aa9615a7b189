# SPDX-License-Identifier: GPL-2.0-or-later
"""Guests that run a whole Debian, made by mmdebstrap: in an initramfs, or on a disk."""

import shutil
import subprocess

from . import cache, debian_root
from .base import REPOSITORY, LabError, run, say
from .guest_programs import programs
from .kernel_package import RELEASES

OVERLAYS = REPOSITORY / "tests/lab/systems"
SERVERS = ("udev", "dbus", "openssh-server", "cron", "rsyslog", "kmod", "login", "ifupdown", "iproute2", "procps")
SYSTEMD = ("systemd-sysv", "libpam-systemd", *SERVERS)
OPENRC = ("sysvinit-core", "openrc", "orphan-sysvinit-scripts", *SERVERS)
SYSVINIT = ("sysvinit-core", "orphan-sysvinit-scripts", *SERVERS)
# What an installed system has in its inittab for a serial console, and the lab's report.
INITTAB = (
    "printf '%s\\n' 'T0:23:respawn:/sbin/getty -L ttyS0 115200 vt100' "
    "'lr:2345:respawn:/usr/local/sbin/lab-report /dev/ttyS1' >> \"$1/etc/inittab\"",
)
CONTAINER = ("podman", "crun")
ROOT = "root=LABEL=root rw"


class Debian:
    """A Debian release with these packages. `overlays`: the folders of tests/lab/systems that are put over it."""

    def __init__(self, suite, packages=SYSTEMD, overlays=("systemd",), architecture="amd64", commands=()):
        # Mirrors that have the releases for i386 need not have their security updates.
        self.suites = RELEASES[suite][:1] if architecture == "i386" else RELEASES[suite]
        self.packages, self.architecture, self.commands = packages, architecture, commands
        self.overlays = [OVERLAYS / name for name in overlays]

    def inputs(self):
        """What its root is made from, for the key of the cache."""
        return [self.suites, self.packages, self.architecture, self.commands, debian_root.RECIPE]

    def install(self, root, more=()):
        """Install it into a folder, with more packages."""
        packages = sorted({*self.packages, *more})
        say(f"installing {self.suites[0]} with {len(packages)} packages and what they need: a minute or two")
        debian_root.install(
            root, self.suites, packages, self.architecture, "minbase", debian_root.UNREAD, self.commands
        )

    def add_report(self, root, is_64_bit):
        """Put the lab's report and what starts it into a folder."""
        for overlay in self.overlays:
            shutil.copytree(overlay, root, symlinks=True, dirs_exist_ok=True)
        target = root / "usr/local/sbin/lab-report"
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(programs(is_64_bit) / "report", target)


class Initramfs(Debian):
    """All of it in an initramfs, with the modules of any Debian kernel."""

    def __call__(self, kernel):
        """The files that boot it with this GuestKernel."""
        if not kernel.debs:
            raise LabError("a Debian guest needs its kernel's packages: give --guest-kernel or --kernel-deb")
        if self.architecture == "amd64" and not kernel.is_64_bit:
            raise LabError("this guest's programs are for amd64: choose a 64-bit kernel, or the guest system debian12-i386")
        inputs = [str(self._root()), str(kernel.folder), str(programs(kernel.is_64_bit)), cache.hash_files(self.overlays)]

        def make(folder):
            tree = folder / "tree"
            for merged in ("usr/lib", "usr/sbin"):
                (tree / merged).mkdir(parents=True)
            (tree / "lib").symlink_to("usr/lib")
            debian_root.add_kernel(tree, kernel.debs).unlink()
            self.add_report(tree, kernel.is_64_bit)
            (tree / "init").symlink_to("usr/sbin/init")
            # the kernel unpacks one archive after the other
            shutil.copyfile(self._root() / "root.cpio", folder / "initrd")
            pack(tree, folder / "initrd")
            shutil.rmtree(tree)

        return {"initrd": cache.folder("debian-initrd", inputs, make) / "initrd"}

    def _root(self):
        def make(folder):
            self.install(folder / "root")
            if not (folder / "root/lib").is_symlink():
                raise LabError(f"mmdebstrap has made {self.suites[0]} without merged /usr: debian_guest.py counts on it")
            pack(folder / "root", folder / "root.cpio")
            shutil.rmtree(folder / "root")

        return cache.folder("debian-root", self.inputs(), make)


class Disk(Debian):
    """On a disk, with its own kernel package and the initrd that Debian's initramfs-tools make for it.

    `container`: a release whose smallest system lies in /srv/container.
    """

    def __init__(self, suite, packages=SYSTEMD, overlays=("systemd",), container=None):
        super().__init__(suite, packages, overlays)
        self.container = container and RELEASES[container]

    def __call__(self, kernel):
        """The files that boot it with this GuestKernel, which must be one of the release's own."""
        image = f"linux-image-{kernel.release}"
        if not any(deb.name.startswith(f"{image}_") for deb in kernel.debs):
            raise LabError(f"this guest installs its kernel from {' and '.join(self.suites)}: give one of theirs with --guest-kernel")
        inputs = [*self.inputs(), self.container, str(kernel.folder), str(programs(kernel.is_64_bit)), cache.hash_files(self.overlays)]

        def make(folder):
            root = folder / "root"
            self.install(root, [image, "initramfs-tools", "zstd"])
            if self.container:
                debian_root.install(root / "srv/container", self.container, ["apt"], variant="essential", left_out=debian_root.UNREAD)
            self.add_report(root, kernel.is_64_bit)
            shutil.copyfile(root / f"boot/initrd.img-{kernel.release}", folder / "initrd")
            (root / "boot/grub").mkdir()
            (root / "boot/grub/grub.cfg").write_text(
                f"linux /boot/vmlinuz-{kernel.release} {ROOT} console=ttyS0 quiet panic=-1\n"
                f"initrd /boot/initrd.img-{kernel.release}\nboot\n"
            )
            used = int(run(["du", "--summarize", "--block-size=1M", root]).split()[0])
            run(["mke2fs", "-q", "-t", "ext4", "-L", "root", "-d", root, folder / "disk", f"{used * 5 // 4 + 256}M"])
            shutil.rmtree(root)

        folder = cache.folder("debian-disk", inputs, make)
        return {"initrd": folder / "initrd", "disk": folder / "disk", "append": ROOT}


def pack(tree, archive):
    """Append a folder to an archive for the kernel."""
    command = "find . -mindepth 1 -print0 | LC_ALL=C sort -z | cpio --null --create --format=newc --quiet"
    with open(archive, "ab") as out:
        done = subprocess.run(["sh", "-c", command], cwd=tree, stdout=out, stderr=subprocess.PIPE, check=False)
    if done.returncode != 0:
        raise LabError(f"cpio could not pack {tree}: {done.stderr.decode().strip()}")
