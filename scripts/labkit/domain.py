# SPDX-License-Identifier: GPL-2.0-or-later
"""A guest that libvirt runs in the lab host, controlled by virsh."""

import subprocess
import time
import xml.etree.ElementTree as ET
from pathlib import Path

from .base import run
from .guest import QUIET_APIC
from .guest_console import GuestConsole

FOLDER = Path("/var/lib/libvirt/images")
UEFI = Path("/usr/share/OVMF/OVMF_CODE_4M.fd")
QEMU = "http://libvirt.org/schemas/domain/qemu/1.0"


class Domain:
    """One domain, to be used as a labkit.guest.Guest.

    `boot`: {"kernel", "initrd"} or {"disks": [(file, format)], "uefi": bool}; files in FOLDER. A disk whose file is named as
    POOL:VOLUME is in a storage pool. `has_terminal`: its first serial port is its system's own, its view comes by the second.
    """

    def __init__(self, name, boot, out, cpus=2, memory=256, append="", has_terminal=False):
        self.name, self.boot, self.cpus, self.memory, self.append = name, boot, cpus, memory, append
        self.out = Path(out) / name
        self.out.mkdir(parents=True, exist_ok=True)
        self.log = Path(f"/var/log/libvirt/qemu/{name}-console.log")
        self.console = GuestConsole(self.log, self.out / f"{name}-console.log")
        self.terminal = Path(f"/var/log/libvirt/qemu/{name}-terminal.log") if has_terminal else None
        self.times = {"start": time.monotonic()}
        self.open_lists = ()

    def xml(self):
        """The domain as libvirt wants it."""
        ET.register_namespace("qemu", QEMU)
        domain = ET.Element("domain", type="kvm")
        for tag, text in (("name", self.name), ("memory", self.memory), ("vcpu", self.cpus)):
            ET.SubElement(domain, tag).text = str(text)
        domain.find("memory").set("unit", "MiB")
        system = ET.SubElement(domain, "os")
        ET.SubElement(system, "type", arch="x86_64", machine="q35" if self.boot.get("uefi") else "pc").text = "hvm"
        features = ET.SubElement(domain, "features")
        for feature in ("acpi", "apic"):
            ET.SubElement(features, feature)
        ET.SubElement(domain, "cpu", mode="host-passthrough")
        devices = ET.SubElement(domain, "devices")
        if "kernel" in self.boot:
            for tag in ("kernel", "initrd"):
                ET.SubElement(system, tag).text = str(self.boot[tag])
            line = f"console=ttyS0 quiet panic=-1 {self.append}".strip()
            ET.SubElement(system, "cmdline").text = line
        if self.boot.get("uefi"):
            ET.SubElement(system, "loader", readonly="yes", type="pflash").text = str(UEFI)
            ET.SubElement(system, "nvram", template=str(UEFI).replace("CODE", "VARS"))
        for number, (file, form) in enumerate(self.boot.get("disks", ())):
            pool, _, volume = str(file).rpartition(":")
            disk = ET.SubElement(devices, "disk", type="volume" if pool else "file", device="disk")
            ET.SubElement(disk, "driver", name="qemu", type=form)
            ET.SubElement(disk, "source", **({"pool": pool, "volume": volume} if pool else {"file": volume}))
            ET.SubElement(disk, "target", dev=f"vd{chr(97 + number)}", bus="virtio")
        # a system has the first one for itself
        for port in [self.terminal, self.log] if self.terminal else [self.log]:
            serial = ET.SubElement(devices, "serial", type="file")
            ET.SubElement(serial, "source", path=str(port))
        ET.SubElement(devices, "memballoon", model="none")
        options = ET.SubElement(domain, f"{{{QEMU}}}commandline")
        for value in QUIET_APIC:
            ET.SubElement(options, f"{{{QEMU}}}arg", value=value)
        return ET.tostring(domain, encoding="unicode")

    def _file(self):
        file = self.out / "domain.xml"
        file.write_text(self.xml())
        return file

    def define(self):
        """Make it known to libvirt; returns itself."""
        virsh("define", self._file())
        return self

    def start(self, *options):
        """Start the defined domain."""
        self._begin()
        virsh("start", self.name, *options)
        return self

    def create(self):
        """Start it without defining it: a transient domain."""
        self._begin()
        virsh("create", self._file())
        return self

    def restore(self, file):
        """Start it from what virsh has saved to a file."""
        self._begin()
        virsh("restore", file)
        return self

    def _begin(self):
        self.log.unlink(missing_ok=True)
        self.console = GuestConsole(self.log, self.out / f"{self.name}-console.log")
        self.times = {"start": time.monotonic()}

    def state(self):
        """What libvirt calls its state: running, paused, shut off; "gone" when libvirt has none of that name."""
        done = subprocess.run(["virsh", "domstate", self.name], capture_output=True, text=True, check=False)
        return done.stdout.strip() if done.returncode == 0 else "gone"

    def alive(self):
        """Whether it runs, or is paused."""
        return self.state() in ("running", "paused", "in shutdown")

    def up(self):
        """Whether it has done its work."""
        return self.console.said("LACUNA-GUEST READY")

    def wait_until(self, marker, seconds):
        """Wait for a line of the console (of the current boot); tells whether it came."""
        return self.console.wait_for(lambda console: console.said(marker), seconds)

    def do(self, verb, *words):
        """Another command of virsh about this domain."""
        return virsh(verb, self.name, *words)

    def kill(self):
        """End it at once and forget it; nothing happens if it is gone."""
        undefine = ("undefine", self.name, "--nvram", "--managed-save", "--snapshots-metadata")
        for words in (("destroy", self.name), undefine):
            subprocess.run(["virsh", "--quiet", *words], capture_output=True, check=False)
        self.console.poll()


def virsh(*words):
    """Run virsh; LabError with what it says when it fails."""
    return run(["virsh", "--quiet", *words])
