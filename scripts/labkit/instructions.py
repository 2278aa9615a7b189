# SPDX-License-Identifier: GPL-2.0-or-later
"""How many instructions a guest itself executes until it is up: counted by an emulator, without a host and without Lacuna.

A share of a time says as much about the machine as about Lacuna, and here all is emulated. This one is a share of instructions: of what
the engine executes for the events of a recorded boot, and of what the same system executes in the same boot.
"""

import json
import lzma
import re
import subprocess
import sys
import time
from pathlib import Path

from . import cache
from .base import REPOSITORY, LabError, run, say
from .emulator import Emulator
from .guest import Guest

PLUGIN = REPOSITORY / "tests/lab/instructions/instructions.c"
PROCESSOR = "EPYC"
SECONDS = 900


class CountedGuest(Guest):
    """A guest that QEMU emulates, with the plugin in it."""

    emulator = None

    def start(self):
        """Start it with a plugin that has just been built, if none was."""
        self.emulator = Emulator()
        self.plugin = cache.folder("instructions", [cache.hash_files([PLUGIN])], build) / "instructions.so"
        super().start()

    def command(self):
        """QEMU's command line, of the lab's own emulator."""
        _, *words = super().command()
        words[words.index("kvm")], words[words.index("host")] = "tcg,thread=multi", PROCESSOR
        words = [f"{word},romfile=" if word == "virtio-net-pci" else word for word in words]  # the lab has no firmware for it
        return [*self.emulator.command(), *words, "-plugin", str(self.plugin), "-d", "plugin"]

    def environment(self):
        """That of the emulator."""
        return self.emulator.environment()

    def instructions(self):
        """As the plugin has said at the end."""
        log = (self.out / f"{self.name}-qemu.log").read_text(errors="replace")
        counted = re.search(r"^instructions (\d+)$", log, re.M)
        if not counted:
            raise LabError(f"the emulator has counted nothing: {log[-500:]}")
        return int(counted[1])


def build(folder):
    """Build the plugin."""
    run(["gcc", "-O2", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC", "-o", folder / "instructions.so", PLUGIN])


def guests_own(job, out):
    """Boot the guest of a job until it is up, and return how many instructions that took."""
    say("counting the guest's own instructions: it boots once more, without a host")
    guest = CountedGuest({**job, "name": f"{job['name']}-counted", "folder": "."}, out)
    guest.start()
    try:
        end = time.monotonic() + SECONDS
        while not guest.console.wait_for(lambda _: guest.up(), 0.5):
            if time.monotonic() > end or not guest.alive():
                raise LabError(f"the guest that is emulated did not come up: see {guest.name}-qemu.log in {out}")
        guest.qmp("quit")
        guest.process.wait(60)
    finally:
        guest.kill()
    return guest.instructions()


def of_engine(recording, build_folder):
    """How many the engine executes for the events of a recording, and for those at which a vCPU waits, by scripts/bench."""
    packed = recording.with_suffix(".xz")
    packed.write_bytes(lzma.compress(recording.read_bytes()))
    words = [sys.executable, REPOSITORY / "scripts/bench", "--engine-only", "--json", "--build", build_folder, packed]
    counted = subprocess.run(words, stdout=subprocess.PIPE, check=False, text=True)
    if counted.returncode:
        raise LabError("scripts/bench failed: see above")
    engine = json.loads(counted.stdout)[packed.stem]["engine"]
    return engine["instructions"], engine["instructions_at_traps"]


def count(job, out, build_folder):
    """Write instructions.json for the guest of a boot in `out`: its own, and, if that was recorded, the engine's and their share."""
    counts = {"guest": guests_own(job, out)}
    recording = Path(out) / "recording.bin"
    if recording.exists():
        counts["engine"], counts["engine at traps"] = of_engine(recording, build_folder)
        counts["share at traps"] = counts["engine at traps"] / counts["guest"]
    (Path(out) / "instructions.json").write_text(json.dumps(counts, indent=1))
    say(", ".join(f"{name} {value:.6f}" if isinstance(value, float) else f"{name} {value / 1e6:.1f} million instructions" for name, value in counts.items()))
