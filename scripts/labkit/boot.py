# SPDX-License-Identifier: GPL-2.0-or-later
"""The lab's main command: prepare, boot the lab host with a job for its agent, then judge what came out."""

import json
import shutil

from . import behaviour, guest_initrd, guest_kernel, guest_programs, guest_system, host_kernel
from . import instructions, judge, module, other_systems, selftests, show
from .base import REPOSITORY, LabError, run, say
from .bochs import Bochs, IntelHost
from .emulator import Emulator
from .host import DebugHost, Host, emulator_failed, warnings
from .kernel_build import BUILT, BuiltKernel
from .kernel_package import KernelPackage
from .native import Native
from .truth import members_by_headers, truth_of

GUEST_KERNEL = "bookworm"
CPUS, MEMORY = 2, 512  # of a guest
DEADLINE = 120  # seconds
# What is judged after a scenario, {results folder: "first" or "next" kernel}, if not each guest's folder.
JUDGED = {
    **dict.fromkeys(("kill-daemon", "rmmod", "dead-ftrace", "other-kernel", "save", "hibernate", "probed", "stopped", "not-linux"), {}),
    "kexec": {".": "next"},
    "kdump": {".": "next"},
    "kexec-reset": {".": "first"},
    "upgrade": {"before": "first", "after": "next"},
    "known": {"first": "first", "again": "first"},
    "hostile": {"beside": "first"},
}
# Scenarios in which the guest gets to another kernel, and what that is.
TO_NEXT_KERNEL = ("kexec", "kexec-reset", "kdump", "upgrade")
# Scenarios in which tests/lab/guest/init.c does something of its own.
OF_LABS_INIT = (*TO_NEXT_KERNEL, "hypercall", "hostile", "traced", "probed", "hibernate", "running", "migrate", "migrate-late", "migrate-ring")
NEXT_KERNEL = "trixie"
DISK_DRIVERS = ("virtio_pci", "virtio_blk")
ATTEMPTS = 5  # as long as it is the emulator that fails


def prepare(emulator, kernel):
    """Make everything a default boot needs, as far as it can be made before Lacuna is built."""
    host = Host(emulator, kernel)
    kernel.headers()
    guest_initrd.initrd(guest_kernel.from_package(KernelPackage(GUEST_KERNEL)))
    say(f"prepared: {emulator.root}, {host.initramfs}")


def boot(options):
    """Do what `scripts/lab boot` was asked for; returns the exit code."""
    out = options.out.resolve()
    clear(out)
    system = options.guest_os and guest_system.choose(options.guest_os)
    kernels = {"first": choose_kernel(options, system)}
    if options.scenario in TO_NEXT_KERNEL:
        kernels["next"] = guest_kernel.from_package(KernelPackage(NEXT_KERNEL))
    host = choose_host(options)
    truths = {} if options.without_lacuna else {which: truth_of(one, built(options.build, "tests/btf_truth")) for which, one in kernels.items()}
    by_behaviour = options.behaviour or None in truths.values()
    job = make_job(options, kernels, host, system, by_behaviour)
    judged = {} if options.without_lacuna else judged_folders(options, job)
    (out / "job.json").write_text(json.dumps(job, indent=1, default=str))
    run_host(host, out, job["timeout"] + host.STARTUP_SECONDS)
    result = read_result(out)
    codes = [check["code"] for check in result["checks"]]
    untaught = system.untaught if system else ()
    if None in truths.values() and not kernels["first"].order:
        untaught = ("module",)  # it was given none to load
    codes += [judge_guest(out / folder, truths[which], untaught) for folder, which in judged.items() if truths[which]]
    codes += [judge_published(out / folder, kernels[which], built(options.build, "tests/btf_truth")) for folder, which in judged.items() if truths[which]]
    if job["looks"]:
        codes += [judge_deep(out / folder, kernels[which], built(options.build, "tests/btf_truth")) for folder, which in judged.items()]
    codes += [judge_behaviour(out / folder, untaught) for folder in judged if by_behaviour]
    if options.count_instructions:
        instructions.count(job["guests"][0], out, options.build.resolve())
    code = max(codes, default=3)
    for folder in judged if options.show else ():
        show.show(out / folder)
    say(f"results are in {out}, exit code {code}")
    return code


