# SPDX-License-Identifier: GPL-2.0-or-later
"""Debian systems in folders: installed by mmdebstrap, with a kernel that is unpacked, not installed."""

import shutil
from pathlib import Path

from .base import run
from .debian import date_checks, source
from .kernel_package import unpack_kernel

# Modules that a virtual machine has no use for: two fifths of all.
UNUSED = ("sound", "drivers/gpu", "drivers/media", "drivers/infiniband", "drivers/staging", "drivers/iio")
UNUSED += ("drivers/net/ethernet", "drivers/net/wireless")
# What nobody reads in a guest: it makes an initramfs large.
UNREAD = tuple(f"/usr/share/{part}/*" for part in ("doc", "man", "locale", "info", "lintian"))


# Releases in which /usr is merged by the installer, not by a package: with this mmdebstrap does the same.
UNMERGED, MERGE = ("bullseye",), "/usr/share/mmdebstrap/hooks/merged-usr/setup00.sh"
# For the keys of what is cached.
RECIPE = Path(__file__).read_text(encoding="utf-8")


def install(root, suites, packages, architecture="amd64", variant="apt", left_out=(), commands=()):
    """Install these packages and what they need of the first suite and its updates into the new folder `root`.

    `left_out`: patterns of files that are not unpacked. `commands`: of the shell, to be run when all is installed; $1 is the root.
    """
    options = ["--mode=root", f"--variant={variant}", "--format=directory", f"--architectures={architecture}"]
    options += ['--aptopt=APT::Install-Recommends "false"', "--dpkgopt=force-unsafe-io"]
    options += [f"--aptopt={setting}" for setting in date_checks()]
    # its programs for i386 run here without emulation
    options += ["--skip=check/qemu"] if architecture == "i386" else []
    options += [f"--setup-hook={MERGE}"] if suites[0] in UNMERGED else []
    options += [f"--dpkgopt=path-exclude={pattern}" for pattern in left_out]
    options += [f"--include={','.join(packages)}", *(f"--customize-hook={command}" for command in commands)]
    run(["mmdebstrap", "--quiet", *options, suites[0], root, *map(source, suites)])


def add_kernel(root, debs, unused=UNUSED):
    """Put the modules of the kernel in these packages where they belong below `root`; returns the kernel's image.

    Not installed but unpacked: the packages' scripts would make an initramfs, which takes long and is not booted.
    """
    unpacked = root.with_name(f"{root.name}-kernel")
    image, modules = unpack_kernel(debs, unpacked)
    kept = root.with_name(image.name)
    image.rename(kept)
    for part in unused:
        shutil.rmtree(modules / "kernel" / part, ignore_errors=True)
    target = root / "lib/modules" / modules.name
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.move(modules, target)
    shutil.rmtree(unpacked)
    run(["depmod", "--basedir", root, modules.name])
    return kept
