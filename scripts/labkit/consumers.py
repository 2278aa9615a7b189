# SPDX-License-Identifier: GPL-2.0-or-later
"""VMI tools on a guest's memory with what Lacuna wrote for them, compared with what the guest said of itself.

The tools are not ours and not fetched here: folders with Volatility 3's sources and a built LibVMI are given.
"""

import base64
import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from . import full_isf
from .base import REPOSITORY, LabError, say
from .guest_console import COMM_LENGTH

SOURCES = REPOSITORY / "tests/lab/consumers"
SECONDS = 300  # for one run of a tool
# Plugins of Volatility, what of the guest's own word they are compared with besides, and the columns that may differ from what a
# full symbol file makes of them, since nobody has learned them: see docs/vmi-tools.md.
TIMES = ("Changed", "Modified", "Accessed")
UNKNOWN_FAMILIES = ("AF_NETLINK", "AF_PACKET", "AF_VSOCK")  # of whose sockets only what all have is known
PROCESSES, MODULES = ("processes", ("pid", "comm"), ("PID", "COMM")), ("modules", ("name",), ("Name",))
PLUGINS = {
    "linux.pslist.PsList": (PROCESSES, ()),
    "linux.pstree.PsTree": (PROCESSES, ()),
    "linux.psaux.PsAux": (PROCESSES, ()),
    "linux.envars.Envars": (None, ()),
    "linux.lsmod.Lsmod": (MODULES, ()),
    "linux.check_creds.Check_creds": (None, ()),
    "linux.library_list.LibraryList": (None, ()),
    "linux.elfs.Elfs": (None, ()),
    "linux.malfind.Malfind": (None, ()),
    "linux.proc.Maps": (None, ()),
    "linux.lsof.Lsof": (None, TIMES),
    "linux.sockstat.Sockstat": (None, ("NetNS",)),
    "linux.mountinfo.MountInfo": (None, ()),
    "linux.capabilities.Capabilities": (None, ()),
    "linux.bash.Bash": (None, ()),
}
DETECTED = ("linux.pslist.PsList", "linux.lsmod.Lsmod")  # tried without a configuration, too


class Trial:
    """Folders: of the results of `scripts/lab boot --keep-memory`, of the tools, and one to work in."""

    def __init__(self, results, build, scratch):
        self.results, self.build, self.scratch = results.resolve(), build.resolve(), scratch
        self.lacunactl = self.build / "daemon/lacunactl"
        self.memory, self.store = self.results / "memory.raw", self.results / "store-of-boot"
        if not self.memory.exists():
            raise LabError(f"{self.memory} is missing: boot with --keep-memory first")
        (facts,) = (json.loads(file.read_text()) for file in (self.store / "guests").glob("*.json"))
        self.guest, self.kernel = facts["name"], facts["kernel"]["id"]
        # The paths in what the daemon wrote are those of the lab host.
        self.isf = Path(self.export("isf", self.scratch / "isf" / "kernel.json"))
        self.outcomes = []

    def full_isf(self):
        """A file with all structures and symbols of the guest's kernel, by its BTF."""
        own = json.loads(Path(self.export("isf", self.scratch / "all" / "kernel.json", "--all-symbols")).read_text())
        symbols = {name: one["address"] for name, one in own["symbols"].items() if name != "phys_startup_64"}
        banner = base64.b64decode(own["symbols"]["linux_banner"]["constant_data"]).decode()
        (guest,) = json.loads((self.results / "job.json").read_text())["guests"]
        made = full_isf.full_isf(self.build / "tests/btf_truth", guest["kernel"], symbols, banner)
        file = self.scratch / "full" / "kernel.json"
        file.parent.mkdir()
        file.write_text(json.dumps(made))
        return file

    def export(self, form, file, *options):
        """What lacunactl says in that form, as a file."""
        file.parent.mkdir(exist_ok=True)
        name = self.kernel if form == "isf" else self.guest
        command = [self.lacunactl, "export", "--store", self.store, "--format", form, name, "--out", file, *options]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise LabError(f"lacunactl export failed: {done.stderr.strip()}")
        return file

    def told(self, part, keys):
        """What the guest said of itself."""
        view = json.loads((self.results / f"{part}.json").read_text())["guest"]
        return sorted(tuple(str(entry[key])[:COMM_LENGTH] if key == "comm" else str(entry[key]) for key in keys) for entry in view)

    def note(self, tool, what, verdict, detail=""):
        """One line of the table; a verdict that is no good counts."""
        self.outcomes.append((tool, what, verdict, detail))
        say(f"{tool:<12} {what:<34} {verdict:<7} {detail}")

    def compare(self, tool, what, found, told):
        """Found must be what the guest told."""
        more, less = sorted(set(found) - set(told)), sorted(set(told) - set(found))
        detail = f"{len(found)} entries" if not more and not less else f"only the tool: {more[:4]}, only the guest: {less[:4]}"
        self.note(tool, what, "works" if told and not more and not less else "WRONG", detail)


