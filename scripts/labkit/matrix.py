# SPDX-License-Identifier: GPL-2.0-or-later
"""Many boots, one table: kernels in configurations, each with a lab host of its own."""

import concurrent.futures
import json
import re
import subprocess
import sys

from . import guest_system
from .base import REPOSITORY, LabError, say
from .judge import VERDICTS
from .kernel_build import BUILT, BuiltKernel, known
from .kernel_package import KernelPackage, series

LAB = REPOSITORY / "scripts/lab"
LAB_FAILED = 3
# What an entry may add to its kernel: arguments of the guest's kernel, or options of `scripts/lab boot`.
ARGUMENTS = {
    "pti": "pti=on",
    "nopti": "pti=off",
    "no5lvl": "no5lvl",
    "nosmp": "nosmp",
    "mitigations-off": "mitigations=off",
    "nokaslr": "nokaslr",
}
OPTIONS = {
    "1cpu": ("--cpus", "1"),
    "3cpus": ("--cpus", "3"),
    "4cpus": ("--cpus", "4"),
    "la57": ("--la57",),
    "no5lvl": ("--la57",),
    "intel": ("--cpu-vendor", "intel", "--cpus", "1"),
    "host-6.12": ("--host-kernel", "bookworm-backports"),
    "host-newest": ("--host-kernel", "trixie-backports"),
}
FLAVOURS = ("amd64", "cloud-amd64", "rt-amd64")
# What marks a guest system: as a kernel's name it is run with its own, as a configuration with that kernel.
SYSTEM = "os:"
OPTIONS |= {f"{SYSTEM}{name}": ("--guest-os", name) for name in guest_system.SYSTEMS}
# The suites with the kernel series that are theirs: the newer ones.
SUITES = (
    ("bullseye", (5, 10)),
    ("bookworm", (6, 1)),
    ("trixie", (6, 12)),
    ("trixie-backports", (6, 13)),
    ("sid", (7, 0)),
)
NEWEST = "trixie-backports"
CONFIGURATIONS = tuple({**ARGUMENTS, **OPTIONS})
SHORT = (NEWEST, "os:debian12")
SHUFFLED = "randstruct-1"
COLUMNS = ("kernel", "configuration", *VERDICTS, "traps", "wasted", "hunt", "prompt", "seconds", "remark")
DEEP = "by looks"  # a column that is there if guests were looked at
LOOKS_SECONDS = 900


def long_list():
    """Every series and flavour, the 32-bit kernels, all guest systems, and all configurations on an old and a new kernel."""
    kernels = [
        f"{suite}:{number[0]}.{number[1]}-{flavour}"
        for suite, since in SUITES
        for number in series(suite)
        if number >= since
        for flavour in FLAVOURS
    ]
    configured = [f"{kernel}@{name}" for kernel in ("bookworm", NEWEST) for name in CONFIGURATIONS if not name.startswith(SYSTEM)]
    systems = [f"{SYSTEM}{name}" for name in guest_system.SYSTEMS]
    built = [f"{BUILT}{name}" for name, how in known().items() if "host" not in how]
    # QEMU's emulated nesting does not carry 32-bit guests with PAE; Bochs does.
    with_pae = [f"{suite}:686-pae@intel" for suite in ("bullseye", "bookworm")]
    return [*kernels, "bullseye:686", "bookworm:686", *with_pae, *built, *systems, *configured]


def short_list():
    """One kernel of each kind; what is built here, only if it is built already, since that takes minutes."""
    return [*SHORT, f"{BUILT}{SHUFFLED}"] if BuiltKernel(SHUFFLED).is_built() else SHORT


