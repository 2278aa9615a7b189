# SPDX-License-Identifier: GPL-2.0-or-later
"""A guest's memory, copied by QEMU and translated here.

By physical address: asked for more, QEMU would read a vCPU's registers and write them back (see QUIET_APIC in guest.py).
"""

import mmap
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
    """A copy of a guest's memory (bytes, by physical address), seen through the page tables under one root."""

    def __init__(self, image, paging, root):
        self.image, self.paging_name, self.paging = image, paging, PAGINGS[paging]
        self.root = root & self.paging.root
        self.word_size = 8 if self.paging.bits > 32 else 4

    def under(self, root):
        """The same memory under another root."""
        return GuestMemory(self.image, self.paging_name, root)

    def physical(self, address, size):
        """Bytes at a physical address, None where there is no memory."""
        return self.image[address : address + size] if address + size <= len(self.image) else None

    def translate(self, address):
        """The physical address, None where nothing is mapped."""
        table, above, size = self.root, self.paging.bits, struct.calcsize(self.paging.entry)
        for shift in self.paging.shifts:
            index = address >> shift & ((1 << (above - shift)) - 1)
            data = self.physical(table + index * size, size)
            entry = struct.unpack(self.paging.entry, data)[0] if data else 0
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
            piece = None if found is None else self.physical(found, min(size - len(data), PAGE - at % PAGE))
            if not piece:
                return None
            data += piece
        return data

    def number(self, address, size=None):
        """An unsigned number, by default of a pointer's size; None if it is not mapped."""
        data = self.read(address, size or self.word_size)
        return None if data is None else int.from_bytes(data, "little")

    def ring(self, head, most=10_000):
        """The nodes of a kernel's list behind its head; none if it does not lead back there."""
        nodes, node = [], self.number(head)
        while node and node != head and len(nodes) < most:
            nodes.append(node)
            node = self.number(node)
        return nodes if node == head else []


def copied(guest, file):
    """The memory of a Guest (of the machine pc, which has none above 3 GiB then), copied to a file that is mapped here."""
    guest.qmp("pmemsave", val=0, size=guest.job["memory"] << 20, filename=str(file))
    with open(file, "rb") as stream:
        return mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ)
