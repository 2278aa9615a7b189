# SPDX-License-Identifier: GPL-2.0-or-later
"""Guests as people run them, instead of the lab's own init: each has a name and is made into the cache."""

from dataclasses import dataclass
from typing import Callable

from . import debian_guest, small_guest
from .base import LabError

PROMPT = r"login: "


@dataclass(frozen=True)
class GuestSystem:
    """How a system is made and run, and what may be expected of it.

    `make(kernel)` returns its files, {"initrd": ..., "disk": ...}; `kernel` is the one it is run with unless another is asked
    for (see KernelPackage). `prompt`: what its console says to who wants to log in; its own view comes by a second
    port then. `untaught`: structures of which this guest can teach nothing. `deadline`: seconds after which a hunt in it ends.
    """

    why: str
    kernel: str
    make: Callable
    cpus: int = 2
    memory: int = 512
    append: str = ""
    prompt: str | None = None
    untaught: tuple = ()
    seconds: int = 900
    deadline: int | None = None

    def job(self, kernel):
        """What the lab host is told of a guest with this system and this GuestKernel."""
        lists = ["modules"] if "module" in self.untaught else []
        own = {"cpus": self.cpus, "memory": self.memory, "append": self.append, "prompt": self.prompt}
        return {**own, "open_lists": lists, **self.make(kernel)}


def debian(why, kernel, make, memory=1700, **more):
    """A whole Debian."""
    return GuestSystem(why, kernel, make, memory=memory, prompt=PROMPT, **more)


NO_MODULES = ("module",)
SYSTEMS = {
    "debian11": debian("Debian 11 with systemd", "bullseye", debian_guest.Initramfs("bullseye")),
    "debian12": debian("Debian 12 with systemd", "bookworm", debian_guest.Initramfs("bookworm")),
    "debian13": debian("Debian 13 with systemd", "trixie", debian_guest.Initramfs("trixie")),
    "sid": debian("Debian's newest with systemd", "sid", debian_guest.Initramfs("sid")),
    "debian12-sysvinit": debian(
        "Debian 12 with the init of before",
        "bookworm",
        debian_guest.Initramfs("bookworm", debian_guest.SYSVINIT, ["sysvinit"], commands=debian_guest.INITTAB),
    ),
    "debian12-openrc": debian(
        "Debian 12 with OpenRC",
        "bookworm",
        debian_guest.Initramfs("bookworm", debian_guest.OPENRC, ["sysvinit"], commands=debian_guest.INITTAB),
    ),
    "debian12-i386": debian(
        "Debian 12 for 32-bit processors", "bookworm:686", debian_guest.Initramfs("bookworm", architecture="i386"), memory=1200
    ),
    "initramfs-tools": debian(
        "Debian 12 as installed: its own initrd, its root on a disk", "bookworm", debian_guest.Disk("bookworm"), memory=1024
    ),
    "containers": debian(
        "Debian 12 that runs a Debian 11 in a container of podman",
        "bookworm",
        debian_guest.Disk(
            "bookworm", [*debian_guest.SYSTEMD, *debian_guest.CONTAINER], ["systemd", "containers"], container="bullseye"
        ),
        memory=1024,
    ),
    "busybox": GuestSystem("BusyBox's init and one shell", "bookworm", small_guest.busybox, untaught=NO_MODULES),
    "crowd": GuestSystem(
        "the same with 4,500 processes, some with odd names", "bookworm", small_guest.crowd, memory=1700, untaught=NO_MODULES
    ),
    "single": GuestSystem(
        "one static program that never forks, as in a microVM", "bookworm", small_guest.single, cpus=1, untaught=NO_MODULES,
        deadline=60,  # all that it teaches it teaches at once, but the hunt waits for a thread and for modules
    ),
    "musl": GuestSystem("the lab's own programs with musl: it keeps no thread's number", "bookworm", small_guest.musl),
    "go": GuestSystem("a Go program as init: no libc knows its threads", "bookworm", small_guest.go),
}


def choose(name):
    """The system of that name; LabError if there is none."""
    if name not in SYSTEMS:
        raise LabError(f"no guest system {name}: one of {', '.join(SYSTEMS)}")
    return SYSTEMS[name]
