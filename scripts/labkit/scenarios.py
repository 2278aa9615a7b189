# SPDX-License-Identifier: GPL-2.0-or-later
"""What the lab can do to guests, Lacuna itself; each scenario is a function of a Trial that makes checks."""

import errno
import json
import re
import signal
import statistics
import subprocess
import time
from pathlib import Path

from . import abi, detail, gdb, module_orders, netlink_noise, netlink_rights, selftests
from .base import run
from .guest import RUN
from .lacuna import STORE
from .tiny_vmm import TinyVmm, descriptor
from .trial import FINAL, TRAPPING, require

NOISE = 3000  # messages
CPUID_TOLD = re.compile(r"^LACUNA-CPUID ([0-9a-f]{8})$", re.M)
# In a line of tests/lab/guest/cpuid.S are the fewest cycles of many batches of so many; of so many lines again the fewest are taken.
CPUID_BATCH, CPUID_LINES = 16, 4
CPUID_TOLERANCE = 1.1
CLOCK_TOLD = re.compile(r"^LACUNA-CLOCK((?: [0-9a-f]{8})+)$", re.M)
CLOCK_ROUNDS, CLOCK_LINES = 4, 6  # each time alone and while its kernel is looked for
CLOCK_TOLERANCE, LONGEST_TOLERANCE, CLOCKS_TOLERANCE = 1.2, 3, 1.01
# The tightest there is: what holds a processor for two seconds, or a task for one, is a panic.
WATCHDOGS = (
    "watchdog_thresh=1 softlockup_panic=1 sysctl.kernel.hung_task_panic=1 sysctl.kernel.hung_task_timeout_secs=1 "
    "sysctl.kernel.hung_task_check_interval_secs=1"
)
LATENCY_TOLD = re.compile(r"^LACUNA-LATENCY (\d+) (\d+)$", re.M)
LATENCY_BATCHES, LATENCY_TOLERANCE = 16, 1.5
LONGEST_EVENT = 5  # seconds, of an emulated processor that does little else: see docs/security.md for the bound
HOSTILE_END = re.compile(r"LACUNA-HOSTILE rounds (\d+) (\d+) (\d+)")
EXITS = ("kvm_emulate_cpuid", "kvm_emulate_halt", "kvm_emulate_hypercall")
PARAMETERS = Path("/sys/module/lacuna/parameters")
WAITING_MS, HOLD_MS = PARAMETERS / "waiting_ms", PARAMETERS / "hold_ms"
STRANGE_BANNER = b"Linux version 0.0.1 (that is another one)\n"
BUILDER = b"debian-kernel@lists.debian.org"


def normal(trial):
    """Boot the guests and collect everything about them."""
    trial.start_lacuna()
    guests = [trial.start_guest(job) for job in trial.job["guests"]]
    for guest in [guest for guest in guests if trial.wait_ready(guest)]:
        if trial.job["looks"]:
            collect_and_look(trial, guest)
        else:
            trial.collect(guest)


def deep(trial):
    """Boot a guest, look at it, and compare what lacunactl tells of processes, files, memory, sockets and mounts with what it has told."""
    trial.start_lacuna()
    guest = trial.start_guest()
    if trial.wait_ready(guest):
        collect_and_look(trial, guest)
        check_detail(trial, guest)
        check_gdb(trial, guest)


def check_gdb(trial, guest):
    """gdb at the guest's QEMU, with the file that lacunactl writes for it: the first process and its child, by name and number."""
    file, monitor = RUN / f"{guest.name}.elf", RUN / f"{guest.name}.gdb"
    run([*trial.lacuna.client, "export", "--store", STORE, "--format", "elf", guest.name, "--out", file])
    guest.qmp("human-monitor-command", **{"command-line": f"gdbserver unix:{monitor},server=on,wait=off"})
    told = gdb.tasks(file, monitor)
    trial.check("gdb finds the first two tasks", told == gdb.FIRST, told)
    trial.check("the guest runs on behind gdb", still_prints(guest))


def collect_and_look(trial, guest):
    """Collect all about a guest, and learn what a look at it can teach, without a trap: see judge.judge_deep()."""
    keep, trial.job["keep_memory"] = trial.job["keep_memory"], False  # with what is learned now
    trial.collect(guest)
    trial.job["keep_memory"] = keep
    if not trial.is_64_bit(guest):
        trial.say("not looked at: looks are for 64-bit guests")
        return
    traps = trial.stats(guest).get("traps_total")
    answer = trial.lacuna.ask("learn", guest.name, "--deep", seconds=trial.left())
    trial.write(guest, "deep", answer)
    trial.check("a look at the guest that runs teaches something", answer and answer["members"], f"{len((answer or {}).get('members', {}))} members")
    trial.check("nothing was trapped for it", trial.stats(guest).get("traps_total") == traps, f"{traps} traps before")
    trial.check("the guest runs on", still_prints(guest))
    trial.write(guest, "profile", trial.lacuna.ask("profile", guest.name))
    if keep:
        trial.keep_memory(guest)


def check_detail(trial, guest):
    """All that lacunactl tells of a guest against what that has told of itself, once."""
    guest.console.poll()

    def ask(word, *more):
        return trial.lacuna.ask(word, guest.name, *map(str, more), seconds=120)

    result = detail.compare(guest.console.current_boot(), ask)
    trial.write(guest, "detail", result)
    for what, comparison in (result or {"detail": {"compared": 0, "differences": ["the guest has told nothing"]}}).items():
        differences = comparison["differences"]
        trial.check(
            f"lacunactl {what} tells what the guest tells",
            comparison["compared"] and not differences,
            "; ".join(differences[:3]) or f"{comparison['compared']} compared, lacks {list(comparison.get('lacks', {}))}",
        )


