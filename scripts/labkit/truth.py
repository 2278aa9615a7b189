# SPDX-License-Identifier: GPL-2.0-or-later
"""The true offsets of a guest's kernel: from its BTF, or compiled against its headers where it has none."""

import json
import re
import shutil
import subprocess

from . import cache, guest_kernel
from .base import REPOSITORY, LabError, plain_environment, run, say
from .kernel_headers import GCC, headers

SOURCE = REPOSITORY / "tests/lab/truth"
NOT_COMPILED = "the truth cannot be compiled against this kernel's headers"
STRUCTURES = ("task_struct", "mm_struct", "module")
OFFSET = re.compile(r"->(\w+)\.(\S+) \$?(-?\d+)")
# The compiler on a line of list.h: there is no such member, or no header has the structure. (Where macros are not tracked, the line is ours.)
NO_MEMBER = re.compile(r"list\.h:(\d+):\d+: error: .* has no member named")
NO_STRUCTURE = re.compile(r"list\.h:(\d+):\d+: error: invalid use of undefined type")


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


def compiled(build, folder, tools=GCC):
    """The truth, compiled in `folder`; `tools` tells make of the compiler.

    The kernel's own build system does it, so that its flags and compiler plugins decide: RANDSTRUCT is one.
    """
    shutil.copytree(SOURCE, folder, dirs_exist_ok=True)
    run(assembling("truth", build, folder, *tools), env=plain_environment(), hint=NOT_COMPILED)
    # of what the kernel does not have the compiler says nothing
    members = {"module": dict.fromkeys(("core_text_size", "module_core", "name"))}
    for structure, member, offset in OFFSET.findall((folder / "truth.s").read_text()):
        members.setdefault(structure, {})[member] = int(offset)
    if len(members) < len(STRUCTURES):
        raise LabError(f"of {', '.join(STRUCTURES)} the compiler has told only {', '.join(members)}: see {SOURCE}")
    return {"schema": "lacuna-truth/1", "source": "offsetof", "members": members}


def assembling(source, build, folder, *options):
    """The command that makes SOURCE.s of what of tests/lab/truth has been copied into `folder`."""
    return ["make", "-C", build, f"M={folder}", *options, f"{source}.s"]


def members_by_headers(build, names, tools=GCC):
    """{"structure.member": its offset, None if the kernel has no such member}, but for those of structures that no header has."""
    inputs = [str(build), cache.hash_files([SOURCE, build / "include/generated/autoconf.h"]), sorted(names), tools]

    def make(folder):
        shutil.copytree(SOURCE, folder, dirs_exist_ok=True)
        (folder / "members.json").write_text(json.dumps(compiled_members(build, folder, sorted(names), tools), indent=1))

    return json.loads((cache.folder("truth-of-members", inputs, make) / "members.json").read_text())


def compiled_members(build, folder, names, tools):
    """The same, compiled in `folder`: first with all, then without those of which the compiler says that they are not there."""
    command = [*map(str, assembling("members", build, folder, *tools, "KCFLAGS=-ftrack-macro-expansion=0"))]
    absent, said = {}, ""
    for _ in range(2):
        (folder / "list.h").write_text("".join(f"MEMBER({name.replace('.', ', ', 1)})\n" for name in names))
        done = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL, env=plain_environment(), check=False)
        if done.returncode == 0:
            found = {f"{structure}.{member}": int(offset) for structure, member, offset in OFFSET.findall((folder / "members.s").read_text())}
            return found | absent
        said = done.stderr
        missing, unknown = ({names[int(line) - 1] for line in pattern.findall(said)} for pattern in (NO_MEMBER, NO_STRUCTURE))
        absent |= dict.fromkeys(missing)
        names = [name for name in names if name not in missing | unknown]
    raise LabError(f"{NOT_COMPILED}:\n{said[-2000:]}")


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
