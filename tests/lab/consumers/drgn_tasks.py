# SPDX-License-Identifier: GPL-2.0-or-later
"""For lacuna-drgn: what it finds, as JSON.

tasks: [[pid, comm, whether what its memory has at start_code is no page of zeroes, null if this drgn cannot read it]]; modules: their
names, null where it is not known where they hang together.
"""

import json

from drgn import FaultError
from drgn.helpers.linux.mm import access_remote_vm
from drgn.helpers.linux.module import for_each_module


def has_code(task):
    """By its own page tables."""
    try:
        return bool(task.mm) and any(access_remote_vm(task.mm, task.mm.start_code, 64))
    except FaultError:
        return None


# prog and tasks() come from lacuna-drgn.
found = [[task.pid.value_(), task.comm.string_().decode(errors="replace"), has_code(task)] for task in tasks(prog)]  # noqa: F821
try:
    modules = [module.name.string_().decode() for module in for_each_module(prog)]  # noqa: F821
except (AttributeError, LookupError):
    modules = None
print(json.dumps({"tasks": found, "modules": modules}))
