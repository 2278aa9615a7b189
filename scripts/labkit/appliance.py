# SPDX-License-Identifier: GPL-2.0-or-later
"""A kernel for libguestfs' appliance, on machines that have none in /boot (containers)."""

import os
import shutil
import subprocess
from pathlib import Path

from . import cache
from .base import LabError, run
from .host_kernel import HostKernel
from .kernel_package import unpack_kernel


def environment():
    """This process's environment with what libguestfs needs to know of the lab host's kernel (see supermin(1))."""
    kernel = HostKernel()

    def make(folder):
        image, modules = unpack_kernel(kernel.package.fetch(), folder / "unpacked")
        image.rename(folder / "vmlinuz")
        target = folder / "lib/modules" / kernel.release
        target.parent.mkdir(parents=True)
        modules.rename(target)
        shutil.rmtree(folder / "unpacked")
        run(["depmod", "-b", folder, kernel.release])

    folder = cache.folder("appliance-kernel", [kernel.release, kernel.version], make)
    try:  # supermin reads it even when it is told to look elsewhere
        Path("/lib/modules").mkdir(exist_ok=True)
    except OSError as error:
        raise LabError(f"/lib/modules, without which libguestfs does not start, cannot be made: {error}") from error
    return {
        **os.environ,
        "SUPERMIN_KERNEL": str(folder / "vmlinuz"),
        "SUPERMIN_KERNEL_VERSION": kernel.release,
        "SUPERMIN_MODULES": str(folder / "lib/modules" / kernel.release),
    }


def with_kernel(options):
    """Do what `scripts/lab with-appliance` was asked for; returns the command's exit code."""
    return subprocess.run(options.words, env=environment(), check=False).returncode