class Entry:
    """A text such as bookworm:rt-amd64@4cpus@pti: a kernel (see KernelPackage) or os: and a guest system, and its configuration."""

    def __init__(self, text):
        self.text = text
        self.kernel, *self.configuration = text.split("@")
        for name in self.configuration:
            if name not in CONFIGURATIONS:
                raise LabError(f"no configuration {name} in {text}: one of {', '.join(CONFIGURATIONS)}")

    def find(self):
        """Find out whether there are such a kernel and guest system; LabError if not."""
        if self.kernel.startswith(SYSTEM):
            find(guest_system.choose(self.kernel.removeprefix(SYSTEM)).kernel)
        else:
            find(self.kernel)

    def command(self, out, options):
        """The command line that boots it."""
        command = [sys.executable, LAB, "boot", "--build", options.build]
        command += OPTIONS[self.kernel] if self.kernel.startswith(SYSTEM) else ("--guest-kernel", self.kernel)
        command += ["--append", " ".join(ARGUMENTS[name] for name in self.configuration if name in ARGUMENTS)]
        for name in self.configuration:
            command += OPTIONS.get(name, ())
        command += ["--record"] if options.record else []
        command += ["--looks", "--timeout", str(LOOKS_SECONDS)] if options.looks else []
        return [*command, "--out", out]

    def run(self, options):
        """Boot it, a second time if the lab failed; returns its row of the table."""
        folder = options.out.resolve()
        out = folder / re.sub(r"[^\w.+-]", "-", self.text)
        for attempt in (1, 2):
            with open(folder / f"{out.name}.log", "wb") as log:
                command = self.command(out, options)
                code = subprocess.call(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
            if code < LAB_FAILED:
                break
        say(f"{self.text}: exit code {code}{' at the second attempt' if attempt == 2 else ''}")
        return self.row(out, code, attempt)

    def row(self, out, code, attempts):
        """What came out, from the files in its folder."""
        system = [self.kernel] if self.kernel.startswith(SYSTEM) else []
        row = {"entry": self.text, "kernel": self.kernel, "configuration": " ".join([*system, *self.configuration])}
        row |= {"code": code, "attempts": attempts, "results": out.name}
        if code >= LAB_FAILED:
            return {**row, "remark": f"the lab failed: {last_line(out.parent / f'{out.name}.log')}"}
        verdict, stats, result, times = (load(out / f"{name}.json") for name in ("verdict", "stats", "result", "times"))
        if looked := load(out / "deep-verdict.json"):
            row[DEEP] = in_short(looked)
        release = load(out / "profile.json").get("kernel", {}).get("release", self.kernel)
        row |= {"kernel": release, **{name: verdict[name] for name in VERDICTS}}
        row |= {"traps": stats.get("traps_total"), "wasted": sum(stats.get("wasted", {}).values())}
        row |= {"seconds": result["seconds"]["guest1"].get("ready")}
        row |= {name: round(times[name], 1) for name in ("hunt", "prompt") if times.get(name)}
        members = verdict["members"].items()
        open_members = [name for name, member in members if member["verdict"] != "right" and not member.get("may_be_open")]
        open_members += [f"{name} tied" for name, member in members if "tie" in member and member["verdict"] == "right"]
        failed = [check["check"] for check in result["checks"] if not check["ok"]]
        return {**row, "remark": "; ".join([", ".join(open_members), *failed]).strip("; ")}


def in_short(verdict):
    """A verdict on what a look has taught, as a cell."""
    tied = sum("tie" in member and member["verdict"] == "right" for member in verdict["members"].values())
    left = sum(verdict[name] for name in VERDICTS) - verdict["right"] - verdict["wrong"]
    return f"{verdict['right'] - tied} right, {tied} tied, {left} open, {verdict['wrong']} wrong"


def find(kernel):
    """Find out whether there is such a kernel; LabError if not."""
    if kernel.startswith(BUILT):
        return BuiltKernel(kernel.removeprefix(BUILT))
    return KernelPackage(kernel)


def load(file):
    """A result, {} when it is not there."""
    return json.loads(file.read_text()) if file.exists() else {}


def last_line(log):
    """What a failed run said last."""
    return (log.read_text(errors="replace").strip().splitlines() or ["nothing"])[-1]


def matrix(options):
    """Do what `scripts/lab matrix` was asked for; returns the worst exit code."""
    texts = options.kernels or (short_list() if options.short else long_list())
    entries = [Entry(text) for text in texts]
    for entry in entries:
        entry.find()  # what is not there shall be told now
    folder = options.out.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    say(f"{len(entries)} boots, {options.jobs} at a time")
    with concurrent.futures.ThreadPoolExecutor(options.jobs) as pool:
        rows = list(pool.map(lambda entry: entry.run(options), entries))
    (folder / "matrix.json").write_text(json.dumps(rows, indent=1))
    (folder / "matrix.md").write_text(markdown(rows))
    print(plain(rows))
    return max(row["code"] for row in rows)


def table(rows):
    """The rows as texts, with the columns' names first."""
    names = [name for name in (*COLUMNS[:-1], DEEP, COLUMNS[-1]) if name != DEEP or any(DEEP in row for row in rows)]
    return [names, *([str(cell) if (cell := row.get(name)) not in (None, "") else "-" for name in names] for row in rows)]


def plain(rows):
    """The table for the terminal."""
    lines = table(rows)
    widths = [max(map(len, column)) for column in zip(*lines)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths)).rstrip() for line in lines
    )


def markdown(rows):
    """The table for the documentation."""
    names, *rest = table(rows)
    lines = [names, ["---"] * len(names), *rest]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)
