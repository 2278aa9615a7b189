# SPDX-License-Identifier: GPL-2.0-or-later
"""Guests of a few programs, made here from tests/lab: each is an initramfs that goes with any kernel."""

import os

from . import cache
from .base import REPOSITORY, LabError, run
from .cpio import Archive
from .debian import Apt
from .guest_initrd import initrd
from .guest_programs import Musl, programs
from .host import BUSYBOX
from .kernel_package import RELEASES
from .package_tree import PackageTree

SYSTEMS = REPOSITORY / "tests/lab/systems"
GO_SUITE, GO_PACKAGES = "bookworm", ("golang-1.19-go", "golang-1.19-src")
GO_PROGRAMS = ("init", "bin/store", "bin/gateway", "bin/metrics")


def single(kernel):
    """One static program that never forks."""
    program = programs(kernel.is_64_bit) / "single"

    def make(folder):
        archive = Archive()
        archive.console()
        archive.file("init", program.read_bytes(), 0o755)
        (folder / "initrd").write_bytes(archive.bytes())

    return {"initrd": cache.folder("single-initrd", [str(program)], make) / "initrd"}


def musl(kernel):
    """The lab's own init and worker, with musl."""
    return {"initrd": initrd(kernel, libc=Musl)}


def busybox(kernel, inittab="busybox"):
    """BusyBox's init and one shell, and what else the inittab in that folder starts."""
    if not kernel.is_64_bit:
        raise LabError("the guest system busybox is of this machine's BusyBox: choose a 64-bit kernel")
    texts = [SYSTEMS / inittab / "etc/inittab", SYSTEMS / "busybox/etc/report"]

    def make(folder):
        archive = Archive()
        archive.console()
        for name in ("bin", "etc", "proc"):
            archive.folder(name)
        archive.file("bin/busybox", BUSYBOX.read_bytes(), 0o755)
        for link, target in (("init", "bin/busybox"), ("bin/sh", "busybox")):
            archive.link(link, target)
        for text in texts:
            archive.file(f"etc/{text.name}", text.read_bytes())
        (folder / "initrd").write_bytes(archive.bytes())

    return {"initrd": cache.folder("busybox-initrd", [cache.hash_files([*texts, BUSYBOX])], make) / "initrd"}


def crowd(kernel):
    """The same with more processes than anybody expects, and with names of theirs in other letters, and in none."""
    return busybox(kernel, "crowd")


def go(kernel):
    """A Go program as init, which starts three others."""
    if not kernel.is_64_bit:
        raise LabError("the guest system go is built for 64-bit kernels")
    program = go_program() / "program"

    def make(folder):
        archive = Archive()
        archive.console()
        for name in ("modules", "bin"):
            archive.folder(name)
        for name in GO_PROGRAMS:
            archive.file(name, program.read_bytes(), 0o755)
        for name, content in kernel.modules():
            archive.file(f"modules/{name}", content)
        archive.file("modules/order", kernel.order.encode())
        (folder / "initrd").write_bytes(archive.bytes())

    return {"initrd": cache.folder("go-initrd", [str(program), str(kernel.folder), GO_PROGRAMS], make) / "initrd"}


def go_program():
    """The folder with the compiled program; Debian's Go is unpacked into the cache for it."""
    source = SYSTEMS / "go/main.go"
    tree = PackageTree(Apt(*RELEASES[GO_SUITE]), GO_PACKAGES)

    def make(folder):
        root = cache.folder("go", [tree.packages], tree.unpack)
        environment = {**os.environ, "GOROOT": str(root / "usr/lib/go-1.19"), "GOCACHE": str(folder / "cache")}
        environment |= {"CGO_ENABLED": "0", "GO111MODULE": "off", "GOFLAGS": "", "GOPATH": str(folder / "path")}
        run([root / "usr/lib/go-1.19/bin/go", "build", "-o", folder / "program", source], env=environment)
        run(["rm", "-rf", folder / "cache"])

    return cache.folder("go-program", [tree.packages, cache.hash_files([source])], make)