def run(command, cwd, home):
    """(exit code, what it printed) of a tool that sees no configuration of this machine's user."""
    environment = {**os.environ, "HOME": str(home), "SUDO_USER": "", "XDG_CONFIG_HOME": str(home), "XDG_CACHE_HOME": str(home)}
    try:
        done = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, errors="replace", timeout=SECONDS, check=False)
    except subprocess.TimeoutExpired:
        return None, "", f"did not end in {SECONDS} s"
    return done.returncode, done.stdout, done.stderr


def libvmi(trial, folder):
    """LibVMI's own examples: by the ISF alone, and by a libvmi.conf."""
    programs = {file.name: file for file in folder.rglob("vmi-*-list") if os.access(file, os.X_OK)}
    if not {"vmi-process-list", "vmi-module-list"} <= set(programs):
        raise LabError(f"{folder} holds no vmi-process-list and vmi-module-list: build LibVMI there")
    work = trial.scratch / "libvmi"
    work.mkdir()
    memory = work / trial.guest
    memory.symlink_to(trial.memory)
    processes = [("0", "swapper/0"), *trial.told("processes", ("pid", "comm"))]
    for what, options in (("process-list -j ISF", ["-j", trial.isf]), ("process-list, libvmi.conf", [])):
        if not options:
            trial.export("libvmi", work / "libvmi.conf")
        code, out, err = run([programs["vmi-process-list"], "-n", trial.guest, *options], work, work)
        found = [(pid, name) for pid, name in re.findall(r"^\[\s*(\d+)\] (.*?) \(struct addr", out, re.M)]
        if code:
            trial.note("LibVMI", what, "FAILS", (err or out).strip()[-120:])
        else:
            trial.compare("LibVMI", what, sorted(found), sorted(processes))
    _, out, _ = run([programs["vmi-module-list"], trial.guest], work, work)
    found = sorted((name,) for name in re.findall(r"^\s*([A-Za-z0-9_-]+)$", out, re.M))
    trial.compare("LibVMI", "module-list", found, trial.told("modules", ("name",)))
    page_tables(trial, folder, work)


