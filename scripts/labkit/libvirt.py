# SPDX-License-Identifier: GPL-2.0-or-later
"""The lab's command libvirt: a host with libvirt on which Lacuna's packages are installed, and guests that virsh starts."""

import json

from . import guest_disk, guest_initrd, guest_kernel, guest_system, module, packager, show
from .base import BUILD, LabError, say
from .boot import built, clear, judge_guest, read_result, run_host
from .debian import this_release
from .emulator import Emulator
from .host_kernel import HostKernel
from .kernel_package import KernelPackage
from .operator_host import OperatorHost
from .operator_root import OperatorRoot
from .operator_trial import STEPS
from .truth import truth_of

KERNELS = {"first": "bookworm", "second": "trixie"}


def libvirt(options):
    """Do what `scripts/lab libvirt` was asked for; returns the exit code."""
    out = options.out.resolve()
    clear(out)
    steps = chosen(options.steps)
    suite = options.host_suite or (this_release() if this_release() in packager.SUITES else packager.SUITES[0])
    own = suite == this_release()
    packages = options.packages or (BUILD if own else packager.folder(suite)) / "packages"
    debs = sorted(packages.resolve().glob("*.deb"))
    if not debs:
        raise LabError(f"no packages in {packages}: make them with scripts/package{'' if own else f' --suite {suite}'}")
    kernel = HostKernel(suite)
    dkms = options.dkms
    # Building the module takes an emulated machine long: unless that is to be seen it is loaded as a file.
    debs = [deb for deb in debs if dkms or "dkms" not in deb.name]
    kernels = {name: guest_kernel.from_package(KernelPackage(choice)) for name, choice in KERNELS.items()}
    more = [f"linux-headers-{kernel.release}"] if dkms else []
    more += ["gdb"] if "gdb" in steps else []
    host = OperatorHost(Emulator(), kernel, OperatorRoot(suite, kernel, debs, more))
    job = {
        "scenario": "operator",
        "steps": steps,
        "debs": debs,
        "module": None if dkms else module.build(kernel),
        "cr8_module": module.build(kernel, module.CR8_MODULE) if "uefi" in steps else None,
        "kernels": {
            name: {"kernel": one.vmlinuz, "initrd": guest_initrd.initrd(one)} for name, one in kernels.items()
        },
        "disks": guest_disk.disks(kernels["first"], guest_initrd.initrd(kernels["first"])),
        "debian": debian_disk(kernels["first"]) if "debian" in steps else None,
        "record": False,
        "many": options.many,
        "guests": [],
        "timeout": options.timeout or host.SECONDS,
    }
    (out / "job.json").write_text(json.dumps(job, indent=1, default=str))
    run_host(host, out, job["timeout"] + host.STARTUP_SECONDS)
    result = read_result(out)
    codes = [check["code"] for check in result["checks"]]
    tool = built(options.build, "tests/btf_truth")
    truths = {one.release: truth_of(one, tool) for one in kernels.values()}
    for profile in sorted(out.glob("*/profile.json")):
        release = json.loads(profile.read_text())["kernel"]["release"]
        codes.append(judge_guest(profile.parent, truths[release]))
        if options.show:
            show.show(profile.parent)
    code = max(codes, default=3)
    say(f"results are in {out}, exit code {code}")
    return code


def debian_disk(kernel):
    """The disk of an installed Debian with this kernel."""
    return guest_disk.of_root(guest_system.choose("initramfs-tools").make(kernel)["disk"]) / "debian.raw"


def chosen(names):
    """The steps to do, in their order: installing comes first in any case."""
    for name in names or ():
        if name not in STEPS:
            raise LabError(f"no step {name}: one of {', '.join(STEPS)}")
    wanted = {"install", *(names or STEPS)}
    return [name for name in STEPS if name in wanted]
