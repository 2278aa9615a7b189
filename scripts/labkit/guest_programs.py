# SPDX-License-Identifier: GPL-2.0-or-later
"""The small programs of lab guests, compiled here from tests/lab/guest: with this machine's libc, or with musl."""

from . import cache
from .base import REPOSITORY, run
from .debian import Apt, unpack

SOURCES = REPOSITORY / "tests/lab/guest"
COMPILE = ("gcc", "-std=gnu11", "-O2", "-Wall", "-Wextra", "-Werror", "-pthread")
STATIC, STATIC_PIE = "static", "static-pie"
# What each is made from, and how it is linked.
PROGRAMS = {
    "init": (("init.c", "view.c", "detail.c", "hibernation.c", "latency.c"), STATIC),
    "worker": (("worker.c",), STATIC_PIE),
    "opener": (("opener.c",), STATIC_PIE),
    "report": (("report.c", "view.c"), STATIC),
    "single": (("single.c", "view.c"), STATIC),
}
MUSL_SUITE = BASH_SUITE = "bookworm"


class Glibc:
    """This machine's libc: its programs want Linux 3.2 or later."""

    OPTIONS = {STATIC: ("-static", "-no-pie"), STATIC_PIE: ("-static-pie", "-fPIE")}

    def __init__(self, is_64_bit):
        self.width = "-m64" if is_64_bit else "-m32"
        self.inputs = [self.width, self.OPTIONS]

    def compile(self, sources, kind, program):
        """Compile and link these sources."""
        run([*COMPILE, self.width, *self.OPTIONS[kind], *sources, "-o", program])


class Musl:
    """musl, unpacked from Debian's package: its programs run on Linux 2.6 already, and keep no thread's number."""

    KINDS = {  # options of the compiler, of the linker, the first object
        STATIC: (("-fno-pie",), ("-no-pie",), "crt1.o"),
        # as the linker of musl's own toolchains has it, which this machine's gcc does not know
        STATIC_PIE: (("-fPIE",), ("-static-pie", "-Wl,--no-dynamic-linker,-z,text"), "rcrt1.o"),
    }

    def __init__(self, is_64_bit):
        self.width, self.triplet = ("-m64", "x86_64-linux") if is_64_bit else ("-m32", "i386-linux")
        self.apt = Apt(MUSL_SUITE, architecture="amd64" if is_64_bit else "i386")
        self.version = self.apt.records("musl-dev")[0]["Version"]
        self.inputs = ["musl", self.version, self.width, self.KINDS]

    def compile(self, sources, kind, program):
        """Compile and link these sources, without anything of this machine's libc."""
        root = cache.folder("musl", [self.version, self.width], lambda folder: unpack(self.apt.fetch("musl-dev"), folder))
        include, library = (root / "usr" / part / f"{self.triplet}-musl" for part in ("include", "lib"))
        compiler, linker, first = self.KINDS[kind]
        of_gcc = run(["gcc", "-print-file-name=include"]).strip()
        # of this machine only what is the kernel's: <linux/...>, <asm/...>
        headers = ["-nostdinc", "-isystem", include, "-isystem", of_gcc, "-idirafter", "/usr/include"]
        headers += ["-idirafter", f"/usr/include/{run(['gcc', '-print-multiarch']).strip()}"]
        link = ["-nostdlib", "-static", *linker, *(library / name for name in (first, "crti.o"))]
        end = ["-L", library, "-lc", "-lgcc", "-lgcc_eh", "-lc", library / "crtn.o"]
        run([*COMPILE, self.width, *compiler, *headers, *link, *sources, *end, "-o", program])


def bash():
    """Debian's bash for 64-bit guests, linked statically: a shell as people have it, with a history."""
    apt = Apt(BASH_SUITE)
    version = apt.records("bash-static")[0]["Version"]
    return cache.folder("bash", [version], lambda folder: unpack(apt.fetch("bash-static"), folder)) / "bin/bash-static"


def programs(is_64_bit, libc=Glibc):
    """The folder with the compiled programs."""
    toolchain = libc(is_64_bit)
    inputs = [cache.hash_files([SOURCES], (".c", ".h")), COMPILE, PROGRAMS, toolchain.inputs]

    def make(folder):
        for name, (sources, kind) in PROGRAMS.items():
            toolchain.compile([SOURCES / source for source in sources], kind, folder / name)

    return cache.folder("guest-programs", inputs, make)