def judged_folders(options, job):
    """Where results are to be judged, and by the truth about which kernel."""
    return JUDGED.get(options.scenario, {guest["folder"]: "first" for guest in job["guests"]})


def run_host(host, out, timeout):
    """Run the lab host, and again if it was the emulator that failed; the console logs of such runs are kept."""
    console = out / "host-console.log"
    for attempt in range(1, ATTEMPTS + 1):
        problem = None
        try:
            host.run(out, timeout)
        except LabError as error:
            problem = error
        if attempt < ATTEMPTS and emulator_failed(console.read_text(errors="replace"), attempt > 1):
            say("the emulator did what no processor does (see emulator_failed() in host.py); starting again")
            console.rename(out / f"host-console-emulator-failed-{attempt}.log")
        elif problem:
            raise problem
        else:
            return


def clear(out):
    """Make the results folder, without results of an earlier run in it."""
    if out.exists() and any(out.iterdir()) and not (out / "job.json").exists():
        raise LabError(f"{out} holds files that are not the lab's: give an empty or a new folder with --out")
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)


def choose_kernel(options, system):
    """The guest's kernel, by the options given, or the one that a GuestSystem is run with."""
    if options.modules and not options.kernel:
        raise LabError("--modules goes with --kernel: a package brings its own modules")
    if options.headers and not (options.kernel or options.kernel_deb):
        raise LabError("--headers goes with --kernel or --kernel-deb: those of a chosen kernel are known")
    if options.system_map and not options.kernel:
        raise LabError("--system-map goes with --kernel: one that is built here without a symbol table brings its own")
    if options.kernel:
        return guest_kernel.from_files(options.kernel, options.modules, options.headers, options.system_map)
    if options.kernel_deb:
        return guest_kernel.from_debs(options.kernel_deb, options.headers)
    choice = options.guest_kernel or (system.kernel if system else GUEST_KERNEL)
    if choice.startswith(BUILT):
        return guest_kernel.from_build(BuiltKernel(choice.removeprefix(BUILT)).build())
    return guest_kernel.from_package(KernelPackage(choice))


def choose_host(options):
    """Where the guests are to run, by the options given."""
    if options.native:
        return Native()
    kernel = host_kernel.choose(options.host_kernel)
    if options.cpu_vendor == "intel":
        return IntelHost(Bochs(), kernel)
    kind = DebugHost if options.host_kernel.startswith(BUILT) else Host
    return kind(Emulator(), kernel, options.memory, options.la57)


def built(build, name):
    """A program of the CMake build folder."""
    program = build.resolve() / name
    if not program.is_file():
        raise LabError(f"{program} is missing: build first (cmake -B build && cmake --build build)")
    return program


