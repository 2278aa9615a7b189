# SPDX-License-Identifier: GPL-2.0-or-later
"""What a lab guest says on its console (the protocol is described in tests/lab/guest/init.c)."""

import re
import time

VIEW = re.compile(r"^LACUNA-VIEW (\d+) BEGIN\n(.*?)^LACUNA-VIEW \1 END\n", re.M | re.S)
# /proc shows a worker thread as its comm, then + or - and its work (wq_worker_comm, kernel/workqueue.c).
# Rescuers ("kworker/R-...") have no colon and their dash is part of the comm.
KWORKER = re.compile(r"^(kworker/[^:]+:\d+[A-Z]*)[-+].*$")
COMM_LENGTH = 15


def plain_comm(comm, kind):
    """A process's comm as task_struct holds it: /proc shows kernel threads' full names and workers' work."""
    return KWORKER.sub(r"\1", comm)[:COMM_LENGTH] if kind == "kernel" else comm


def parse_view(body):
    """{"processes": [...], "modules": [...]}, sorted, "code": {pid: [start, end]}, and "threads": [[tid, comm]], from the lines of one view."""
    processes = re.findall(r"^P (\d+) (user|kernel) (.*)$", body, re.M)
    modules = re.findall(r"^M (\S+) (\S+)$", body, re.M)
    threads = re.findall(r"^T (\d+) (.*)$", body, re.M)
    code = re.findall(r"^C (\d+) (\S+) (\S+)$", body, re.M)
    return {
        "processes": sorted([int(pid), kind, plain_comm(comm, kind)] for pid, kind, comm in processes),
        "modules": sorted([name, int(address, 16)] for name, address in modules),
        "threads": [[int(tid), comm] for tid, comm in threads],
        "code": {int(pid): [int(start, 16), int(end, 16)] for pid, start, end in code},
    }


class GuestConsole:
    """The console's log file, read as it grows and copied to another one."""

    def __init__(self, file, copy):
        self.file, self.copy = file, copy
        copy.write_text("")
        self.text = ""
        self._offset = 0

    def poll(self):
        """Read what is new and return it."""
        if not self.file.exists():
            return ""
        with open(self.file, "rb") as stream:
            stream.seek(self._offset)
            data = stream.read()
        # Stop at a line's end: a character of several bytes, or a line, may still be on its way.
        data = data[: data.rfind(b"\n") + 1]
        self._offset += len(data)
        new = data.decode(errors="replace").replace("\r", "")
        self.text += new
        with open(self.copy, "a", encoding="utf-8") as copy:
            copy.write(new)
        return new

    def views(self):
        """[(number, view)] of the current boot, oldest first."""
        return [(int(number), parse_view(body)) for number, body in VIEW.findall(self.current_boot())]

    def current_boot(self):
        """The text since the guest's init last started: a guest that is reset prints all of it again."""
        return self.text[max(self.text.rfind("LACUNA-GUEST INIT"), 0) :]

    def said(self, marker):
        """Whether the current boot has printed that line."""
        return re.search(rf"^{re.escape(marker)}$", self.current_boot(), re.M) is not None

    def wait_for(self, condition, seconds, alive=lambda: True):
        """Poll until condition(self) holds; False after `seconds`, or when the guest has died."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self.poll()
            if condition(self):
                return True
            if not alive():
                return False
            time.sleep(0.1)
        return False