def page_tables(trial, folder, work):
    """Whether LibVMI gets from each process to its page tables, by a small program of ours."""
    library, header = (next(folder.rglob(name), None) for name in ("libvmi.so", "libvmi/libvmi.h"))
    if not (library and header):
        raise LabError(f"{folder} holds no libvmi.so with its header: give the folder of the sources that it was built in")
    program = work / "pid_to_pgd"
    command = ["cc", SOURCES / "pid_to_pgd.c", "-o", program, "-I", header.parent.parent, library, f"-Wl,-rpath,{library.parent}"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise LabError(f"{SOURCES}/pid_to_pgd.c cannot be built: {done.stderr}")
    outside = json.loads((trial.results / "processes.json").read_text())["outside"]
    pairs = [f"{process['pid']}:{process['pgd']}" for process in outside if process["pgd"]]
    code, out, err = run([program, trial.guest, *pairs], work, work)
    trial.note("LibVMI", "pid to page tables", "works" if code == 0 else "WRONG", (out or err).strip().splitlines()[-1])


def volatility(trial, folder):
    """Volatility's plugins: with a configuration, with detection by the banner, and with a full symbol file, for comparison."""
    program = folder / "vol.py"
    if not program.exists():
        raise LabError(f"{folder} holds no vol.py")
    work = trial.scratch / "volatility"
    cache = work / "cache"
    cache.mkdir(parents=True)
    own, full = (work / f"{name}.json" for name in ("own", "full"))
    trial.export("vol-config", own, "--memory", trial.memory)
    settings = json.loads(own.read_text())
    for file, isf in ((own, trial.isf), (full, trial.full_isf())):  # the store's own paths are those of the lab host
        file.write_text(json.dumps(settings | {"kernel.symbol_table_name.isf_url": isf.as_uri()}))
    common = [sys.executable, program, "-q", "-r", "json", "--cache-path", cache]

    def rows_of(plugin, options):
        code, out, err = run([*common, *options, plugin], work, work)
        if code or "[" not in out:
            return None, ((err or out).strip().splitlines() or ["printed nothing"])[-1][-160:]
        return list(flat(json.loads(out[out.index("[") :]))), ""

    for plugin, (said, unknown) in PLUGINS.items():
        name = plugin.split(".", 1)[1].rsplit(".", 1)[0]
        found, problem = rows_of(plugin, ["-c", own])
        expected, other_problem = rows_of(plugin, ["-c", full])
        compare_rows(trial, name, (found, problem), (expected, other_problem), unknown)
        if found and said:
            part, keys, columns = said
            rows = sorted(tuple(str(row[column]) for column in columns) for row in found)
            trial.compare("Volatility", f"{name}, by the guest", rows, trial.told(part, keys))
        if plugin in DETECTED:
            detected, problem = rows_of(plugin, ["-s", trial.isf.parent, "-f", trial.memory])
            compare_rows(trial, f"{name} (-s -f)", (detected, problem), (expected, other_problem), unknown)


def compare_rows(trial, name, own, full, unknown):
    """What a plugin says with what Lacuna wrote against what it says with a full symbol file."""
    (found, problem), (expected, other_problem) = own, full
    if expected is None:
        trial.note("Volatility", name, "neither", f"with a full symbol file: {other_problem}")
    elif found is None:
        trial.note("Volatility", name, "needs", problem)
    elif found == expected:
        trial.note("Volatility", name, "works", f"{len(found)} rows, equal")
    else:
        pairs = [(one, other) for one, other in zip(found, expected) if other.get("Family") not in UNKNOWN_FAMILIES]
        columns = {column for one, other in pairs for column in one if one[column] != other.get(column)}
        told = len(found) == len(expected) and columns <= set(unknown)
        detail = f"{len(found)} rows of {len(expected)}, not the same: {', '.join(sorted(columns)) or 'in sockets of other families'}"
        trial.note("Volatility", name, "partly" if told else "WRONG", detail)


def drgn(trial, folder):
    """lacuna-drgn with a drgn that has been built in this folder."""
    program = REPOSITORY / "python/lacuna-drgn"
    environment = {
        **os.environ,
        "PYTHONPATH": f"{folder}:{program.parent}",
        "PATH": f"{Path(trial.lacunactl).parent}:{os.environ['PATH']}",
    }
    for option, file in (("--raw", trial.memory), ("--core", trial.results / "memory.core")):
        if not file.exists():
            trial.note("drgn", f"tasks ({option})", "needs", file.name)
            continue
        command = [sys.executable, program, "--store", trial.store, option, file, trial.guest, SOURCES / "drgn_tasks.py"]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=SECONDS, check=False)
        if done.returncode:
            trial.note("drgn", f"tasks ({option})", "FAILS", done.stderr.strip().splitlines()[-1][-160:])
            continue
        found = json.loads(done.stdout)
        trial.compare("drgn", f"tasks ({option})", sorted((str(pid), comm[:COMM_LENGTH]) for pid, comm, _ in found), trial.told("processes", ("pid", "comm")))
        users = {str(pid) for pid, _, has_code in found if has_code}
        told = {pid for pid, kind in trial.told("processes", ("pid", "kind")) if kind == "user"}
        trial.compare("drgn", f"code of processes ({option})", sorted(users), sorted(told))


def flat(rows):
    """Rows of a tree, those below others too."""
    for row in rows:
        yield row
        yield from flat(row.get("__children", []))


def consumers(options):
    """Try the tools; returns the exit code."""
    with tempfile.TemporaryDirectory() as scratch:
        trial = Trial(options.results, options.build, Path(scratch))
        if options.libvmi:
            libvmi(trial, options.libvmi.resolve())
        if options.drgn:
            drgn(trial, options.drgn.resolve())
        if options.volatility:
            volatility(trial, options.volatility.resolve())
    bad = [one for one in trial.outcomes if one[2] in ("WRONG", "FAILS")]
    say(f"{len(trial.outcomes)} tried, {len(bad)} bad")
    return 2 if bad else 0
