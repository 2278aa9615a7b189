# SPDX-License-Identifier: GPL-2.0-or-later
"""Guests that run a whole Debian, made by mmdebstrap: in an initramfs, or on a disk."""

import shutil
import subprocess

from . import cache, debian_root
from .base import REPOSITORY, LabError, say
from .guest_programs import programs
from .kernel_package import RELEASES

OVERLAYS = REPOSITORY / "tests/lab/systems"
SERVERS = ("udev", "dbus", "openssh-server", "cron", "rsyslog", "kmod", "login", "ifupdown", "iproute2", "procps")
SYSTEMD = ("systemd-sysv", "libpam-systemd", *SERVERS)


class Debian:
    """A Debian release with these packages. `overlay`: the folder of tests/lab/systems that starts the lab's report."""

    def __init__(self, suite, packages=SYSTEMD, overlay="systemd", architecture="amd64", commands=()):
        # Mirrors that have the releases for i386 need not have their security updates.
        self.suites = RELEASES[suite][:1] if architecture == "i386" else RELEASES[suite]
        self.packages, self.architecture, self.commands = packages, architecture, commands
        self.overlay = OVERLAYS / overlay

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
        shutil.copytree(self.overlay, root, symlinks=True, dirs_exist_ok=True)
        target = root / "usr/local/sbin/lab-report"
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(programs(is_64_bit) / "report", target)


class Initramfs(Debian):
    """All of it in an initramfs, with the modules of any Debian kernel."""

    def __call__(self, kernel):
        """The files that boot it with this GuestKernel."""
        if not kernel.debs:
            raise LabError("a Debian guest needs its kernel's packages: give --guest-kernel or --kernel-deb")
        inputs = [str(self._root()), str(kernel.folder), str(programs(kernel.is_64_bit)), cache.hash_files([self.overlay])]

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


def pack(tree, archive):
    """Append a folder to an archive for the kernel."""
    command = "find . -mindepth 1 -print0 | LC_ALL=C sort -z | cpio --null --create --format=newc --quiet"
    with open(archive, "ab") as out:
        done = subprocess.run(["sh", "-c", command], cwd=tree, stdout=out, stderr=subprocess.PIPE, check=False)
    if done.returncode != 0:
        raise LabError(f"cpio could not pack {tree}: {done.stderr.decode().strip()}")
