# SPDX-License-Identifier: GPL-2.0-or-later
"""A guest's memory, read by QEMU and translated here.

Only by physical address: asked for more, QEMU would read a vCPU's registers and write them back (see QUIET_APIC in guest.py).
"""

import struct
from dataclasses import dataclass

PRESENT, LARGE = 1, 1 << 7
ADDRESS = 0x000F_FFFF_FFFF_F000
PAGE = 4096


@dataclass(frozen=True)
class Paging:
    """Intel SDM volume 3, chapter 4: per table, from the root, the lowest bit of the address that selects an entry."""

    entry: str  # how struct reads one
    shifts: tuple
    large: tuple  # those whose entries may map a page
    bits: int
    root: int = ADDRESS


PAGINGS = {
    "4-level": Paging("<Q", (39, 30, 21, 12), (30, 21), 48),
    "5-level": Paging("<Q", (48, 39, 30, 21, 12), (30, 21), 57),
    "PAE": Paging("<Q", (30, 21, 12), (21,), 32, 0xFFFF_FFE0),
    "32-bit": Paging("<I", (22, 12), (22,), 32, 0xFFFF_F000),
}


class GuestMemory:
    """The memory under one root of page tables. `physical(address, size)` returns bytes."""

    def __init__(self, physical, paging, root):
        self.physical, self.paging = physical, PAGINGS[paging]
        self.root = root & self.paging.root
        self.word_size = 8 if self.paging.bits > 32 else 4

    def under(self, root):
        """The same memory under another root."""
        return GuestMemory(self.physical, next(name for name, one in PAGINGS.items() if one is self.paging), root)

    def translate(self, address):
        """The physical address, None where nothing is mapped."""
        table, above, size = self.root, self.paging.bits, struct.calcsize(self.paging.entry)
        for shift in self.paging.shifts:
            index = address >> shift & ((1 << (above - shift)) - 1)
            (entry,) = struct.unpack(self.paging.entry, self.physical(table + index * size, size))
            if not entry & PRESENT:
                return None
            if shift == 12 or (shift in self.paging.large and entry & LARGE):
                inside = (1 << shift) - 1
                return (entry & ADDRESS & ~inside) | (address & inside)
            table, above = entry & ADDRESS, shift
        return None

    def read(self, address, size):
        """Bytes at a virtual address, None if they are not all mapped."""
        data = b""
        while len(data) < size:
            at = address + len(data)
            found = self.translate(at)
            if found is None:
                return None
            data += self.physical(found, min(size - len(data), PAGE - at % PAGE))
        return data

    def number(self, address, size=None):
        """An unsigned number, by default of a pointer's size; None if it is not mapped."""
        data = self.read(address, size or self.word_size)
        return None if data is None else int.from_bytes(data, "little")

    def ring(self, head, most=100_000):
        """The nodes of a kernel's list behind its head, as far as they are mapped."""
        node = self.number(head)
        while node and node != head and most:
            yield node
            node, most = self.number(node), most - 1


def physical_reader(guest, file):
    """physical() of a Guest; QEMU writes each piece to `file`."""

    def physical(address, size):
        guest.qmp("pmemsave", val=address, size=size, filename=str(file))
        return file.read_bytes()

    return physical
