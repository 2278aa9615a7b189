# SPDX-License-Identifier: GPL-2.0-or-later
"""For lacuna-drgn: the guest's processes as JSON, [[pid, comm, whether what its memory has at start_code is no page of zeroes]]."""

import json

from drgn.helpers.linux.mm import access_remote_vm

print(
    json.dumps(
        [
            [
                task.pid.value_(),
                task.comm.string_().decode(errors="replace"),
                bool(task.mm) and any(access_remote_vm(task.mm, task.mm.start_code, 64)),
            ]
            for task in tasks(prog)  # noqa: F821 (lacuna-drgn gives both)
        ]
    )
)