def deep_on(trial):
    """A guest is looked at by itself, a while after its hunt; the profile has more members then, and so have the files for tools."""
    trial.lacuna.deep = None
    trial.start_lacuna()
    guest = trial.start_guest()
    if not trial.wait_ready(guest):
        return
    trial.collect(guest)
    end, deep_members = time.monotonic() + 300, []
    while time.monotonic() < end and not deep_members:
        time.sleep(5)
        members = (trial.lacuna.ask("profile", guest.name) or {}).get("members", {})
        deep_members = [name for one in members.values() for name, member in one.items() if member.get("deep")]
    trial.check("the guest was looked at without being asked for", deep_members, f"{len(deep_members)} members")
    trial.check("lacunactl is answered meanwhile and afterwards", trial.lacuna.ask("status"))
    isf = json.loads(next((STORE / "export/isf").glob("*.json")).read_text())["user_types"]["task_struct"]["fields"]
    trial.check("the file for tools has them, too", {"files", "active_mm", "cred"} <= set(isf), ", ".join(isf))
    trial.check("the guest runs on", still_prints(guest))
    trial.write(guest, "profile", trial.lacuna.ask("profile", guest.name))
    trial.write(guest, "pslist", trial.lacuna.ask("ps", "-f", guest.name))


def one_by_one(trial):
    """Boot the guests one after the other, with 1 and 2 vCPUs in turn: every boot finds all, and the same."""
    trial.start_lacuna()
    for number, job in enumerate(trial.job["guests"]):
        guest = trial.start_guest({**job, "cpus": 1 + number % 2})
        if trial.wait_ready(guest):
            trial.collect(guest)
            check_own_offsets(trial, guest)
        guest.kill()


def check_own_offsets(trial, guest):
    """What this very boot found must be complete and what is published, which other boots have gone into."""
    own = trial.lacuna.states.get(guest.name, {}).get("members", {})
    published = (trial.lacuna.ask("profile", guest.name) or {}).get("members", {})
    different = [
        name
        for name, member in own.items()
        if member.get("offset") is None
        or member["offset"] != published.get(name.split(".")[0], {}).get(name.split(".")[1], {}).get("offset")
    ]
    trial.check(f"{guest.name} by itself found all", own and not different, ", ".join(different), code=1)


def kill_daemon(trial):
    """kill -9 of the daemon while trapping: the guest comes up all the same, a new daemon can be started."""
    trial.start_lacuna()
    guest = trial.start_guest()
    if trial.wait_trapping(guest):
        trial.lacuna.daemon.kill()
        trial.lacuna.daemon.wait()
        trial.say("lacunad was killed")
        trial.wait_ready(guest)
        trial.check("the guest is still alive after its work", still_prints(guest))
        trial.lacuna.start_daemon()
        trial.check("a new daemon answers", trial.lacuna.ask("status") is not None)


def rmmod(trial):
    """rmmod while trapping: the guest gets its bytes back and comes up."""
    trial.start_lacuna()
    guest = trial.start_guest()
    if trial.wait_trapping(guest):
        trial.check("lacuna.ko can be unloaded while trapping", trial.lacuna.unload_module())
        trial.wait_ready(guest)
        trial.check("the guest is still alive after its work", still_prints(guest))


def dead_ftrace(trial):
    """ftrace ends for good while trapping: no hook can be taken away any more, so the module stays, and guests do not notice."""
    trial.start_lacuna()
    guest = trial.start_guest()
    if not trial.wait_trapping(guest):
        return
    run(["insmod", trial.job["lacuna"]["dead_ftrace"]])
    trial.say("ftrace is dead")
    state = trial.wait_state(guest, FINAL, 120)
    trial.check("the hunt ends as usual", state == "done", f"state {state}")
    trial.wait_ready(guest)
    trial.check("lacuna.ko, which hooks lead to, cannot be unloaded", not trial.lacuna.unload_module(3))
    trial.check("the guest is still alive after its work", still_prints(guest))
    guest.kill()
    again = trial.start_guest({**guest.job, "name": f"{guest.name}-again"})
    trial.wait_ready(again)
    code = trial.lacuna.stop_daemon()
    trial.check("lacunad lives until it is asked to end, and ends well", code == 0, f"exit code {code}")
    trial.lacuna = None  # it stays


def kill_guest(trial):
    """kill -9 of a guest's QEMU while trapping: it is reported gone, the next guest is served as usual."""
    trial.start_lacuna()
    guest = trial.start_guest()
    if trial.wait_trapping(guest):
        guest.kill()
        state = trial.wait_state(guest, ("gone",), 20)
        trial.check("the killed guest is reported gone", state == "gone", f"state {state}")
        again = trial.start_guest({**guest.job, "name": f"{guest.name}-again"})
        if trial.wait_ready(again):
            trial.collect(again)


def reset_guest(trial):
    """A reset while trapping: the second boot is learned as if it were the first."""
    trial.start_lacuna()
    guest = trial.start_guest(reboots=True)
    if trial.wait_trapping(guest):
        guest.qmp("system_reset")
        trial.say("guest was reset")
        if trial.wait_ready(guest):
            trial.collect(guest)


def save(trial):
    """Saved to a file while trapping, and restored where no module is: no trap has gone with it."""
    trial.start_lacuna()
    guest = trial.start_guest()
    if not trial.wait_trapping(guest):
        return
    saved = RUN / "saved"
    guest.migrate(f"exec:cat > {saved}")
    trial.say(f"guest was saved, {saved.stat().st_size >> 20} MiB")
    trial.check_let_go_first(guest)
    guest.kill()
    trial.stop_lacuna()
    again = trial.start_guest({**guest.job, "name": f"{guest.name}-restored"}, incoming=f"exec:cat {saved}")
    trial.wait_ready(again)
    trial.check("the restored guest is alive after its work", still_prints(again))


def hibernate(trial):
    """Hibernated to its disk while trapping, and resumed where no module is: no trap has gone with it."""
    disk = RUN / "hibernation.raw"
    RUN.mkdir(exist_ok=True)
    with open(disk, "wb") as file:
        file.truncate(1 << 30)
    job = {**trial.job["guests"][0], "disk": str(disk), "writes_disk": True}
    append = f"LACUNA_HIBERNATE={','.join(trial.job['disk_drivers'])}"
    trial.start_lacuna()
    guest = trial.start_guest(job, append=append)
    if not trial.wait_trapping(guest):
        return
    trial.check_let_go_first(guest, "hibernation")
    guest.console.wait_for(lambda _: not guest.alive(), trial.left(), guest.alive)
    trial.check("the guest hibernates", not guest.alive() and guest.console.said("LACUNA-GUEST HIBERNATES"), guest.end_reason())
    trial.stop_lacuna()
    again = trial.start_guest({**job, "name": f"{guest.name}-resumed"}, append=append)
    trial.wait_ready(again)
    trial.check("it was resumed, and not started anew", again.console.said("LACUNA-GUEST RESUMED"))
    trial.check("the resumed guest is alive after its work", still_prints(again))