def make_job(options, kernels, host, system, by_behaviour):
    """What the agent in the lab host is told."""
    kernel, following = kernels["first"], kernels.get("next")
    looks = options.looks or options.scenario == "deep"
    if options.without_lacuna and options.scenario not in ("normal", "hypercall", "text"):
        raise LabError(f"the scenario {options.scenario} needs Lacuna: leave --without-lacuna out")
    extra = modules_for_guest(options, kernel, "hypercall", module.GUEST_MODULE)
    aside = modules_for_guest(options, kernel, "hostile", module.HOSTILE_MODULE)
    if looks and kernel.release == host_kernel.HostKernel(GUEST_KERNEL).release:
        aside = [*aside, module.build(host_kernel.HostKernel(GUEST_KERNEL), module.CREDS_MODULE)]
    drivers = guest_kernel.more_modules(kernel, DISK_DRIVERS) if options.scenario == "hibernate" else []
    if options.initrd and not options.initrd.is_file():
        raise LabError(f"no such initrd: {options.initrd}")
    if system and options.initrd:
        raise LabError("--initrd does not go with --guest-os: a guest system brings its own")
    if options.looks and options.scenario != "normal":
        raise LabError("--looks goes with the scenario normal; deep looks in any case")
    if by_behaviour and (system or options.initrd or options.scenario != "normal"):
        raise LabError("by its behaviour only a guest with the lab's own init is judged, in the scenario normal")
    if system and options.scenario in OF_LABS_INIT:
        raise LabError(f"in the scenario {options.scenario} the lab's own init has a part: leave --guest-os out")
    if system and options.cpu_vendor == "intel" and system.prompt:
        raise LabError(f"{options.guest_os} is too much for the emulated Intel host: leave --cpu-vendor out")
    # With the next kernel in it only where it is needed: it makes the guest's memory small.
    carried = following if options.scenario.startswith(("kexec", "kdump")) else None
    if system:
        boots = system.job(kernel)
    else:
        # Of the age of a kernel that is judged by its behaviour nothing is known.
        libc = guest_programs.Musl if by_behaviour else guest_programs.Glibc
        shell = guest_programs.bash() if looks and kernel.is_64_bit else None
        own = options.initrd.resolve() if options.initrd else guest_initrd.initrd(kernel, extra, carried, libc, [*aside, *drivers], shell)
        boots = {"initrd": own, "append": "LACUNA_CODE=1" if by_behaviour else "LACUNA_DETAIL=1" if looks else ""}
    boots |= {"append": f"{boots.get('append', '')} {options.append}".strip()}
    boots |= {"cpus": options.cpus or boots.get("cpus", CPUS), "memory": options.guest_memory or boots.get("memory", MEMORY)}
    guests = [
        {
            "name": f"guest{number}",
            "folder": f"guest{number}" if options.guests > 1 else ".",
            "kernel": host.guest_image(kernel),
            "system_map": kernel.system_map,
            "machine": host.GUEST_MACHINE,
            **boots,
        }
        for number in range(1, options.guests + 1)
    ]
    seconds = max(host.SECONDS, system.seconds) if system else host.SECONDS
    return {
        "scenario": options.scenario,
        "record": options.record,
        "keep_memory": options.keep_memory,
        "looks": looks,
        "guests": guests,
        "vmlinux": None if options.native else host_kernel.HostKernel(GUEST_KERNEL).vmlinux,  # the default guest's, unpacked
        "other_systems": other_systems.floppies(),
        "timeout": options.timeout or seconds + host.SECONDS_PER_GUEST * (options.guests - 1),
        "release": kernel.release,
        "disk_drivers": [file.stem for file in drivers],
        "fork_site": fork_site(kernel, built(options.build, "tests/kernel_tool")) if options.scenario == "probed" else None,
        "next": following and {
            "release": following.release,
            "kernel": host.guest_image(following),
            "initrd": guest_initrd.initrd(following),
        },
        "selftests": selftests.programs() if options.scenario == "selftests" else None,
        "behaviour": by_behaviour and {
            "program": guest_programs.programs(kernel.is_64_bit, guest_programs.Musl) / "init",
            "texts": {file.stem: behaviour.text_range(file) for file in kernel.folder.glob("*.ko")},
        },
        "lacuna": None if options.without_lacuna else lacuna_job(options, host, system),
    }


def fork_site(kernel, tool):
    """Where forks are trapped, as function+offset."""
    site = next(site for site in json.loads(run([tool, "describe", kernel.vmlinuz]))["sites"] if site["kind"] == "fork")
    symbols = (line.split() for line in run([tool, "symbols", kernel.vmlinuz]).splitlines())
    start = next(int(words[0], 16) for words in symbols if words[2:] == [site["function"]])
    return f"{site['function']}+{int(site['address'], 16) - start}"


def modules_for_guest(options, kernel, scenario, sources):
    """The module that guests load in this scenario, which is built for the default kernel."""
    if options.scenario != scenario:
        return []
    own = host_kernel.HostKernel(GUEST_KERNEL)
    if kernel.release != own.release:
        raise LabError(f"the scenario {scenario} needs the kernel {own.release} in the guest")
    return [module.build(own, sources)]


def lacuna_job(options, host, system):
    """Where Lacuna's parts are, and how it is to be configured."""
    return {
        "module": module.build(host.kernel),
        "dead_ftrace": module.build(host.kernel, module.DEAD_FTRACE_MODULE)
        if options.scenario == "dead-ftrace"
        else None,
        "daemon": built(options.build, "daemon/lacunad"),
        "client": built(options.build, "daemon/lacunactl"),
        "constraints": REPOSITORY / "constraints",
        "startup_seconds": host.STARTUP_SECONDS,
        "deadline": options.deadline or (system.deadline if system else None) or DEADLINE,
        "record": options.record,
    }


