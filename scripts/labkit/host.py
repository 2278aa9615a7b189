# SPDX-License-Identifier: GPL-2.0-or-later
"""The lab host: an emulated AMD machine whose root is this machine's own, read-only, under a tmpfs."""

import re
import subprocess
import time
from pathlib import Path

from . import cache, lost_guest
from .base import LabError, say
from .cpio import Archive
from .host_kernel import SHARES

HERE = Path(__file__).resolve().parent
BUSYBOX = Path("/bin/busybox")
# "Overflow: WARNING" is the boot's note that the emulated processor lacks a microcode (SRSO), not trouble.
# KASAN, lockdep, RCU and might_sleep() say BUG or WARNING, but not that lockdep has given up, nor what UBSAN finds.
WARNING_SIGNS = re.compile(
    r"(?<!Overflow: )WARNING:|BUG:|Oops|Call Trace|rcu: INFO|general protection|Kernel panic|"
    r"soft lockup|blocked for more than|"
    r"\[ BUG|locking correctness validator|non-static key|suspicious RCU usage|UBSAN:|ODEBUG:"
)

# A report of KCSAN, between two lines of "=" (kernel/kcsan/report.c); a module's functions stand in it with the module's name.
RACE = re.compile(r"^.*={50,}\n.*BUG: KCSAN: (?:(?!.*={50,}).*\n)+.*={50,}$", re.M)


class Host:
    """A lab host made of an emulator and a host kernel."""

    MODULES = (*SHARES, "kvm_amd")
    ARGUMENTS = ""
    SECONDS, SECONDS_PER_GUEST, STARTUP_SECONDS = 240, 60, 120
    ENDS_WITH = (0, -9)
    GUEST_MACHINE = "pc,vmport=off"
    INPUT = subprocess.PIPE  # of the emulator's monitor

    def __init__(self, emulator, kernel, memory="4G", la57=False):
        self.emulator, self.kernel, self.memory, self.la57 = emulator, kernel, memory, la57
        inputs = [str(kernel.root), self.MODULES, cache.hash_files([HERE / "host-init.sh", BUSYBOX])]
        self.initramfs = cache.folder("host-initramfs", inputs, self._pack) / "initramfs"

    def _pack(self, folder):
        if not BUSYBOX.exists():
            raise LabError("/bin/busybox (package busybox-static) is missing: run scripts/setup")
        archive, modules = Archive(), self.kernel.modules(self.MODULES)
        archive.console()
        for name in ("bin", "modules", "lower", "overlay", "root"):
            archive.folder(name)
        archive.file("bin/busybox", BUSYBOX.read_bytes(), 0o755)
        archive.file("init", (HERE / "host-init.sh").read_bytes(), 0o755)
        for name, content in modules:
            archive.file(f"modules/{name}", content)
        archive.file("modules/order", "".join(f"{name}\n" for name, _ in modules).encode())
        (folder / "initramfs").write_bytes(archive.bytes())

    def arguments(self):
        """The host kernel's command line."""
        # An oops ends it: what is left of a host goes on without the locks that were held, and would only be waited for.
        common = f"console=ttyS0 quiet loglevel=5 panic=-1 oops=panic LAB_AGENT={HERE / 'agent.py'}"
        return f"{common} {self.ARGUMENTS}".strip()

    def guest_image(self, kernel):
        """The file to boot a guest kernel from."""
        return kernel.vmlinuz

    def command(self, out):
        """The emulator's command line, with results shared in the folder `out`; it ends when the lab ends."""
        processor = "EPYC,+svm,+npt,+la57" if self.la57 else "EPYC,+svm,+npt"
        machine = f"-machine pc -accel tcg,thread=multi -cpu {processor} -smp 2 -nodefaults -display none"
        command = ["setpriv", "--pdeathsig", "KILL", *self.emulator.command(), *machine.split(), "-no-reboot"]
        command += ["-m", self.memory, "-kernel", self.boot_image(), "-initrd", self.initramfs]
        command += ["-append", self.arguments(), "-monitor", "stdio"]
        command += ["-serial", f"file:{out}/host-console.log"]
        for tag, share in self.shares(out).items():
            command += ["-virtfs", f"local,security_model=none,multidevs=remap,mount_tag={tag},{share}"]
        return command

    def boot_image(self):
        """The file that the emulator starts the host's kernel from."""
        return self.kernel.vmlinux

    def shares(self, out):
        """What the host sees of this machine: {tag: options of -virtfs}."""
        return {"root": "path=/,readonly=on", "out": f"path={out}"}

    def run(self, out, timeout):
        """Boot it, show the agent's progress, wait until it has powered off; LabError after `timeout` s."""
        say("starting the lab host")
        progress = out / "agent.log"
        for log in (progress, out / "host-console.log"):
            log.write_text("")
        with open(out / "emulator.log", "wb") as log:
            process = subprocess.Popen(
                [str(word) for word in self.command(out)],
                stdin=self.INPUT,
                stdout=log,
                stderr=log,
                env=self.emulator.environment(),
            )
        try:
            follow(process, progress, timeout)
        except LabError as problem:
            self.log_processors(process)
            end = "\n".join((out / "host-console.log").read_text(errors="replace").splitlines()[-20:])
            raise LabError(f"{problem}; where its processors were is in emulator.log; its console ends with:\n{end}") from None
        finally:
            process.kill()
            process.wait()
        if process.returncode not in self.ENDS_WITH:
            raise LabError(f"the emulator failed: {(out / 'emulator.log').read_text()}")


    def log_processors(self, process):
        """Have the emulator write into its log where the host's processors are and what interrupts they wait for.

        Twice: those that still run are elsewhere then.
        """
        if process.stdin and process.poll() is None:
            for _ in range(2):
                process.stdin.write(b"info registers -a\ninfo lapic 0\ninfo lapic 1\n")
                process.stdin.flush()
                time.sleep(2)


