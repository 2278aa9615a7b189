# SPDX-License-Identifier: GPL-2.0-or-later
"""A KVM guest in the lab host: starting QEMU, talking QMP to it, ending it."""

import json
import re
import shutil
import socket
import subprocess
import threading
import time
from pathlib import Path

from .base import LabError
from .guest_console import GuestConsole

RUN = Path("/run/lab")
# Otherwise QEMU now and then writes all of a vCPU's registers back: KVM then hands VMRUN a busy task register, at
# which the emulated machine aborts ("invalid tss type") when a 32-bit guest enters its kernel.
QUIET_APIC = ("-global", "kvm-apic.vapic=off")
# Of QEMU's ShutdownCause (qapi/run-state.json) what is told apart here. With -no-reboot a fault ends a guest as a reset does.
SHUTDOWN_CAUSES = {2: "quit by QMP", 4: "a signal", 6: "the guest's power-off", 7: "a reset by the guest, or a triple fault"}
# What a system finds on a virtual machine besides its disk, and has drivers for.
DEVICES = ("-device", "virtio-net-pci", "-device", "virtio-rng-pci")


class Guest:
    """One guest; `job` has its name, results folder (below `out`), cpus, and what it boots.

    That is a kernel with initrd and append and perhaps a disk, or a floppy, or nothing. With a "prompt" in it the first serial
    port is the system's own, where that is awaited, and the guest's view comes by the second one. `incoming`: where a guest comes from that is migrated to
    this one, as QEMU's option of that name.
    """

    def __init__(self, job, out, append="", reboots=False, incoming=None):
        self.name, self.job, self.append, self.reboots, self.incoming = job["name"], job, append, reboots, incoming
        self.out = Path(out) / job["folder"]
        self.process = None
        self.console = None
        self.times = {}
        self.ended = threading.Event()
        self.open_lists = job.get("open_lists", ())

    def command(self):
        """QEMU's command line."""
        machine = f"-machine {self.job['machine']} -accel {self.job.get('accel', 'kvm')} -cpu host -m {self.job.get('memory', 512)}"
        machine += " -nodefaults -display none"
        command = ["qemu-system-x86_64", "-name", f"guest={self.name}", *machine.split(), *QUIET_APIC]
        # A package each: the firmware's MP table, all that a kernel without ACPI has, names one processor of a package.
        command += ["-smp", "{0},sockets={0}".format(self.job["cpus"])]
        command += [] if self.reboots else ["-no-reboot"]
        command += self._boot()
        if self.job.get("prompt"):
            command += ["-serial", f"file:{RUN}/{self.name}.terminal", *DEVICES]
        command += ["-serial", f"file:{RUN}/{self.name}.console"]
        command += ["-qmp", f"unix:{RUN}/{self.name}.qmp,server=on,wait=off"]
        # Into its log: why it ends, and, where the guest may reboot, what its vCPUs were at then.
        command += ["-trace", "qemu_system_shutdown_request", "-d", "cpu_reset"]
        command += ["-incoming", self.incoming] if self.incoming else []
        return command

    def _boot(self):
        if self.job.get("floppy"):
            return ["-drive", f"file={self.job['floppy']},format=raw,if=floppy,readonly=on"]
        if not self.job["kernel"]:
            return []
        append = f"console=ttyS0 quiet panic=-1 {self.job['append']} {self.append}".strip()
        command = ["-kernel", self.job["kernel"], "-append", append]
        command += ["-initrd", self.job["initrd"]] if self.job["initrd"] else []
        if self.job.get("disk"):
            snapshot = "off" if self.job.get("writes_disk") else "on"
            command += ["-drive", f"file={self.job['disk']},format=raw,if=virtio,snapshot={snapshot}"]
        return command

    def start(self):
        """Start QEMU; the console is kept on tmpfs, since QEMU writes each character by itself."""
        RUN.mkdir(exist_ok=True)
        self.out.mkdir(parents=True, exist_ok=True)
        (RUN / f"{self.name}.console").unlink(missing_ok=True)  # of an earlier guest of that name
        self.console = GuestConsole(RUN / f"{self.name}.console", self.out / f"{self.name}-console.log")
        if self.job.get("prompt"):
            terminal = RUN / f"{self.name}.terminal"
            terminal.unlink(missing_ok=True)
            threading.Thread(target=self._watch_terminal, args=[terminal], daemon=True).start()
        with open(self.out / f"{self.name}-qemu.log", "wb") as log:
            self.process = subprocess.Popen(
                self.command(), stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=self.environment()
            )
        self.times["start"] = time.monotonic()

    def environment(self):
        """QEMU's; None: this process's."""
        return None

    def _watch_terminal(self, terminal):
        """Note when somebody could log in first. A prompt is no whole line, so that this is no GuestConsole."""
        while not self.ended.wait(0.1):
            if terminal.exists() and re.search(self.job["prompt"], terminal.read_text(errors="replace")):
                self.times["prompt"] = time.monotonic()
                return

    def alive(self):
        """Whether its QEMU still runs."""
        return self.process.poll() is None

    def end_reason(self):
        """Why QEMU says it has ended."""
        asked = re.findall(r"qemu_system_shutdown_request reason=(\d+)", (self.out / f"{self.name}-qemu.log").read_text(errors="replace"))
        return SHUTDOWN_CAUSES.get(int(asked[-1]), f"cause {asked[-1]}") if asked else "nobody asked it to"

    def up(self):
        """Whether it has done its work, and, if it lets people log in, has asked them to."""
        return self.console.said("LACUNA-GUEST READY") and ("prompt" in self.times or not self.job.get("prompt"))

    def wait_until(self, marker, seconds):
        """Wait for a line of the console (of the current boot); tells whether it came."""
        return self.console.wait_for(lambda console: console.said(marker), seconds, self.alive)

    def qmp(self, command, **arguments):
        """Give QEMU one command and return its answer."""
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(str(RUN / f"{self.name}.qmp"))
            connection.settimeout(60)
            stream = connection.makefile("rw", encoding="utf-8")
            stream.readline()
            for request in ({"execute": "qmp_capabilities"}, {"execute": command, "arguments": arguments}):
                stream.write(json.dumps(request) + "\n")
                stream.flush()
                answer = self._answer(stream)
        if "error" in answer:
            raise LabError(f"QEMU of {self.name} refused {command}: {answer['error']['desc']}")
        return answer["return"]

    @staticmethod
    def _answer(stream):
        for line in stream:
            answer = json.loads(line)
            if "event" not in answer:
                return answer
        raise LabError("QEMU closed its QMP connection")

    def migrate(self, uri, seconds=120):
        """Send all of the guest somewhere while it runs, and stop it; to a file that is what `virsh save` does."""
        self.qmp("migrate", uri=uri)
        end, status = time.monotonic() + seconds, None
        while status != "completed":
            status = self.qmp("query-migrate").get("status")
            if status == "failed" or time.monotonic() > end:
                raise LabError(f"{self.name} could not be migrated: {status}")
            time.sleep(0.2)

    def kill(self):
        """End QEMU at once."""
        if self.process:
            self.process.kill()
            self.process.wait()
            self.ended.set()
            self.console.poll()
            if self.job.get("prompt"):
                shutil.copyfile(RUN / f"{self.name}.terminal", self.out / f"{self.name}-terminal.log")