def migrate(trial):
    """Migrated while trapping, to a VMM of the same host: no trap goes with it, and it is learned from there as a guest that runs."""
    trial.start_lacuna()
    migrate_to(trial, start_incoming(trial))


def migrate_ring(trial):
    """The same with VMMs that KVM tells of writes by a ring of each vCPU and not by bitmaps."""
    trial.job["guests"][0]["accel"] = "kvm,dirty-ring-size=4096"
    migrate(trial)


def migrate_late(trial):
    """The same with a VMM there that had waited for so long that it was given up: it is asked about again when the guest comes."""
    trial.start_lacuna("waiting_ms=2000")
    there = start_incoming(trial)
    check_given_up(trial, there)
    WAITING_MS.write_text("600000")
    migrate_to(trial, there)


def start_incoming(trial):
    """Start a VMM that waits for the job's guest."""
    job = trial.job["guests"][0]
    return trial.start_guest({**job, "name": f"{job['name']}-there"}, incoming=f"unix:{RUN}/migration")


def migrate_to(trial, there):
    """Start the job's guest, migrate it while trapping, and look at both."""
    guest = trial.start_guest(append="LACUNA_BUSY=1")
    if trial.wait_trapping(guest):
        guest.migrate(there.incoming)
        trial.check_let_go_first(guest)
        guest.kill()
        if trial.wait_ready(there):
            trial.collect(there)
            trial.check_trapped(there)


def check_given_up(trial, guest):
    """A guest that executes nothing is let go after waiting_ms, and then no guest pays for it."""
    state = trial.wait_state(guest, FINAL, 60)
    told = trial.lacuna.states.get(guest.name, {}).get("reason") or ""
    trial.check(f"{guest.name} is given up", state == "failed" and "in time" in told, f"state {state}: {told}")
    check_no_hooks(trial)


def stopped(trial):
    """Stopped before its kernel runs, for longer than it is waited for: let go, and it comes up unhurt when it goes on."""
    trial.start_lacuna("waiting_ms=6000")
    guest = trial.start_guest()
    trial.wait_state(guest, ("waiting",), 30)
    guest.qmp("stop")
    check_given_up(trial, guest)
    guest.qmp("cont")
    trial.wait_ready(guest)
    trial.check("the guest is still alive after its work", still_prints(guest))


def check_rights(trial):
    """Orders that reach a guest's memory need CAP_SYS_PTRACE, all of them CAP_NET_ADMIN."""
    for lacking, refused in (
        ([], set()),
        (["sys_ptrace"], netlink_rights.MEMORY),
        (["net_admin"], set(netlink_rights.ORDERS)),
    ):
        errors = netlink_rights.errors_without(*lacking)
        found = {name for name, error in errors.items() if error == errno.EPERM}
        who = " without ".join(["root", *lacking])
        trial.check(f"{who} is refused nothing more and nothing less than it should be", found == refused, f"{errors}")


def netlink(trial):
    """Messages of any shape to the module while trapping: they are refused, the guest is learned from as usual."""
    trial.start_lacuna()
    check_rights(trial)
    guest = trial.start_guest()
    if trial.wait_trapping(guest):
        refused = netlink_noise.send(NOISE)
        trial.check("nearly all messages are refused", refused > NOISE * 0.9, f"{refused} of {NOISE}")
        if trial.wait_ready(guest):
            trial.collect(guest)


def stubborn(trial):
    """Guests whose memory is taken away while trapping: they are let go in seconds, and nobody else has to wait for them."""
    trial.start_lacuna()
    module = module_orders.Module()
    check_search(trial, module)
    for change, undo in (("", ""), ("stop delete", "restore go"), ("stop delete read_only", "delete restore go")):
        tiny = trapped_tiny(trial, module)
        tiny.ask(change)
        check_disarmed(trial, module, tiny, change, 0)
        trial.check("its bytes are its own again", tiny.ask("sites") == "True")
        tiny.ask(undo)
        trial.check("the guest goes on", tiny.lives())
        tiny.kill()
    tiny = trapped_tiny(trial, module)
    tiny.ask("stop cover")
    check_disarmed(trial, module, tiny, "a breakpoint was put over a trap", errno.EINPROGRESS)
    tiny.ask("uncover go")
    end = time.monotonic() + 10
    while tiny.ask("sites") != "True" and time.monotonic() < end:
        time.sleep(0.1)
    trial.check("its bytes are its own again when the breakpoint has gone", tiny.ask("sites") == "True")
    trial.check("the guest goes on", tiny.lives())
    tiny.kill()
    tiny = trapped_tiny(trial, module)
    tiny.ask("withhold")
    check_disarmed(trial, module, tiny, "withhold", errno.EINPROGRESS)
    guest = trial.start_guest()
    if trial.wait_ready(guest):
        trial.collect(guest)
    trial.check("lacunad lives", trial.lacuna.stop_daemon() == 0)
    since = time.monotonic()
    unloaded = trial.lacuna.unload_module(0)
    trial.check("lacuna.ko can be unloaded in seconds", unloaded and time.monotonic() - since < 20, f"{time.monotonic() - since:.1f} s")
    trial.lacuna.daemon = None
    tiny.kill()
    check_unloaded_in_spite_of_a_signal(trial)


def check_unloaded_in_spite_of_a_signal(trial):
    """Whoever unloads the module gets a signal, and the bytes come back all the same as soon as they can."""
    trial.lacuna.load_module()
    trial.lacuna.start_daemon()
    tiny = trapped_tiny(trial, module_orders.Module())
    tiny.ask("stop cover")
    trial.check("lacunad lives", trial.lacuna.stop_daemon() == 0)
    trial.lacuna.daemon = None
    with subprocess.Popen(["rmmod", "lacuna"]) as unloading:
        time.sleep(1)
        unloading.send_signal(signal.SIGINT)
        time.sleep(1)
        trial.check("a signal does not end the wait for a breakpoint to go", trial.lacuna.module_loaded())
        tiny.ask("uncover go")
    trial.check("its bytes are its own again when the module has gone", not trial.lacuna.module_loaded() and tiny.ask("sites") == "True")
    trial.check("the guest goes on", tiny.lives())
    tiny.kill()


