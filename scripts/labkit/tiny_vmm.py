# SPDX-License-Identifier: GPL-2.0-or-later
"""A VMM of its own, with a guest of a few instructions that looks like a kernel: for what QEMU does not do to a guest's memory.

`python3 -m labkit.tiny_vmm` runs it and takes one command a line: the names of Tiny's methods. The guest's kernel lies in a memory
slot of its own. One vCPU executes CPUID and passes the three trap sites for ever, counting; the other changes the byte behind a site.
"""

import ctypes
import fcntl
import mmap
import os
import signal
import struct
import subprocess
import sys
import threading
import time
from pathlib import Path

from .abi import number
from .module_orders import attribute, nested, u8, u64

KVM_CREATE_VM, KVM_GET_VCPU_MMAP_SIZE, KVM_CREATE_VCPU, KVM_RUN = 0xAE01, 0xAE04, 0xAE41, 0xAE80
KVM_SET_USER_MEMORY_REGION, KVM_SET_REGS = 0x4020AE46, 0x4090AE82
KVM_GET_SREGS, KVM_SET_SREGS = 0x8138AE83, 0x4138AE84
KVM_MEM_READONLY = 2
SYS_USERFAULTFD, UFFDIO_API, UFFDIO_REGISTER = 323, 0xC018AA3F, 0xC020AA00
MADV_DONTNEED, MADV_NOHUGEPAGE = 4, 15
LARGE_PAGE = 2 << 20
INT3 = 0xCC
IMMEDIATE_EXIT = 1  # in struct kvm_run

TEXT, DATA = 0xFFFFFFFF81000000, 0xFFFFFFFF82000000  # of the guest's kernel
TEXT_GPA = 4 << 20
BANNER = b"Linux version 0.0.0 (a guest of a few instructions)\n"
BANNER_AT, SITES_AT, NEIGHBOUR_AT, COUNT_AT = 0x40, (0x200, 0x300, 0x400), 0x207, 0x10000
SITE = bytes.fromhex("4889fbc3")  # mov %rdi,%rbx; ret
libc = ctypes.CDLL(None, use_errno=True)


def call(at, target):
    """CALL from an offset in the text to another."""
    return b"\xe8" + struct.pack("<i", target - at - 5)


def program():
    """{offset in the text: what stands there}"""
    code = b"\x31\xc0\x31\xc9\x0f\xa2"  # xor %eax,%eax; xor %ecx,%ecx; cpuid
    for site in SITES_AT:
        code += call(0x100 + len(code), site)
    code += b"\x48\xff\x04\x25" + struct.pack("<i", DATA + COUNT_AT - (1 << 64))  # incq COUNT
    code += b"\xeb" + struct.pack("b", -len(code) - 2)  # jmp to the start
    other = b"\xfe\x04\x25" + struct.pack("<i", TEXT + NEIGHBOUR_AT - (1 << 64)) + b"\xeb\xf7"  # incb; jmp
    return {BANNER_AT: BANNER, 0x100: code, 0x180: other, **dict.fromkeys(SITES_AT, SITE)}


def descriptor(banner=BANNER):
    """What the module is told of this kernel."""
    sites = b"".join(
        nested(
            "LACUNA_K_SITE",
            u8("LACUNA_S_KIND", kind)
            + u64("LACUNA_S_ADDRESS", TEXT + at)
            + attribute(number("LACUNA_S_BYTES"), SITE)
            + attribute(number("LACUNA_S_LENGTHS"), b"\3"),
        )
        for kind, at in enumerate(SITES_AT)
    )
    places = {"TEXT": TEXT, "END": TEXT + LARGE_PAGE, "BANNER": TEXT + BANNER_AT, "INIT_TASK": DATA + 0x8000,
              "MODULES": DATA + 0x9000, "CURRENT": 0}
    return (
        attribute(number("LACUNA_K_ID"), b"tiny\0")
        + u8("LACUNA_K_ARCHITECTURE", 0)
        + b"".join(u64(f"LACUNA_K_{name}", at) for name, at in places.items())
        + attribute(number("LACUNA_K_BANNER_TEXT"), banner)
        + u8("LACUNA_K_CURRENT_KIND", 0)
        + sites
    )


class Memory:
    """Anonymous memory, and where it is."""

    def __init__(self, size):
        self.bytes = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        self.at = ctypes.addressof(ctypes.c_char.from_buffer(self.bytes))
        self.size = size
        libc.madvise(ctypes.c_void_p(self.at), ctypes.c_size_t(size), MADV_NOHUGEPAGE)


class Vcpu:
    """A vCPU and its thread."""

    def __init__(self, file, size, running):
        self.file, self.running, self.idle = file, running, threading.Event()
        self.state = mmap.mmap(file, size)
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self):
        """Run it whenever it may."""
        while True:
            self.idle.set()
            self.running.wait()
            self.idle.clear()
            try:
                fcntl.ioctl(self.file, KVM_RUN, 0)
            except InterruptedError:
                pass

    def stop(self):
        """Returns when it does not run any more."""
        self.state[IMMEDIATE_EXIT] = 1
        while not self.idle.wait(0.05):
            signal.pthread_kill(self.thread.ident, signal.SIGUSR1)