class DebugHost(Host):
    """One whose kernel watches itself (host_kernel.BuiltHostKernel), which takes its time."""

    # A watcher for data races looks eight times as often, and twice as long, as it does of itself (where there is none nobody reads this).
    ARGUMENTS = "kcsan.skip_watch=500 kcsan.udelay_task=200"
    SECONDS, SECONDS_PER_GUEST, STARTUP_SECONDS = 3 * Host.SECONDS, 3 * Host.SECONDS_PER_GUEST, 3 * Host.STARTUP_SECONDS

    def boot_image(self):
        """Packed: what the PVH entry does in 6.1 is checked by KASAN before that has any memory of its own."""
        return self.kernel.image


def follow(process, progress, timeout):
    """Show what the agent says in the file `progress` until the process ends; LabError after `timeout` s."""
    shown, end = 0, time.monotonic() + timeout
    while True:
        ended = process.poll() is not None
        lines = progress.read_text(errors="replace").split("\n")[:-1]
        for line in lines[shown:]:
            say(f"  host: {line}")
        shown = len(lines)
        if ended:
            return
        if time.monotonic() > end:
            raise LabError(f"the host was still at it after {timeout} s: see {progress} and host-console.log")
        time.sleep(0.2)


def emulator_failed(console, again=False):
    """Whether the emulator did what no processor does: once in some dozen boots, when an interrupt and an exit of a guest meet.

    A guest is lost (see lost_guest.py), or the host dies of an interrupt taken right behind VMRUN, with the guest's GS base
    still loaded. `again`: the run has been done again for it already.

    From the exit of the guest to STGI the global interrupt flag is clear, and a processor takes no interrupt (AMD APM 2,
    15.17). Where the guest's GS base leads nowhere in the host, the handler's first use of GS faults, and so does the handler
    of that fault, until the stack ends in error_entry() or exc_page_fault(); or the emulator takes what follows for a triple
    fault of the guest, and the scheduler finds the end of the stack overwritten: while KVM resets the vCPU, or when its thread goes
    back to its VMM. A stack that overflows by itself ends in the page that guards it (CONFIG_VMAP_STACK).
    """
    behind_vmrun = r"asm_(sysvec_\w+|common_interrupt)\+.*\n.*RIP: 0010:__svm_vcpu_run"
    without_gs = r"TASK stack guard page was hit(.*\n){1,5}.*RIP: 0010:(error_entry|(asm_)?exc_page_fault)\+"
    triple_fault = r"corrupted stack end detected(.*\n){1,30}.* shutdown_interception\+"
    signs = (behind_vmrun, without_gs, triple_fault, lost_guest.MESSAGE)
    if not again:  # a fault of ours could look like that: it does not come twice by chance
        overwritten = r"corrupted stack end detected.*\n.* Comm: qemu-system-x86 (.*\n){1,10}.* exit_to_user_mode_prepare\+"
        signs += (lost_guest.FETCH_MESSAGE, overwritten)
    return any(re.search(sign, console) for sign in signs)


def warnings(log):
    """The lines of a kernel log that tell of trouble; of data races only those that Lacuna has a part in, since the kernel has its own."""
    own = RACE.sub(lambda race: race[0] if "[lacuna]" in race[0] else "", log)
    return [line for line in own.splitlines() if WARNING_SIGNS.search(line)]