def trapped_tiny(trial, module):
    """Start a TinyVmm and have it hunted; a check."""
    tiny = armed_tiny(trial, module, descriptor())
    end = time.monotonic() + 20
    while (found := module.guests()[tiny.pid])[2]["emulated"] < 100 and time.monotonic() < end:
        time.sleep(0.1)
    trial.check("it is trapped", found[2]["emulated"] >= 100, f"state {found[1]}, {found[2]}")
    return tiny


def armed_tiny(trial, module, kernel):
    """Start a TinyVmm and have that kernel waited for in it; a check."""
    tiny = TinyVmm(trial.out / "tiny-vmm.log")
    number, state, _ = module.guests().get(tiny.pid, (0, None, None))
    refused = module.arm(number, kernel)
    trial.check("a guest of a few instructions is armed", refused == 0, f"errno {refused}; its state was {state}")
    return tiny


def check_search(trial, module):
    """A guest whose kernel is looked for and not found hardly loses time by that."""
    tiny = armed_tiny(trial, module, descriptor(STRANGE_BANNER))
    since, failed = time.monotonic(), abi.number("LACUNA_GUEST_FAILED")
    while (found := module.guests()[tiny.pid])[1] != failed and time.monotonic() < since + 10:
        time.sleep(0.1)
    spent, all_time = found[2]["hook_ns_total"] / 1e9, time.monotonic() - since
    trial.check("an eighth of its time at most is spent on the search", 0 < spent * 8 < all_time, f"{spent:.2f} of {all_time:.1f} s")
    tiny.kill()


def check_disarmed(trial, module, tiny, change, expected):
    """Disarming is answered as expected, in seconds, and so is the question for all guests while it is not done."""
    since = time.monotonic()
    answer = module.disarm(module.guests()[tiny.pid][0])
    took = time.monotonic() - since
    trial.check(f"disarming is answered after {change or 'nothing'}", answer == expected and took < 10, f"errno {answer} after {took:.1f} s")
    since = time.monotonic()
    status = trial.lacuna.ask("status")
    trial.check("status is answered", status is not None and time.monotonic() - since < 20, f"after {time.monotonic() - since:.1f} s")


def traced(trial):
    """A guest that traces and probes the very functions that are trapped: neither is in the other's way, and it is learned from."""
    trial.start_lacuna()
    guest = trial.start_guest(append="LACUNA_TRACED=1")
    if trial.wait_ready(guest):
        said = re.findall(r"^LACUNA-TRACED (.*)$", guest.console.text, re.M)
        seen = [int(number) for number in said[0].split()] if said else []
        trial.check("the guest has traced forks, their ends, exits and initcalls", len(seen) == 4 and min(seen) > 0, said)
        trial.collect(guest)
        trial.check_trapped(guest)
        trial.check("the guest is still alive after its work", still_prints(guest))


def probed(trial):
    """A guest that puts a probe exactly where it is trapped: its kernel copies its own bytes and no trap, and it lives on."""
    trial.start_lacuna()
    guest = trial.start_guest(append=f"LACUNA_PROBED={trial.job['fork_site']}")
    if not trial.wait_trapping(guest):
        return
    trial.check_let_go_first(guest, "probe")
    trial.wait_ready(guest)
    said = re.findall(r"^LACUNA-PROBED (.*)$", guest.console.text, re.M)
    trial.check("the probe was hit, and the guest went on", said and int(said[0]) > 0, said)
    trial.check("the guest is alive after its work", still_prints(guest))


def hostile(trial):
    """A guest whose kernel lies in all it is asked, beside one that does not: the one teaches nothing wrong, the other all there is."""
    trial.start_lacuna()
    job = trial.job["guests"][0]
    liar = trial.start_guest({**job, "name": f"{job['name']}-liar"}, append="LACUNA_HOSTILE=1")
    beside = trial.start_guest({**job, "folder": "beside"})
    hunts = []  # one is over before it has begun to lie, now and then
    while trial.left() > 60 and liar.alive() and not liar.console.wait_for(lambda console: HOSTILE_END.search(console.text), 1, liar.alive):
        if trial.wait_state(liar, FINAL, 10) in FINAL:
            hunts.append(hunted(trial, liar))
            trial.lacuna.ask("learn", liar.name)
            trial.wait_state(liar, ("waiting", *TRAPPING), 20)
    said = HOSTILE_END.findall(liar.console.text)
    if trial.wait_ready(beside):
        trial.collect(beside)
    trial.check("the liar has come to its sites with its lies", said and sum(map(int, said[0])) > 1000, said)
    trial.wait_ready(liar)
    trial.check("the liar is alive after its work", still_prints(liar))
    state = trial.wait_state(liar, FINAL)
    trial.check("the liar is let go", state in FINAL, f"state {state}")
    hunts.append(hunted(trial, liar))
    profile = trial.lacuna.ask("profile", beside.name) or {}
    trial.write(liar, "lies", hunts)
    check_no_lies(trial, hunts, profile)
    longest = max(hunt.get("stats", {}).get("hook_ns_max", 0) for hunt in hunts) / 1e9
    trial.check("no event took longer than what is read in one may take", 0 < longest < LONGEST_EVENT, f"{longest:.2f} s")
    events = sum(hunt.get("stats", {}).get("events", {}).get("used", 0) for hunt in hunts)
    trial.check("the engine was told lies", events > 100, f"{events} events in {len(hunts)} hunts")


def hunted(trial, guest):
    """What came of the hunt that is over: the guest's entry, with its stats."""
    return {**trial.lacuna.states.get(guest.name, {}), "stats": trial.stats(guest)}


def check_no_lies(trial, hunts, profile):
    """What the liar has taught in any of its hunts is what the guest beside it has taught, which is judged."""
    true = {f"{s}.{m}": member.get("offset") for s, members in profile.get("members", {}).items() for m, member in members.items()}
    found = [(name, member["offset"]) for hunt in hunts for name, member in hunt.get("members", {}).items() if member["state"] == "resolved"]
    wrong = [f"{name} {offset} instead of {true.get(name)}" for name, offset in found if offset != true.get(name)]
    trial.check("nothing wrong was learned from the liar", not wrong, ", ".join(wrong) or f"{len(found)} members in {len(hunts)} hunts")


