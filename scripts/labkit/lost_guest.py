# SPDX-License-Identifier: GPL-2.0-or-later
"""Guests that the emulator has lost: it put the host's own registers where it should have saved theirs."""

import re
import subprocess
import time
from pathlib import Path

TRACING = Path("/sys/kernel/tracing")
EXITS = TRACING / "events/kvm/kvm_exit"
# A guest that has faulted three times over: VMEXIT_SHUTDOWN (AMD APM 2, appendix C) of an exit by SVM (KVM_ISA_SVM).
SHUTDOWN = "isa == 2 && exit_reason == 0x7f"
FUNCTION = "__svm_vcpu_run"
MESSAGE = "labkit: the instruction pointer of a guest leads into the host's"
# A page fault (vector 14, with an error code) of a kernel that could not fetch (AMD APM 2, 8.4.2: bit 4) from where kernels have their code.
FETCHES = re.compile(r" rip 0xffffffff[89ab][0-9a-f]{7} .* intr_info 0x80000b0e error_code 0x00000010")
FETCH_MESSAGE = "labkit: a guest could not fetch its kernel's code"


def watch():
    """From now on keep in mind where guests are when they end by a fault."""
    if not (TRACING / "events").exists():
        subprocess.run(["mount", "-t", "tracefs", "tracefs", TRACING], check=False)
    if EXITS.exists():
        (EXITS / "filter").write_text(SHUTDOWN)
        (EXITS / "enable").write_text("1")


def look():
    """If there is such a guest, say so in the host's kernel log, where host.emulator_failed() looks for it, and return True.

    Seen with QEMU 10.0 and 11.1 now and then: an exit from the guest that comes while VMRUN is at work saves what is still in the
    registers, so that the guest goes on at the host's VMRUN with the host's page tables, and faults there: for ever, or until the
    third fault ends it. Or it takes a page fault for the next instruction of its own kernel, which is there: with the module and without.
    """
    code = extent(Path("/proc/kallsyms").read_text(), FUNCTION)
    lost = code and any(rip in code for rip in guest_pointers())
    if lost:
        Path("/dev/kmsg").write_text(f"<3>{MESSAGE} {FUNCTION}\n")
    unfetched = any(FETCHES.search(line) for line in faults())
    if unfetched:
        Path("/dev/kmsg").write_text(f"<3>{FETCH_MESSAGE}\n")
    return bool(lost or unfetched)


def extent(kallsyms, name):
    """The addresses from a symbol to the next one, as a range; None if there is no such symbol."""
    addresses = sorted({int(line.split()[0], 16) for line in kallsyms.splitlines()})
    start = next((int(line.split()[0], 16) for line in kallsyms.splitlines() if line.split()[2] == name), None)
    return start and range(start, next((one for one in addresses if one > start), start))


def guest_pointers(seconds=0.3):
    """Where guests are when they exit, and where those were that ended by a fault, by KVM's own tracepoint."""
    if not EXITS.exists():
        return set()
    ended = pointers("\n".join(faults()))
    (EXITS / "filter").write_text("0")
    (EXITS / "enable").write_text("1")
    time.sleep(seconds)
    (EXITS / "enable").write_text("0")
    trace = (TRACING / "trace").read_text(errors="replace")
    watch()
    return ended | pointers(trace)


def pointers(trace):
    """The guests' instruction pointers in a trace of exits."""
    return {int(rip, 16) for rip in re.findall(r"kvm_exit: .* rip (0x[0-9a-f]+)", trace)}


def faults():
    """The trace's lines of guests that ended by a fault so far."""
    if not EXITS.exists():
        return []
    lines = (TRACING / "trace").read_text(errors="replace").splitlines()
    return [line.strip() for line in lines if "kvm_exit: " in line and " shutdown " in line]
