# SPDX-License-Identifier: GPL-2.0-or-later
"""gdb at the QEMU of a guest that runs, with the file that `lacunactl export --format elf` writes for it."""

import re

from .base import run

FIRST = [["0", "swapper/0"], ["1", "init"]]


def tasks(file, target):
    """[pid, comm] of the first task and of the one behind it, as gdb reads them; `target`: where its QEMU awaits it."""
    start = "(long)&((struct task_struct *)0)->tasks"
    both = "init_task", f"(*(struct task_struct *)((long)init_task.tasks.next - {start}))"
    commands = [f"target remote {target}", *(f'printf "%d %s\\n", {task}.pid, {task}.comm' for task in both), "detach"]
    told = run(["gdb", "-batch", "-nx", file, *(word for command in commands for word in ("-ex", command))])
    return [line.split() for line in told.splitlines() if re.fullmatch(r"\d+ \S+", line)]
