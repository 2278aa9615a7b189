# SPDX-License-Identifier: GPL-2.0-or-later
"""VMI tools on a guest's memory with what Lacuna wrote for them, compared with what the guest said of itself.

The tools are not ours and not fetched here: folders with Volatility 3's sources and a built LibVMI are given.
"""

import base64
import contextlib
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from . import cache, detail, full_isf
from .base import REPOSITORY, LabError, say
from .debian import Apt
from .emulator import Emulator
from .guest_console import COMM_LENGTH
from .kernel_package import RELEASES
from .package_tree import PackageTree
from .told import BY_DETAIL

SOURCES = REPOSITORY / "tests/lab/consumers"
SECONDS = 600  # for one run of a tool; to check a full symbol file for the first time takes Volatility minutes
# Plugins of Volatility, what of the guest's own word they are compared with besides, and the columns that may differ from what a
# full symbol file makes of them, since nobody has learned them: see docs/vmi-tools.md.
TIMES = ("Changed", "Modified", "Accessed")
UNKNOWN_FAMILIES = ("AF_NETLINK", "AF_PACKET", "AF_VSOCK")  # of whose sockets only what all have is known
PROCESSES, MODULES = ("processes", ("pid", "comm"), ("PID", "COMM")), ("modules", ("name",), ("Name",))
OTHER_COLUMNS = {"Name": "Module Name"}  # in versions after 2.21
PLUGINS = {
    "linux.pslist.PsList": (PROCESSES, ()),
    "linux.pstree.PsTree": (PROCESSES, ()),
    "linux.psaux.PsAux": (PROCESSES, ()),
    "linux.envars.Envars": (None, ()),
    "linux.lsmod.Lsmod": (MODULES, ("Load Arguments",)),
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
    # Not in 2.11. The names of functions are in a file with all symbols only.
    "linux.kthreads.Kthreads": (None, ("Symbol",)),
    "linux.check_modules.Check_modules": (None, ()),
    "linux.modxview.Modxview": (None, ()),
    "linux.hidden_modules.Hidden_modules": (None, ()),
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
        (self.job,) = json.loads((self.results / "job.json").read_text())["guests"]
        self.guest, self.kernel = facts["name"], facts["kernel"]["id"]
        # The paths in what the daemon wrote are those of the lab host.
        self.isf = Path(self.export("isf", self.scratch / "isf" / "kernel.json"))
        self.outcomes = []

    def detail(self):
        """All that the guest has told of itself, if it was asked to (scenario deep); see detail.parse()."""
        console = self.results / f"{self.guest}-console.log"
        return detail.parse(console.read_text(errors="replace")) if console.exists() else None

    def full_isf(self):
        """A file with all structures and symbols of the guest's kernel, by its BTF; None if it has no BTF."""
        btf_tool = self.build / "tests/btf_truth"
        asked = subprocess.run([btf_tool, self.job["kernel"]], capture_output=True, text=True, check=False)
        if asked.returncode and "holds no BTF" in asked.stderr:
            say("this kernel has no BTF: what tools say is compared with what the guest says only")
            return None
        own = json.loads(Path(self.export("isf", self.scratch / "all" / "kernel.json", "--all-symbols")).read_text())
        symbols = {name: one["address"] for name, one in own["symbols"].items() if name != "phys_startup_64"}
        banner = base64.b64decode(own["symbols"]["linux_banner"]["constant_data"]).decode()
        made = full_isf.full_isf(btf_tool, self.job["kernel"], symbols, banner)
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
    own_cache = work / "cache"
    own_cache.mkdir(parents=True)
    code, _, err = run([sys.executable, program, "-h"], work, work)
    if code:
        raise LabError(f"{program} does not start, for instance for want of python3-pefile: {why_nothing(err)}")
    own, full = (work / f"{name}.json" for name in ("own", "full"))
    trial.export("vol-config", own, "--memory", trial.memory)
    settings, full_file = json.loads(own.read_text()), trial.full_isf()
    for file, isf in ((own, trial.isf), (full, full_file)):  # the store's own paths are those of the lab host
        if isf:
            file.write_text(json.dumps(settings | {"kernel.symbol_table_name.isf_url": isf.as_uri()}))
    common = [sys.executable, program, "-q", "-r", "json", "--cache-path", own_cache]

    def rows_of(plugin, options):
        code, out, err = run([*common, *options, plugin], work, work)
        absent = re.search(r"required symbol .* is not present.*", out + err)  # it prints an empty list then
        if code or "[" not in out or absent:
            return None, absent[0][:160] if absent else why_nothing(err or out)
        return list(flat(json.loads(out[out.index("[") :]))), ""

    told = trial.detail()
    banners(trial, rows_of)
    for plugin, (said, unknown) in PLUGINS.items():
        name = plugin.split(".", 1)[1].rsplit(".", 1)[0]
        if not (folder / "volatility3/framework/plugins/linux" / f"{name}.py").exists():
            trial.note("Volatility", name, "none", "this version does not have it")
            continue
        found, problem = rows_of(plugin, ["-c", own])
        expected = rows_of(plugin, ["-c", full]) if full_file else None
        compare_rows(trial, name, (found, problem), expected, unknown)
        if found is not None and said:
            part, keys, columns = said
            rows = sorted(tuple(str(row.get(column, row.get(OTHER_COLUMNS.get(column)))) for column in columns) for row in found)
            trial.compare("Volatility", f"{name}, by the guest", rows, trial.told(part, keys))
        if found and told and name in BY_DETAIL:
            result = BY_DETAIL[name](told, found)
            good = result["compared"] and not result["differences"]
            detail_of = "; ".join(result["differences"][:3]) or f"{result['compared']} compared"
            trial.note("Volatility", f"{name}, by the guest's detail", "works" if good else "WRONG", detail_of)
        if found and plugin in DETECTED:  # by what lacunad itself has written for all to read
            shipped, problem = rows_of(plugin, ["-s", trial.store / "export/isf", "-f", trial.memory])
            verdict = "works" if shipped == found else "needs" if shipped is None else "WRONG"
            trial.note("Volatility", f"{name} (-s -f)", verdict, problem or f"{len(shipped)} rows, {len(found)} with -c")


def banners(trial, rows_of):
    """Volatility must find the banner in memory by which it looks for a file, and in the file the same."""
    rows, problem = rows_of("banners.Banners", ["-f", trial.memory])
    isf = json.loads(trial.isf.read_text())
    own = base64.b64decode(isf["symbols"]["linux_banner"]["constant_data"]).decode().rstrip("\n")
    found = {row["Banner"].rstrip("\n\0") for row in rows or ()}
    trial.note("Volatility", "banners", "works" if own in found else "WRONG", problem or f"{len(found)} different, one is the kernel's")


def why_nothing(text):
    """Of what Volatility says when it ends without a table, the line that says why."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    telling = [line for line in lines if re.search(r"Error: |: Unknown symbol|Unable to validate|has no attribute", line)]
    return (telling or lines or ["printed nothing"])[-1][-200:]


def compare_rows(trial, name, own, full, unknown):
    """What a plugin says with what Lacuna wrote against what it says with a full symbol file."""
    (found, problem), (expected, other_problem) = own, full or (None, "")
    if full is None:
        trial.note("Volatility", name, "needs" if found is None else "prints", problem or f"{len(found)} rows")
    elif expected is None:
        trial.note("Volatility", name, "neither", f"with a full symbol file: {other_problem}")
    elif found is None:
        trial.note("Volatility", name, "needs", problem)
    elif found and not expected:
        trial.note("Volatility", name, "prints", f"{len(found)} rows; none with a full symbol file")
    elif found == expected:
        trial.note("Volatility", name, "works", f"{len(found)} rows, equal")
    else:
        pairs = [(one, other) for one, other in zip(found, expected) if other.get("Family") not in UNKNOWN_FAMILIES]
        columns = {column for one, other in pairs for column in one if one[column] != other.get(column)}
        told = len(found) == len(expected) and columns <= set(unknown)
        detail = f"{len(found)} rows of {len(expected)}, not the same: {', '.join(sorted(columns)) or 'in sockets of other families'}"
        trial.note("Volatility", name, "partly" if told else "WRONG", detail)


class BuiltDrgn:
    """One that has been built in a folder."""

    def __init__(self, folder):
        self.python, self.path = [sys.executable], str(folder)


class DebianDrgn:
    """The package of a Debian release with that release's Python, unpacked into the cache and not installed."""

    def __init__(self, suite):
        tree = PackageTree(Apt(*RELEASES[suite]), ("python3-drgn",), suite)
        root = cache.folder("drgn", [tree.packages], tree.unpack)
        (version,) = (name.split()[0].removesuffix("-minimal") for name in tree.packages if re.match(r"python3\.\d+-minimal ", name))
        libraries = root / "usr/lib/x86_64-linux-gnu"
        self.python = [root / "usr/lib64/ld-linux-x86-64.so.2", "--library-path", libraries, root / "usr/bin" / version]
        self.path = str(root / "usr/lib/python3/dist-packages")
        self.home = str(root / "usr")


def drgn(trial, choice):
    """lacuna-drgn on both kinds of files, and by QMP, with the drgn of a Debian release, or one that has been built in a folder."""
    work = trial.scratch / "drgn"
    work.mkdir()
    chosen = DebianDrgn(choice) if choice in RELEASES else BuiltDrgn(Path(choice).resolve())
    drgn_on(trial, chosen, "--core", trial.results / "memory.core")
    drgn_on(trial, chosen, "--raw", trial.memory)
    with held_by_qemu(trial.memory, work) as monitor:
        drgn_on(trial, chosen, "--qmp", monitor)


def drgn_on(trial, chosen, option, file):
    """Processes, their memory and modules."""
    program = REPOSITORY / "python/lacuna-drgn"
    environment = {
        **os.environ,
        "PYTHONPATH": f"{chosen.path}:{program.parent}",
        "PATH": f"{Path(trial.lacunactl).parent}:{os.environ['PATH']}",
    }
    if isinstance(chosen, DebianDrgn):
        environment |= {"PYTHONHOME": chosen.home}
    if not file.exists():
        trial.note("drgn", f"tasks ({option})", "needs", file.name)
        return
    command = [*chosen.python, program, "--store", trial.store, option, file, trial.guest, SOURCES / "drgn_tasks.py"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=SECONDS, check=False)
    if done.returncode:
        too_old = "this drgn takes core files only" in done.stderr
        trial.note("drgn", f"tasks ({option})", "needs" if too_old else "FAILS", why_nothing(done.stderr))
        return
    found = json.loads(done.stdout)
    trial.compare("drgn", f"tasks ({option})", sorted((str(pid), comm[:COMM_LENGTH]) for pid, comm, _ in found["tasks"]), trial.told("processes", ("pid", "comm")))
    users = {str(pid) for pid, _, has_code in found["tasks"] if has_code}
    told = {pid for pid, kind in trial.told("processes", ("pid", "kind")) if kind == "user"}
    if option == "--core" and any(has_code is None for _, _, has_code in found["tasks"]):
        trial.note("drgn", f"code of processes ({option})", "needs", "a newer drgn: this one takes no core file's page tables for it")
    else:
        trial.compare("drgn", f"code of processes ({option})", sorted(users), sorted(told))
    if found["modules"] is None:
        trial.note("drgn", f"modules ({option})", "needs", "module.list")
    else:
        trial.compare("drgn", f"modules ({option})", sorted((name,) for name in found["modules"]), trial.told("modules", ("name",)))


@contextlib.contextmanager
def held_by_qemu(memory, folder):
    """A QEMU that has this as its guest's memory and does not run it: for what asks QEMU. Yields its QMP socket."""
    emulator, monitor, size = Emulator(), folder / "qmp", memory.stat().st_size
    backend = f"memory-backend-file,id=memory,share=off,size={size},mem-path={memory}"  # changes stay with QEMU
    command = [*emulator.command(), "-S", "-nodefaults", "-display", "none", "-accel", "tcg", "-m", f"{size}B", "-object", backend]
    command += ["-machine", "pc,memory-backend=memory", "-qmp", f"unix:{monitor},server=on,wait=off"]
    with subprocess.Popen(command, env=emulator.environment(), stdin=subprocess.DEVNULL) as process:
        try:
            end = time.monotonic() + 60
            while not monitor.exists() and process.poll() is None and time.monotonic() < end:
                time.sleep(0.2)
            yield monitor
        finally:
            process.kill()


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
            drgn(trial, options.drgn)
        if options.volatility:
            volatility(trial, options.volatility.resolve())
    bad = [one for one in trial.outcomes if one[2] in ("WRONG", "FAILS")]
    say(f"{len(trial.outcomes)} tried, {len(bad)} bad")
    return 2 if bad else 0
