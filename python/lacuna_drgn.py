# SPDX-License-Identifier: GPL-2.0-or-later
"""drgn on a guest that Lacuna has learned from: types and symbols come from its ISF, the kernel's place from its vmcoreinfo.

No debugging information is read. Only members that Lacuna knows are in the types, and a type is as large as it takes to hold these:
do not rely on sizeof(). With drgn 0.0.25 and later for core files; for raw files and guests that run it takes one that has
Program.set_linux_kernel_custom().
"""

import json
import os
import re

import drgn
from drgn.helpers.linux.list import list_for_each_entry

FINDER = "lacuna"
VOID = {"kind": "base", "name": "void"}  # of a symbol that is nothing but an address


class Kernel:
    """What an ISF says, as drgn's types and objects."""

    def __init__(self, prog, isf, slide):
        self.prog, self.isf, self.slide, self.types = prog, isf, slide, {}

    def find_type(self, prog, kinds, name, filename):
        """drgn's type finder."""
        if drgn.TypeKind.STRUCT in kinds and name in self.isf["user_types"]:
            return self.structure(name)
        base = self.isf["base_types"].get(name)
        if base and name != "pointer" and kinds & {drgn.TypeKind.INT, drgn.TypeKind.VOID}:
            found = self.base(name)
            return found if found.kind in kinds else None
        return None

    def find_object(self, prog, name, flags, filename):
        """drgn's object finder."""
        symbol = self.isf["symbols"].get(name)
        if symbol is None or symbol.get("type", VOID) == VOID or not flags & drgn.FindObjectFlags.VARIABLE:
            return None
        return drgn.Object(prog, self.type(symbol["type"]), address=symbol["address"] + self.slide)

    def base(self, name):
        """One of C's own types."""
        if name not in self.types:
            said = self.isf["base_types"][name]
            make = self.prog.void_type() if said["kind"] == "void" else self.prog.int_type(name, said["size"], said["signed"])
            self.types[name] = make
        return self.types[name]

    def structure(self, name):
        """A structure, with the members that are known."""
        key = f"struct {name}"
        if key not in self.types:
            fields = self.isf["user_types"][name]["fields"]
            members = [
                # looked up when it is asked for: structures lead to each other
                drgn.TypeMember(lambda said=field["type"]: drgn.Object(self.prog, self.type(said)), member, 8 * field["offset"])
                for member, field in sorted(fields.items(), key=lambda item: item[1]["offset"])
            ]
            ends = [field["offset"] + self.size(field["type"]) for field in fields.values()]
            self.types[key] = self.prog.struct_type(name, max(ends, default=0), members)
        return self.types[key]

    def size(self, said):
        """Bytes of a type."""
        if said["kind"] == "array":
            return said["count"] * self.size(said["subtype"])
        if said["kind"] == "struct":
            inner = self.isf["user_types"][said["name"]]["fields"].values()
            return max((field["offset"] + self.size(field["type"]) for field in inner), default=0)
        return self.isf["base_types"]["pointer" if said["kind"] == "pointer" else said["name"]]["size"]

    def type(self, said):
        """A type as ISF describes it."""
        if said["kind"] == "pointer":
            return self.prog.pointer_type(self.type(said["subtype"]))
        if said["kind"] == "array":
            return self.prog.array_type(self.type(said["subtype"]), said["count"])
        return self.structure(said["name"]) if said["kind"] == "struct" else self.base(said["name"])


def learn(prog, isf, vmcoreinfo):
    """Give a program that has its memory already the types and symbols of an ISF (as json.load() gives it)."""
    slide = int(re.search(r"^KERNELOFFSET=([0-9a-f]+)$", vmcoreinfo, re.M)[1], 16)
    kernel = Kernel(prog, isf, slide)
    prog.register_type_finder(FINDER, kernel.find_type, enable_index=0)
    prog.register_object_finder(FINDER, kernel.find_object, enable_index=0)
    return prog


def of_core_file(path, isf, vmcoreinfo):
    """A program on a core file, such as `lacunactl dump --format elf` or `virsh dump --memory-only` write."""
    prog = drgn.Program(vmcoreinfo=vmcoreinfo)
    prog.set_core_dump(path)
    return learn(prog, isf, vmcoreinfo)


def of_raw_file(path, isf, vmcoreinfo):
    """A program on a raw file, as `lacunactl dump` writes it."""
    prog = drgn.Program(drgn.Platform(drgn.Architecture.X86_64))
    need_custom(prog)
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    size = os.fstat(descriptor).st_size

    def read(address, count, offset, physical):
        return os.pread(descriptor, count, offset)

    prog.set_linux_kernel_custom(vmcoreinfo, False)
    prog.add_memory_segment(0, size, read, True)
    return learn(prog, isf, vmcoreinfo)


def of_qmp(socket, isf, vmcoreinfo):
    """A program on a guest that runs, by its QEMU's QMP socket."""
    prog = drgn.Program()
    need_custom(prog)
    prog.set_qemu_qmp(socket)
    prog.set_linux_kernel_custom(vmcoreinfo, True)
    return learn(prog, isf, vmcoreinfo)


def need_custom(prog):
    """Older versions know core files only."""
    if not hasattr(prog, "set_linux_kernel_custom"):
        raise SystemExit("this drgn takes core files only: lacunactl dump --format elf GUEST FILE makes one")


def tasks(prog):
    """All processes: drgn's for_each_task() wants what Lacuna does not know."""
    yield from list_for_each_entry("struct task_struct", prog["init_task"].tasks.address_of_(), "tasks")


def load(isf_file):
    """An ISF from a file."""
    with open(isf_file, encoding="utf-8") as stream:
        return json.load(stream)