def read_result(out):
    """The agent's result; LabError when there is none, or the lab host's kernel log is not clean."""
    console = (out / "host-console.log").read_text(errors="replace")
    log = out / "host-dmesg.log"
    trouble = warnings(console + (log.read_text(errors="replace") if log.exists() else ""))
    if trouble:
        raise LabError("the lab host's kernel log is not clean:\n  " + "\n  ".join(trouble[:20]))
    if not (out / "result.json").exists():
        raise LabError(f"the lab host ended without a result; its console ends with:\n{console[-2000:]}")
    result = json.loads((out / "result.json").read_text())
    if result["error"]:
        raise LabError(f"the run in the lab host failed: {result['error']}")
    return result


def judge_guest(folder, truth, untaught=()):
    """Write a guest's truth.json and verdict.json, show the verdict; returns its exit code."""
    profile = folder / "profile.json"
    verdict = judge.judge(json.loads(profile.read_text()) if profile.exists() else None, truth, untaught)
    (folder / "truth.json").write_text(json.dumps(truth, indent=1))
    (folder / "verdict.json").write_text(json.dumps(verdict, indent=1))
    say(f"verdict on {folder}:\n{judge.table(verdict)}")
    return judge.exit_code(verdict)


def judge_deep(folder, kernel, btf_tool):
    """Write deep-verdict.json and show the verdict on what a look has taught; returns its exit code."""
    found = (load_if_there(folder / "deep.json") or {}).get("members")
    if found is None:
        return 0  # a check has failed, or looks are not for this guest
    verdict = judge.judge_deep(found, deep_truth(found, kernel, btf_tool))
    (folder / "deep-verdict.json").write_text(json.dumps(verdict, indent=1))
    say(f"verdict on what was learned by looking:\n{judge.table(verdict)}")
    return judge.exit_code(verdict)


def judge_published(folder, kernel, btf_tool):
    """What looks have put into a profile, in whatever scenario, must be right; returns the exit code."""
    members = (load_if_there(folder / "profile.json") or {}).get("members", {})
    found = {f"{structure}.{name}": one for structure, named in members.items() for name, one in named.items() if one.get("deep")}
    if not found:
        return 0
    truth = deep_truth(found, kernel, btf_tool)
    verdict = judge.count({name: {**judge.judge_deep_member(name, one, truth), "may_be_open": True} for name, one in found.items()})
    (folder / "published-verdict.json").write_text(json.dumps(verdict, indent=1))
    wrong = [name for name, one in verdict["members"].items() if one["verdict"] == "wrong"]
    say(f"{folder}: {verdict['right']} deep members in the profile are right, {len(wrong)} wrong {' '.join(wrong)}")
    return judge.exit_code(verdict)


def deep_truth(found, kernel, btf_tool):
    """Where these members are: {name: offset, None if the kernel has none}; by BTF or, of what headers tell, by offsetof()."""
    names = [*found, "module.list", *judge.OTHER_NAMES.values()]
    if kernel.headers:
        truth = members_by_headers(kernel.headers, names, kernel.tools)
    else:
        truth = json.loads(run([btf_tool, kernel.vmlinuz, *names], hint="looks are judged by BTF or headers: choose a kernel with either"))
    truth |= {name: truth[other] for name, other in judge.OTHER_NAMES.items() if truth.get(name) is None and other in truth}
    for name in found:
        if name.startswith("module.") and name != "module.list" and truth.get(name) is not None:
            truth[name] -= truth["module.list"]
    return truth


def judge_behaviour(folder, untaught=()):
    """Write and show what the guest's behaviour says about a profile; returns its exit code."""
    seen, profile = (load_if_there(folder / f"{name}.json") for name in ("observation", "profile"))
    verdict = judge.count(behaviour.judge(profile, seen or {}, untaught))
    (folder / "behaviour.json").write_text(json.dumps(verdict, indent=1))
    say(f"verdict on {folder} by the guest's behaviour:\n{judge.table(verdict)}")
    return judge.exit_code(verdict)


def load_if_there(file):
    """What is in a JSON file, None if there is none."""
    return json.loads(file.read_text()) if file.exists() else None
