# SPDX-License-Identifier: GPL-2.0-or-later
"""This machine itself as the host: `scripts/lab boot --native`. Loads lacuna.ko into the running kernel."""

import os
import subprocess
import sys
from pathlib import Path

from .base import LabError, say
from .host import Host, follow
from .host_kernel import make_command

HERE = Path(__file__).resolve().parent
VENDOR_MODULES = ("kvm_amd", "kvm_intel")


class RunningKernel:
    """The kernel this machine runs, as labkit.host_kernel describes one."""

    def __init__(self):
        self.release = os.uname().release
        self.version = os.uname().version

    def make(self, folder, module, options):
        """The command that builds the kernel module in `folder`/`module` with these options for make."""
        headers = Path("/lib/modules") / self.release / "build"
        if not headers.exists():
            raise LabError(f"{headers} is missing: install linux-headers-{self.release}")
        return make_command(headers, folder / module, "gcc", options)


class Native:
    """Runs the agent right here. Refuses a machine that cannot do it, or whose Lacuna is in use."""

    SECONDS, SECONDS_PER_GUEST = Host.SECONDS, Host.SECONDS_PER_GUEST
    STARTUP_SECONDS = Host.STARTUP_SECONDS
    GUEST_MACHINE = Host.GUEST_MACHINE

    def __init__(self):
        if os.geteuid() != 0:
            raise LabError("--native loads a kernel module: run it as root")
        if not any((Path("/sys/module") / name).exists() for name in VENDOR_MODULES):
            raise LabError("--native needs hardware virtualisation: neither kvm_amd nor kvm_intel is loaded here")
        if Path("/sys/module/lacuna").exists():
            raise LabError("lacuna.ko is loaded and perhaps in use here: unload it first (rmmod lacuna)")
        self.kernel = RunningKernel()

    def guest_image(self, kernel):
        """The file to boot a guest kernel from."""
        return kernel.vmlinuz

    def run(self, out, timeout):
        """Run the job in `out`; of the kernel's log only what is new is kept."""
        say("running on this machine's own kernel")
        before = set(kernel_log().splitlines())
        progress = out / "agent.log"
        with open(progress, "wb") as log:
            agent = subprocess.Popen(
                [sys.executable, HERE / "agent.py", out], stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        try:
            follow(agent, progress, timeout)
        finally:
            agent.kill()
            agent.wait()
        (out / "host-console.log").write_text("")
        log = "\n".join(line for line in kernel_log().splitlines() if line not in before)
        (out / "host-dmesg.log").write_text(log)


def kernel_log():
    """What dmesg says."""
    return subprocess.run(["dmesg"], stdout=subprocess.PIPE, text=True, check=True).stdout