def kvm_selftests(trial):
    """KVM's own selftests end as they do without the module, while each of their machines is hunted; both times a guest runs beside them.

    A machine that is to be hunted is held back at its start for a moment: what ends otherwise is run again with nobody held back, and
    again without the module, since some measure how fast this machine is.
    """
    folder, job = Path(trial.job["selftests"]), trial.job["guests"][0]
    alone = trial.start_guest({**job, "name": f"{job['name']}-alone"})
    trial.wait_ready(alone)
    before = {name: selftests.outcome(folder, name) for name in selftests.names(folder)}
    ended = [name for name, (how, _) in before.items() if how != "does not end"]
    trial.say(f"{len(ended)} of {len(before)} selftests end, {sum(how == 'passes' for how, _ in before.values())} pass")
    trial.check("the guest beside them without the module is alive", still_prints(alone))
    alone.kill()
    trial.lacuna.guests = [job, {**job, "name": "vm-"}]  # what lacunad calls machines that have no name
    trial.start_lacuna()
    guest = trial.start_guest()
    trial.wait_trapping(guest)
    after = {name: selftests.outcome(folder, name, 3 * selftests.SECONDS) for name in ended}
    different = [name for name in ended if after[name][0] != before[name][0]]
    HOLD_MS.write_text("0")
    again = {name: selftests.outcome(folder, name, 3 * selftests.SECONDS) for name in different}
    (trial.out / "selftests.json").write_text(json.dumps({"without": before, "with": after, "again": again}, indent=1))
    trial.check("some selftests pass", sum(how == "passes" for how, _ in after.values()) > len(ended) // 3)
    trial.say(f"{len(ended) - len(different)} of {len(ended)} selftests end as without the module at once")
    hunted_ones = [name for name, entry in trial.lacuna.states.items() if name.startswith("vm-") and entry["state"] != "ignored"]
    trial.check("their machines were hunted", len(hunted_ones) > len(ended) // 2, f"{len(hunted_ones)} machines")
    if trial.wait_ready(guest):
        trial.collect(guest)
    trial.stop_lacuna()
    chance = {name: selftests.outcome(folder, name, 3 * selftests.SECONDS) for name in different}
    for name in different:
        ways = f"{before[name][0]} without, {after[name][0]} with it, {again[name][0]} held back by nobody, {chance[name][0]} without it again"
        same = again[name][0] == before[name][0] or after[name][0] == chance[name][0]
        trial.check(f"{name} ends as without the module", same, ways)


def other_kernel(trial):
    """A guest whose kernel is none of those in its image: it is let go with the reason, and is unhurt."""
    job = trial.job["guests"][0]
    image = Path(trial.job["vmlinux"]).read_bytes()
    require(BUILDER in image, "the default guest's kernel has no banner to be changed")
    trial.lacuna.guests = [{**job, "kernel": other_vmlinux(image.replace(BUILDER, BUILDER[::-1]))}]
    trial.start_lacuna()
    guest = trial.start_guest()
    state = trial.wait_state(guest, ("failed", "done"), 60)
    reason = trial.lacuna.states.get(guest.name, {}).get("reason") or ""
    trial.check("the guest is let go", state == "failed", f"state {state}")
    trial.check("because no kernel matches", "no matching kernel" in reason, reason)
    trial.wait_ready(guest)
    trial.check("the guest is still alive after its work", still_prints(guest))


def other_vmlinux(image):
    """The file of a kernel that no guest boots."""
    RUN.mkdir(parents=True, exist_ok=True)
    other = RUN / "other-vmlinux"
    other.write_bytes(image)
    return other


def same_banner(trial):
    """Two kernels of one banner and other code, as rebuilds with a fixed time are: the one that runs is told from the other."""
    job = trial.job["guests"][0]
    image = Path(trial.job["vmlinux"]).read_bytes()
    site = trial.lacuna.ask("kernel", trial.job["vmlinux"], seconds=300)["sites"][0]
    code = bytes.fromhex(site["bytes"])
    require(image.count(code) == 1, f"the code at the site in {site['function']} is not there once, but {image.count(code)} times")
    frame = code.find(bytes.fromhex("4883ec"))
    require(frame >= 0, f"{site['function']} has no frame (sub $n,%rsp) that could be larger: {site['bytes']}")
    frame += 3
    other = other_vmlinux(image.replace(code, code[:frame] + bytes([code[frame] + 8]) + code[frame + 1 :]))
    ids = [trial.lacuna.ask("kernel", file, seconds=300)["id"] for file in (other, trial.job["vmlinux"])]
    trial.check("both are of one release", len({one.rsplit("-", 1)[0] for one in ids}) == 1 and ids[0] != ids[1], str(ids))
    trial.lacuna.guests = [{**job, "kernels": [str(other), job["kernel"]]}]
    trial.start_lacuna()
    guest = trial.start_guest()
    if not trial.wait_ready(guest):
        return
    trial.collect(guest)
    kernel = trial.lacuna.states[guest.name]["kernel"]
    trial.check("the kernel that runs is the one that was found", kernel == ids[1], f"{kernel} of {ids}")


def not_linux(trial):
    """Guests without Linux: let go after a bounded number of exits, unhurt, and then no hook is left."""
    trial.start_lacuna("firmware_ms=0")  # no need to wait for what will not come
    check_other_system(trial, "firmware", "no Linux kernel was started", 1 << 16)
    check_other_system(trial, "high-half", "no matching kernel", 4096)
    check_no_hooks(trial)
    idle = trial.start_guest({**trial.job["guests"][0], "name": "guest1-no-disk", "kernel": None})
    state = trial.wait_state(idle, FINAL, 15)
    trial.check("a guest with nothing to boot is waited for", state == "waiting", f"state {state}")
    trial.check("it is unhurt", idle.alive())
    idle.kill()
    trial.check("it is reported gone", trial.wait_state(idle, ("gone",), 20) == "gone")
    exits = trial.lacuna.ask("stats", idle.name)["early_exits"]
    trial.check("it has cost a few exits of its firmware", 0 < exits < 4096, f"{exits} exits")
    check_no_hooks(trial)


def check_other_system(trial, kind, reason, limit):
    """Boot one of tests/lab/guest/not-linux.S: it is let go with that reason after so many exits, unhurt."""
    job = {**trial.job["guests"][0], "floppy": trial.job["other_systems"][kind], "name": f"guest1-{kind}"}
    guest = trial.start_guest(job)
    state = trial.wait_state(guest, FINAL, 90)
    told = trial.lacuna.states.get(guest.name, {}).get("reason") or ""
    exits = trial.lacuna.ask("stats", guest.name)["early_exits"]
    trial.check(f"{guest.name} is let go", state == "failed" and reason in told, f"state {state}: {told}")
    trial.check("after a bounded number of exits", 0 < exits <= limit, f"{exits} exits")
    seen = len(guest.console.text)
    unhurt = guest.console.wait_for(lambda console: len(console.text) > seen + 100, 30, guest.alive)
    trial.check("and goes on", unhurt and "LACUNA-OTHER alive" in guest.console.text)
    guest.kill()


def neighbours(trial):
    """What Lacuna costs guests that are not hunted: cycles per CPUID, alone and beside a guest that boots, without the module and with it."""
    job = trial.job["guests"][0]
    of_cpuid = {**job, "floppy": trial.job["other_systems"]["cpuid"], "cpus": 1}
    other = trial.start_guest({**of_cpuid, "name": "guest1-before"})
    before = {"none": cycles(trial, other), "one": cycles_beside(trial, other, trial.start_guest({**job, "name": "guest1-unhunted"}))}
    other.kill()
    trial.start_lacuna("firmware_ms=0")
    other = trial.start_guest({**of_cpuid, "name": "guest1-cpuid"})
    trial.wait_state(other, FINAL, 90)
    now = {"none": cycles(trial, other)}
    guest = trial.start_guest(job)
    trial.wait_trapping(guest)
    now["one"] = cycles_beside(trial, other, guest)
    trial.collect(guest)
    trial.write(guest, "neighbours", {"without": before, "with": now})
    for number in before:
        what = f"{before[number]:.0f} cycles without Lacuna, {now[number]:.0f} with it"
        trial.check(f"another guest's CPUID takes no longer while {number} is hunted", now[number] <= before[number] * CPUID_TOLERANCE, what)


def cycles_beside(trial, other, guest):
    """Cycles per CPUID of the other guest until this one is up."""
    fewest = cycles(trial, other, lambda: guest.alive() and not guest.wait_until("LACUNA-GUEST READY", 0.1))
    trial.wait_ready(guest)
    return fewest


def cycles(trial, other, goes_on=lambda: False):
    """The fewest cycles per CPUID that the guest of cpuid.S tells of in some lines, or as long as `goes_on` says."""
    told = len(CPUID_TOLD.findall(other.console.text))
    while trial.left():
        other.console.wait_for(lambda _: False, 0.5)
        found = CPUID_TOLD.findall(other.console.text)[told + 1 :]  # the first may be of before
        if len(found) >= CPUID_LINES and not goes_on():
            return min(int(number, 16) for number in found) / CPUID_BATCH
    require(False, "the guest that measures CPUID says nothing")


def clock(trial):
    """A guest that measures as kernels do when they start finds the same while Lacuna looks for its kernel as when it is left alone."""
    trial.start_lacuna()
    module, job = module_orders.Module(), trial.job["guests"][0]
    guest = trial.start_guest({**job, "floppy": trial.job["other_systems"]["clock"], "cpus": 1, "name": "clock"})
    alone, looked_at = [], []
    for _ in range(CLOCK_ROUNDS):  # in turn, since the lab's own machine is now faster and now slower
        alone += measured(trial, guest)
        look_on(module, guest)
        looked_at += measured(trial, guest, lambda: look_on(module, guest))
        number, _, stats = module.guests()[guest.process.pid]
        trial.check("its kernel was looked for", stats["hook_ns_total"] > 0, f"{stats['hook_ns_total'] / 1e9:.3f} s spent on it since it was armed last")
        module.disarm(number)
    trial.write(guest, "clock", {"alone": alone, "looked at": looked_at})
    for what, tolerance, figure, of in (
        ("what it gets done between two interrupts", CLOCK_TOLERANCE, statistics.median, lambda rounds, tsc, apic: rounds),
        ("what the TSC counts between them", CLOCK_TOLERANCE, statistics.median, lambda rounds, tsc, apic: tsc),
        ("the most that it counts", LONGEST_TOLERANCE, max, lambda rounds, tsc, apic: tsc),
        ("what the TSC counts while the APIC's timer counts one", CLOCKS_TOLERANCE, statistics.median, lambda rounds, tsc, apic: tsc / apic),
    ):
        before, now = (figure(of(*period) for period in periods) for periods in (alone, looked_at))
        told = f"{before:.4g} alone, {now:.4g} while its kernel is looked for"
        trial.check(f"{what} is the same", max(before, now) < min(before, now) * tolerance, told)
    guest.kill()
    other = trial.start_guest()
    if trial.wait_ready(other):
        trial.collect(other)


def watchdogs(trial):
    """A guest whose kernel panics when anything keeps it from its work for a second or two comes up with Lacuna as it does without."""
    job = trial.job["guests"][0]
    alone = trial.start_guest({**job, "name": f"{job['name']}-alone"}, append=WATCHDOGS)
    trial.wait_ready(alone)
    alone.kill()
    trial.start_lacuna()
    guest = trial.start_guest(append=WATCHDOGS)
    if trial.wait_ready(guest):
        trial.collect(guest)
        trial.check_trapped(guest)
        trial.check("the guest is still alive after its work", still_prints(guest))


def latency(trial):
    """How late a program with a deadline wakes up, alone and while its guest is hunted: as a rule no later, and never by more than two events."""
    job = trial.job["guests"][0]
    alone = trial.start_guest({**job, "name": f"{job['name']}-alone"}, append="LACUNA_LATENCY=1")
    trial.wait_ready(alone)
    alone.console.wait_for(lambda _: len(latencies(alone)) >= LATENCY_BATCHES, trial.left(), alone.alive)
    before = latencies(alone)
    alone.kill()
    trial.start_lacuna()
    guest = trial.start_guest(append="LACUNA_LATENCY=1")
    if not trial.wait_ready(guest):
        return
    trial.collect(guest)
    trial.check_trapped(guest)
    now, longest = latencies(guest), trial.stats(guest)["hook_ns_max"] // 1000
    trial.write(guest, "latency", {"alone": before, "hunted": now, "longest event": longest})
    usual = [statistics.median(median for median, _ in measured) for measured in (before, now)]
    most = [max(late for _, late in measured) for measured in (before, now)]
    trial.check("as a rule it wakes up no later", usual[1] < usual[0] * LATENCY_TOLERANCE, f"{usual[0]} us late alone, {usual[1]} us while it is hunted")
    trial.check("it waits for two events at most", most[1] < most[0] + 2 * longest, f"{most[0]} us alone, {most[1]} us; the longest event took {longest} us")


def latencies(guest):
    """What the guest has told so far: (median, longest) of each batch, in microseconds."""
    return [(int(median), int(longest)) for median, longest in LATENCY_TOLD.findall(guest.console.text)]


def look_on(module, guest):
    """Have a kernel looked for in the guest that is not there, again when it has been given up."""
    number, state, _ = module.guests()[guest.process.pid]
    if state != abi.number("LACUNA_GUEST_WAITING"):
        refused = module.arm(number, descriptor(STRANGE_BANNER))
        require(refused in (0, errno.EBUSY), f"a kernel cannot be looked for: errno {refused}")  # busy: the last search is just ending


def measured(trial, guest, meanwhile=lambda: None):
    """The next periods that the guest of clock.S tells of: (rounds, cycles of the TSC, of the APIC's timer) of each."""
    told = len(CLOCK_TOLD.findall(guest.console.text))

    def is_enough(console):
        meanwhile()
        return len(CLOCK_TOLD.findall(console.text)) > told + CLOCK_LINES

    enough = guest.console.wait_for(is_enough, trial.left(), guest.alive)
    require(enough, "the guest that measures its clocks says nothing")
    numbers = [int(number, 16) for line in CLOCK_TOLD.findall(guest.console.text)[told + 1 :] for number in line.split()]
    return list(zip(numbers[::3], numbers[1::3], numbers[2::3]))


def check_no_hooks(trial):
    """Nothing hangs on the exits of guests any more, a moment after the last one has been let go."""
    end = time.monotonic() + 5
    while (left := [name for name in EXITS if trial.lacuna.hooked(name)]) and time.monotonic() < end:
        time.sleep(0.2)
    trial.check("no hook is left on the exits of guests", not left, ", ".join(left))


def with_both_kernels(trial):
    """Let the rule of the job's guest name both kernels, as an image that holds them would; returns its job."""
    job = trial.job["guests"][0]
    trial.lacuna.guests = [{**job, "kernels": [trial.job["next"]["kernel"], job["kernel"]]}]
    return job


def kexec(trial):
    """kexec into another kernel while trapping: noticed, and the next kernel is learned as if it were the first."""
    to_next_kernel(trial, "LACUNA_KEXEC=0")


def kdump(trial):
    """A crash on another than the boot CPU while trapping, into a kernel that waits for that: as with kexec."""
    # room for that kernel beside the other, wherever that and its initrd have got to
    to_next_kernel(trial, "LACUNA_KEXEC=0 LACUNA_CRASH=1 crashkernel=256M", memory=1024)


def to_next_kernel(trial, append, **more):
    """The guest gets to its next kernel while trapping."""
    with_both_kernels(trial)
    trial.start_lacuna()
    guest = trial.start_guest({**trial.job["guests"][0], **more}, append=append)
    if trial.wait_trapping(guest) and wait_kernel(trial, guest, trial.job["next"]["release"]):
        if trial.wait_ready(guest):
            trial.collect(guest)


def kexec_reset(trial):
    """kexec into another kernel when all is found: the guest is unhurt. Then a reset into the first: learned anew."""
    with_both_kernels(trial)
    trial.start_lacuna()
    guest = trial.start_guest(append="LACUNA_KEXEC=12", reboots=True)
    if not trial.wait_ready(guest):
        return
    state = trial.wait_state(guest, FINAL)
    trial.check("Lacuna is done before the kexec", state == "done", f"state {state}")
    first = trial.lacuna.states[guest.name]["kernel"]
    if not wait_kernel(trial, guest, trial.job["next"]["release"]) or not trial.wait_ready(guest):
        return
    trial.check("the guest is still alive after its work", still_prints(guest))
    guest.qmp("system_reset")
    state = trial.wait_state(guest, ("waiting", "trapping"), 60)
    trial.check("the reset is noticed", state in ("waiting", "trapping"), f"state {state}")
    if wait_kernel(trial, guest, trial.job["release"]) and trial.wait_ready(guest):
        trial.collect(guest)
        kernel = trial.lacuna.states[guest.name]["kernel"]
        trial.check("the kernel after the reset is the first one", kernel == first, kernel)


def upgrade(trial):
    """The guest's next boot is of another kernel: learned as well, and what is known of the first one stays."""
    job = with_both_kernels(trial)
    trial.start_lacuna()
    guest = trial.start_guest({**job, "folder": "before"})
    if not trial.wait_ready(guest):
        return
    trial.collect(guest)
    first = trial.lacuna.states[guest.name]["kernel"]
    file = STORE / "profiles" / f"{first}.json"
    before = file.read_bytes()
    guest.kill()
    trial.wait_state(guest, ("gone",), 20)
    after = {"folder": "after", "kernel": trial.job["next"]["kernel"], "initrd": trial.job["next"]["initrd"]}
    again = trial.start_guest({**job, **after})
    if trial.wait_ready(again):
        trial.collect(again)
        second = trial.lacuna.states[again.name]["kernel"]
        trial.check("the kernel that runs is told from the other", second != first, f"{first}, {second}")
        trial.check("the first kernel's profile is as it was", file.read_bytes() == before)


def running(trial):
    """A guest that booted before Lacuna was there: left alone, and learned from when somebody asks for it, without a reboot."""
    guest = trial.start_guest(append="LACUNA_BUSY=1")
    if not trial.wait_ready(guest):
        return
    trial.start_lacuna()
    state = trial.wait_state(guest, (*TRAPPING, *FINAL), 30)
    reason = trial.lacuna.states.get(guest.name, {}).get("reason") or ""
    trial.check("it is known and left alone", state == "ignored" and "lacunactl learn" in reason, f"{state}: {reason}")
    asked = time.monotonic()
    trial.check("lacunactl learn is taken", trial.lacuna.ask("learn", guest.name) is not None)
    trial.wait_state(guest, ("waiting", *TRAPPING, "done"), 30)
    trial.wait_state(guest, FINAL)
    trial.write(guest, "learn", {"seconds": time.monotonic() - asked, "traps": trial.stats(guest).get("traps_total")})
    trial.collect(guest)
    trial.check_trapped(guest)
    trial.check("the guest is still alive after its work", still_prints(guest))


def known(trial):
    """A second boot of a kernel whose profile is complete: not trapped, the profile is seen to hold; nor after a restart."""
    trial.lacuna.policy, trial.lacuna.confirm_boots = "learn-if-unknown", 1
    trial.start_lacuna()
    guest = trial.start_guest({**trial.job["guests"][0], "folder": "first"})
    if not trial.wait_ready(guest):
        return
    trial.collect(guest)
    guest.kill()
    trial.wait_state(guest, ("gone",), 20)
    again = trial.start_guest({**trial.job["guests"][0], "folder": "again"}, append="LACUNA_BUSY=1")
    if not trial.wait_ready(again):
        return
    trial.collect(again)
    check_verified(trial, again, "its profile holds")
    trial.check("lacuna.ko can be unloaded", trial.lacuna.stop_daemon() == 0 and trial.lacuna.unload_module())
    trial.start_lacuna()
    trial.wait_state(again, FINAL, 60)
    check_verified(trial, again, "its profile holds after a restart of daemon and module")


def check_verified(trial, guest, what):
    """The guest's profile is known to hold in it, and it was never trapped."""
    end = time.monotonic() + 60
    while not trial.lacuna.states.get(guest.name, {}).get("verified") and time.monotonic() < end:
        time.sleep(0.2)
    verified = trial.lacuna.states.get(guest.name, {}).get("verified")
    traps = trial.stats(guest).get("traps_total")
    trial.check(what, verified and traps == 0, f"verified {verified}, {traps} traps")


def wait_kernel(trial, guest, release):
    """Wait until the guest's init runs on that kernel; a check."""
    came = guest.wait_until(f"LACUNA-GUEST KERNEL {release}", trial.left())
    return trial.check(f"{guest.name} comes up with kernel {release}", came)


def hypercall(trial):
    """VMMCALL by the guest itself, from user space and from its kernel: the answers are KVM's own.

    KVM answers -KVM_EPERM (1) to user space, -KVM_ENOSYS (1000) to unknown numbers, and 0 to
    KVM_HC_VAPIC_POLL_IRQ.
    """
    trial.start_lacuna()
    guest = trial.start_guest(append="LACUNA_HYPERCALL=1")
    if trial.wait_ready(guest):
        said = re.findall(r"LACUNA-HYPERCALL (.*)", guest.console.current_boot())
        trial.check(
            "user space gets KVM's refusal or a fault",
            any(re.fullmatch(r"user (result -1|signal \d\d)", line) for line in said),
            said,
        )
        trial.check("the kernel gets KVM's answers", "kernel unknown -1000 poll 0" in said, said)
        trial.collect(guest)


def text(trial):
    """After a finished boot the guest's kernel text is, byte for byte, that of a boot without Lacuna."""
    before = kernel_text(trial, "without-lacuna")
    trial.start_lacuna()
    after = kernel_text(trial, None)
    if before and after:
        # byte by byte only if need be: under emulation that takes a minute
        pairs = [] if before == after else zip(before, after)
        different = [at for at, (one, other) in enumerate(pairs) if one != other]
        trial.check(
            "both boots have the same amount of kernel text",
            len(before) == len(after),
            f"{len(before)} and {len(after)} bytes",
        )
        trial.check(
            "the kernel text is the same in both",
            not different,
            f"{len(before)} bytes, {len(different)} differ: {[hex(at) for at in different[:16]]}",
        )


def kernel_text(trial, suffix):
    """Boot a guest without KASLR and return its kernel text, None when it does not come up."""
    job = trial.job["guests"][0]
    guest = trial.start_guest({**job, "name": f"{job['name']}-{suffix}"} if suffix else job, append="nokaslr")
    if not trial.wait_ready(guest):
        return None
    if trial.lacuna and trial.lacuna.module_loaded():
        trial.collect(guest)
    found = re.search(r"^LACUNA-TEXT ([0-9a-f]+) ([0-9a-f]+)$", guest.console.text, re.M)
    require(found, f"{guest.name} did not say where its kernel text is")
    first, last = (int(word, 16) for word in found.groups())
    file = RUN / f"{guest.name}.text"
    guest.qmp("pmemsave", val=first, size=last + 1 - first, filename=str(file))
    guest.kill()
    return file.read_bytes()


def still_prints(guest):
    """Whether the guest goes on printing views."""
    seen = len(guest.console.views())
    return guest.console.wait_for(lambda console: len(console.views()) > seen + 1, 120, guest.alive)


SCENARIOS = {
    "normal": normal,
    "deep": deep,
    "deep-on": deep_on,
    "one-by-one": one_by_one,
    "kill-daemon": kill_daemon,
    "rmmod": rmmod,
    "dead-ftrace": dead_ftrace,
    "kill-guest": kill_guest,
    "reset-guest": reset_guest,
    "hypercall": hypercall,
    "hostile": hostile,
    "traced": traced,
    "probed": probed,
    "selftests": kvm_selftests,
    "netlink": netlink,
    "save": save,
    "hibernate": hibernate,
    "migrate": migrate,
    "migrate-late": migrate_late,
    "migrate-ring": migrate_ring,
    "stopped": stopped,
    "stubborn": stubborn,
    "other-kernel": other_kernel,
    "same-banner": same_banner,
    "not-linux": not_linux,
    "neighbours": neighbours,
    "clock": clock,
    "watchdogs": watchdogs,
    "latency": latency,
    "kexec": kexec,
    "kdump": kdump,
    "kexec-reset": kexec_reset,
    "upgrade": upgrade,
    "running": running,
    "known": known,
    "text": text,
}
