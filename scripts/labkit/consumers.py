# SPDX-License-Identifier: GPL-2.0-or-later
"""VMI tools on a guest's memory with what Lacuna wrote for them, compared with what the guest said of itself.

The tools are not ours and not fetched here: folders with Volatility 3's sources and a built LibVMI are given.
"""

import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from .base import REPOSITORY, LabError, say
from .guest_console import COMM_LENGTH

SOURCES = REPOSITORY / "tests/lab/consumers"
SECONDS = 300  # for one run of a tool
BASIC = ("task_struct.tasks", "task_struct.pid", "task_struct.comm", "task_struct.mm", "mm_struct.pgd")
LISTED = (*BASIC, "task_struct.tgid", "task_struct.parent", "task_struct.active_mm")
ARGUMENTS = (*LISTED, "mm_struct.arg_start", "mm_struct.arg_end")
ENVIRONMENT = (*LISTED, "mm_struct.env_start", "mm_struct.env_end")
NODES = ("maple_node.ma64", "maple_node.mr64", "maple_arange_64.slot", "maple_range_64.slot")  # since 6.1
AREAS = (*LISTED, "mm_struct.mm_mt", "maple_tree.ma_root", *NODES, "vm_area_struct.vm_start", "vm_area_struct.vm_end")
PATHS = ("task_struct.fs", "fs_struct.root", "path.mnt", "path.dentry", "vfsmount.mnt_root", "dentry.d_name", "dentry.d_parent")
MAPPED = (*AREAS, *PATHS, "vm_area_struct.vm_file", "vm_area_struct.vm_flags", "mm_struct.brk", "mm_struct.start_stack", "mm_struct.context")
FILES = (*LISTED, *PATHS, "files_struct.fdt", "fdtable.fd", "fdtable.max_fds", "file.f_path", "dentry.d_op", "inode.i_mode", "inode.i_count")
MODULES = ("module.list", "module.name", "module.core_size", "module.init_size")
PARTS = ("module.list", "module.name", "module.mem")  # since 6.4
# Plugins of Volatility, the members that each takes, and the columns that say what the guest says.
PLUGINS = {
    "linux.pslist.PsList": (LISTED, ("PID", "COMM")),
    "linux.pstree.PsTree": (LISTED, ("PID", "COMM")),
    "linux.psaux.PsAux": (ARGUMENTS, ("PID", "COMM")),
    "linux.envars.Envars": (ENVIRONMENT, None),
    "linux.lsmod.Lsmod": (MODULES, ("Name",)),
    "linux.check_creds.Check_creds": ((*LISTED, "task_struct.cred"), None),
    "linux.library_list.LibraryList": (AREAS, None),
    "linux.elfs.Elfs": (MAPPED, None),
    "linux.malfind.Malfind": (MAPPED, None),
    "linux.proc.Maps": ((*MAPPED, "vm_area_struct.vm_pgoff", "dentry.d_inode", "inode.i_ino", "super_block.s_dev"), None),
    "linux.lsof.Lsof": (FILES, None),
    "linux.sockstat.Sockstat": ((*FILES, "socket.sk", "sock.__sk_common", "nsproxy.net_ns"), None),
    "linux.mountinfo.MountInfo": ((*LISTED, *PATHS, "task_struct.nsproxy", "nsproxy.mnt_ns"), None),
    "linux.capabilities.Capabilities": ((*LISTED, "task_struct.cred", "cred.cap_effective"), None),
    "linux.bash.Bash": ((*AREAS, "mm_struct.start_brk", "mm_struct.brk"), None),
}
DETECTION = ("task_struct.files",)  # by which Volatility finds the slide; not with a configuration


class Trial:
    """Folders: of the results of `scripts/lab boot --keep-memory`, of the tools, and one to work in."""

    def __init__(self, results, lacunactl, scratch):
        self.results, self.lacunactl, self.scratch = results.resolve(), lacunactl, scratch
        self.memory, self.store = self.results / "memory.raw", self.results / "store-of-boot"
        if not self.memory.exists():
            raise LabError(f"{self.memory} is missing: boot with --keep-memory first")
        (facts,) = (json.loads(file.read_text()) for file in (self.store / "guests").glob("*.json"))
        self.guest, self.kernel = facts["name"], facts["kernel"]["id"]
        # The paths in what the daemon wrote are those of the lab host.
        self.isf = Path(self.export("isf", self.scratch / "isf" / "kernel.json"))
        types = json.loads(self.isf.read_text())["user_types"]
        self.members = {f"{structure}.{name}" for structure, one in types.items() for name in one["fields"]}
        self.outcomes = []

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
    """Volatility's plugins: with detection by the banner, and with a configuration."""
    program = folder / "vol.py"
    if not program.exists():
        raise LabError(f"{folder} holds no vol.py")
    work = trial.scratch / "volatility"
    cache = work / "cache"
    cache.mkdir(parents=True)
    config = trial.export("vol-config", work / "guest.json", "--memory", trial.memory)
    # Volatility wants paths of the store's own ISF, which are the lab host's.
    settings = json.loads(config.read_text())
    settings["kernel.symbol_table_name.isf_url"] = trial.isf.as_uri()
    config.write_text(json.dumps(settings))
    common = [sys.executable, program, "-q", "-r", "json", "--cache-path", cache]
    ways = {"-f": ["-s", trial.isf.parent, "-f", trial.memory], "-c": ["-c", config]}
    for plugin, (members, columns) in PLUGINS.items():
        if plugin == "linux.lsmod.Lsmod" and "module.mem" in trial.members:
            members = PARTS
        for way, options in ways.items():
            needed = [name for name in (*members, *(DETECTION if way == "-f" else ())) if name not in trial.members]
            what = f"{plugin.split('.')[1]} ({way})"
            if needed:
                trial.note("Volatility", what, "needs", ", ".join(needed))
                continue
            code, out, err = run([*common, *options, plugin], work, work)
            if code:
                trial.note("Volatility", what, "FAILS", (err or out).strip().splitlines()[-1][-160:])
                continue
            rows = list(flat(json.loads(out[out.index("[") :])))
            if columns is None:
                trial.note("Volatility", what, "ran", f"{len(rows)} rows, compared with nothing")
                continue
            part, keys = ("modules", ("name",)) if columns == ("Name",) else ("processes", ("pid", "comm"))
            trial.compare("Volatility", what, sorted(tuple(str(row[column]) for column in columns) for row in rows), trial.told(part, keys))


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
    lacunactl = options.build.resolve() / "daemon/lacunactl"
    with tempfile.TemporaryDirectory() as scratch:
        trial = Trial(options.results, lacunactl, Path(scratch))
        if options.libvmi:
            libvmi(trial, options.libvmi.resolve())
        if options.drgn:
            drgn(trial, options.drgn.resolve())
        if options.volatility:
            volatility(trial, options.volatility.resolve())
    bad = [one for one in trial.outcomes if one[2] in ("WRONG", "FAILS")]
    say(f"{len(trial.outcomes)} tried, {len(bad)} bad")
    return 2 if bad else 0
