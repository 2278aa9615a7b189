# SPDX-License-Identifier: GPL-2.0-or-later
"""The true offsets of a guest's kernel: from its BTF, or compiled against its headers where it has none."""

import json
import re
import shutil

from . import cache, guest_kernel
from .base import REPOSITORY, LabError, plain_environment, run, say
from .kernel_headers import headers

SOURCE = REPOSITORY / "tests/lab/truth"
STRUCTURES = ("task_struct", "mm_struct", "module")
OFFSET = re.compile(r"->(\w+)\.(\w+) \$?(-?\d+)")


def truth_of(kernel, btf_tool):
    """The truth about a GuestKernel; None about a mere file that has no BTF."""
    if kernel.truth:
        return kernel.truth
    if kernel.headers:
        return from_headers(kernel.headers)
    try:
        return from_btf(kernel.vmlinuz, btf_tool)
    except LabError:
        if kernel.debs:
            raise
        say("this kernel has no BTF, and no --headers were given: it is judged by its behaviour")
        return None


def from_btf(vmlinuz, tool):
    """The truth by the kernel's BTF."""
    hint = "no truth without BTF or headers: give the kernel's build folder with --headers"
    return json.loads(run([tool, vmlinuz], hint=hint))


def from_headers(build):
    """The truth by offsetof(), compiled against a kernel's build folder or its headers."""
    config, release = build / "include/generated/autoconf.h", build / "include/generated/utsrelease.h"
    if not config.is_file():
        raise LabError(f"{build} is neither a kernel's build folder nor its headers: {config} is missing")
    inputs = [str(build), cache.hash_files([SOURCE, config, release])]

    def make(folder):
        (folder / "truth.json").write_text(json.dumps(compiled(build, folder), indent=1))

    return json.loads((cache.folder("truth", inputs, make) / "truth.json").read_text())


def compiled(build, folder, tools=("CC=gcc",)):
    """The truth, compiled in `folder`; `tools` tells make of the compiler.

    The kernel's own build system does it, so that its flags and compiler plugins decide: RANDSTRUCT is one.
    """
    shutil.copytree(SOURCE, folder, dirs_exist_ok=True)
    run(
        ["make", "-C", build, f"M={folder}", *tools, "truth.s"],
        env=plain_environment(),
        hint="the truth cannot be compiled against this kernel's headers",
    )
    # of what the kernel does not have the compiler says nothing
    members = {"module": dict.fromkeys(("core_text_size", "module_core", "name"))}
    for structure, member, offset in OFFSET.findall((folder / "truth.s").read_text()):
        members.setdefault(structure, {})[member] = int(offset)
    if len(members) < len(STRUCTURES):
        raise LabError(f"of {', '.join(STRUCTURES)} the compiler has told only {', '.join(members)}: see {SOURCE}")
    return {"schema": "lacuna-truth/1", "source": "offsetof", "members": members}


def compare(package, btf_tool):
    """Print what a Debian kernel's headers say, and its BTF if it has any; returns the exit code."""
    told = [from_headers(headers(package))]
    if package.architecture == "amd64":
        told.append(from_btf(guest_kernel.from_package(package).vmlinuz, btf_tool))
    print(json.dumps(told, indent=1))
    if told[0]["members"] != told[-1]["members"]:
        say(f"the headers of {package.release} and its BTF do not agree")
        return 2
    return 0