class Tiny:
    """The virtual machine."""

    def __init__(self):
        self.kvm = os.open("/dev/kvm", os.O_RDWR)
        self.vm = fcntl.ioctl(self.kvm, KVM_CREATE_VM, 0)
        self.ram, self.text = Memory(LARGE_PAGE), Memory(LARGE_PAGE)
        for at, content in program().items():
            self.text.bytes[at : at + len(content)] = content
        # 2 MiB pages: the text, and behind it the RAM
        for table, index, entry in ((0x1000, 511, 0x2003), (0x2000, 510, 0x3003), (0x3000, 8, TEXT_GPA | 0x83), (0x3000, 16, 0x83)):
            struct.pack_into("<Q", self.ram.bytes, table + 8 * index, entry)
        self.slot(0, 0, self.ram)
        self.slot(1, TEXT_GPA, self.text)
        self.userfault = self.covered = None
        signal.signal(signal.SIGUSR1, lambda *_: None)
        self.running, self.vcpus = threading.Event(), []
        for index, start in enumerate((0x100, 0x180)):
            vcpu = fcntl.ioctl(self.vm, KVM_CREATE_VCPU, index)
            self.set_registers(vcpu, TEXT + start, DATA + 0x20000 + 0x1000 * index)
            self.vcpus.append(Vcpu(vcpu, fcntl.ioctl(self.kvm, KVM_GET_VCPU_MMAP_SIZE, 0), self.running))
        self.go()

    def slot(self, number_of, gpa, memory, flags=0, size=None):
        """Make, change or (with size 0) delete a memory slot."""
        size = memory.size if size is None else size
        fcntl.ioctl(self.vm, KVM_SET_USER_MEMORY_REGION, struct.pack("IIQQQ", number_of, flags, gpa, size, memory.at))

    @staticmethod
    def set_registers(vcpu, rip, rsp):
        """64-bit mode, ring 0."""
        sregs = bytearray(fcntl.ioctl(vcpu, KVM_GET_SREGS, bytes(312)))
        for index in range(6):  # cs, ds, es, fs, gs, ss
            code = index == 0
            segment = struct.pack("QIHBBBBBBBBBB", 0, 0xFFFFFFFF, 8 if code else 16, 11 if code else 3, 1, 0, not code, 1, code, 1, 0, 0, 0)
            sregs[24 * index : 24 * index + len(segment)] = segment
        # behind 8 segments and 2 descriptor tables: cr0, cr2, cr3, cr4, cr8, efer
        struct.pack_into("QQQQQQ", sregs, 8 * 24 + 2 * 16, 0x80050033, 0, 0x1000, 0x20, 0, 0x500)
        fcntl.ioctl(vcpu, KVM_SET_SREGS, bytes(sregs))
        registers = [0] * 18
        registers[6], registers[16], registers[17] = rsp, rip, 2
        fcntl.ioctl(vcpu, KVM_SET_REGS, struct.pack("18Q", *registers))

    def stop(self):
        """Stop the vCPUs."""
        self.running.clear()
        for vcpu in self.vcpus:
            vcpu.stop()

    def go(self):
        """Let the vCPUs run (again)."""
        for vcpu in self.vcpus:
            vcpu.state[IMMEDIATE_EXIT] = 0
        self.running.set()

    def sites(self):
        """Are the bytes at the sites the guest's own?"""
        return all(self.text.bytes[at : at + len(SITE)] == SITE for at in SITES_AT)

    def count(self):
        """How often the first vCPU has gone round."""
        return struct.unpack_from("<Q", self.ram.bytes, COUNT_AT)[0]

    def delete(self):
        """The text's slot goes."""
        self.slot(1, TEXT_GPA, self.text, size=0)

    def read_only(self):
        """The guest must not write to its text any more."""
        self.slot(1, TEXT_GPA, self.text, KVM_MEM_READONLY)

    def restore(self):
        """The text's slot is there again."""
        self.slot(1, TEXT_GPA, self.text)

    def cover(self):
        """A breakpoint is put over the first site, as a debugger does."""
        self.covered = self.text.bytes[SITES_AT[0]]
        self.text.bytes[SITES_AT[0]] = INT3

    def uncover(self):
        """It goes."""
        self.text.bytes[SITES_AT[0]] = self.covered

    def withhold(self):
        """The text goes, and nobody answers for it."""
        self.userfault = libc.syscall(SYS_USERFAULTFD, os.O_CLOEXEC)
        fcntl.ioctl(self.userfault, UFFDIO_API, struct.pack("QQQ", 0xAA, 0, 0))
        fcntl.ioctl(self.userfault, UFFDIO_REGISTER, struct.pack("QQQQ", self.text.at, self.text.size, 1, 0))
        return libc.madvise(ctypes.c_void_p(self.text.at), ctypes.c_size_t(self.text.size), MADV_DONTNEED)


class TinyVmm:
    """The same as a process of its own, which is ended when it is not needed any more."""

    def __init__(self, log):
        command = [sys.executable, "-m", "labkit.tiny_vmm"]
        with open(log, "ab") as errors:
            self.process = subprocess.Popen(
                command, cwd=Path(__file__).parents[1], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, text=True
            )
        self.pid = self.process.pid
        self.answer()

    def answer(self):
        """One line of its output."""
        return self.process.stdout.readline().strip()

    def ask(self, commands):
        """Have methods called; returns the last result as text."""
        result = None
        for command in commands.split():
            self.process.stdin.write(f"{command}\n")
            self.process.stdin.flush()
            result = self.answer()
        return result

    def lives(self):
        """Whether its guest goes on."""
        before = int(self.ask("count"))
        time.sleep(1)
        return int(self.ask("count")) > before

    def kill(self):
        """End it."""
        self.process.kill()
        self.process.wait()


def main():
    """Run the machine and do as told."""
    tiny = Tiny()
    print("ready", flush=True)
    for line in sys.stdin:
        print(getattr(tiny, line.strip())(), flush=True)


if __name__ == "__main__":
    main()
