# SPDX-License-Identifier: GPL-2.0-or-later
"""One run inside the lab host: its guests, Lacuna, the checks made and what is collected."""

import json
import shutil
import subprocess
import time
from pathlib import Path

from . import behaviour, lost_guest, views
from .base import LabError
from .guest import RUN, Guest
from .lacuna import STORE, Lacuna

TRAPPING = ("trapping", "restoring")
SHOW_SECONDS = 2
RECORDING_SECONDS = 300
FINAL = ("done", "failed", "gone", "ignored")


class Trial:
    """What a scenario works with. `job` is what scripts/lab wrote, `out` the folder for results."""

    def __init__(self, job, out):
        self.job, self.out = job, Path(out)
        self.end = time.monotonic() + job["timeout"]
        self.checks, self.guests, self.shown = [], [], {}
        lost_guest.watch()
        self.lacuna = (
            Lacuna(job["lacuna"], job["guests"], self.out / "lacunad.log") if job["lacuna"] else None
        )

    def left(self):
        """Seconds left for this run."""
        return max(self.end - time.monotonic(), 0)

    @staticmethod
    def say(message):
        """One line of progress; scripts/lab shows it."""
        print(message, flush=True)

    def check(self, what, ok, detail="", code=2):
        """Note the outcome of one check and, if it failed, the exit code it means; returns the outcome."""
        self.checks.append({"check": what, "ok": bool(ok), "detail": str(detail), "code": 0 if ok else code})
        self.say(f"{'ok' if ok else 'FAILED'}: {what}{f' ({detail})' if detail else ''}")
        if not ok:
            require(not lost_guest.look(), "the emulator has lost a guest: this run tells nothing")
        return bool(ok)

    def start_lacuna(self, *parameters):
        """Load the module, perhaps with parameters, and start the daemon."""
        if self.lacuna:
            self.lacuna.load_module(*parameters)
            self.lacuna.start_daemon()
            self.say("lacuna.ko is loaded and lacunad is ready")

    def stop_lacuna(self):
        """Stop the daemon and unload the module: both must go without a fuss."""
        if not self.lacuna:
            return
        if self.lacuna.daemon:
            code = self.lacuna.stop_daemon()
            self.check(
                "lacunad lives until it is asked to end, and ends well", code == 0, f"exit code {code}"
            )
        if self.lacuna.module_loaded():
            self.check("lacuna.ko can be unloaded", self.lacuna.unload_module())

    def start_guest(self, job=None, **options):
        """Start a guest (the job's first unless told)."""
        guest = Guest(job or self.job["guests"][0], self.out, **options)
        self.guests.append(guest)
        guest.start()
        self.say(f"{guest.name} started")
        return guest

    def wait_ready(self, guest):
        """Wait until the guest has done its work, showing how far Lacuna is; a check."""
        while self.left() and guest.alive() and not guest.console.wait_for(lambda _: guest.up(), 0.5):
            self.show_state(guest)
        ready = guest.up()
        guest.times["ready"] = time.monotonic()
        return self.check(
            f"{guest.name} comes up and does its work",
            ready,
            f"{guest.times['ready'] - guest.times['start']:.1f} s" if ready else self._why_not(guest),
        )

    @staticmethod
    def _why_not(guest):
        ended = "" if guest.alive() else f"its QEMU ended with {guest.process.returncode} ({guest.end_reason()}); "
        return (
            f"{ended}its console ends with: {' | '.join(guest.console.text.splitlines()[-3:]) or 'nothing'}"
        )

    def show_state(self, guest):
        """Show the guest's state and open members, not too often; returns the entry or {}."""
        entry = self.lacuna.states.get(guest.name, {}) if self.lacuna else {}
        members = entry.get("members", {}).items()
        words = " ".join(f"{name.split('.')[-1]}{progress(member)}" for name, member in members)
        line = f"{guest.name} {entry.get('state')}: {entry.get('reason') or words}"
        shown, state, at = self.shown.get(guest.name, ("", None, 0))
        if entry and line != shown and (entry["state"] != state or time.monotonic() - at > SHOW_SECONDS):
            self.say(line)
            self.shown[guest.name] = (line, entry["state"], time.monotonic())
        return entry

    def wait_state(self, guest, states, seconds=None):
        """Wait until the daemon reports one of these states for the guest; returns the last state seen."""
        end, state = min(self.end, time.monotonic() + (seconds or self.left())), None
        while time.monotonic() < end and self.lacuna.running():
            state = self.show_state(guest).get("state")
            if state in states:
                break
            time.sleep(0.1)
        return state

    def wait_trapping(self, guest):
        """Wait until traps are in the guest's kernel; a check."""
        state = self.wait_state(guest, (*TRAPPING, *FINAL))
        return self.check(f"{guest.name} is seen while trapping", state == "trapping", f"state {state}")

    def check_let_go_first(self, guest, why="copied"):
        """The hunt in a guest whose memory was copied has ended because of that, and says so with this word; a check."""
        state = self.wait_state(guest, FINAL, 30)
        reason = self.lacuna.states.get(guest.name, {}).get("reason") or ""
        ended = state == "done" and why in reason
        return self.check("the hunt ends before memory is copied", ended, f"{state}: {reason}")

    def stats(self, guest):
        """lacunactl stats of the guest, {} if there are none."""
        return self.lacuna.ask("stats", guest.name) or {}

    def check_trapped(self, guest):
        """It was learned from by traps; a check."""
        traps = self.stats(guest).get("traps_total", 0)
        return self.check("it was trapped", traps > 0, f"{traps} traps")

    def collect(self, guest):
        """Write what Lacuna found about a guest that is ready, and compare it with the guest's own view."""
        if self.lacuna:
            state = self.wait_state(guest, FINAL)
            self.check(
                f"Lacuna is done with {guest.name}",
                state == "done",
                self.lacuna.states.get(guest.name, {}).get("reason") or f"state {state}",
                code=1,
            )
            self.write(guest, "status", self.lacuna.states.get(guest.name))
            self.write(guest, "profile", self.lacuna.ask("profile", guest.name))
            stats = self.stats(guest)
            self.write(guest, "stats", stats)
            if stats:
                self.say(traps_by_site(stats))
            self.write(guest, "times", self._times(guest, stats))
            if self.job["record"]:
                file = guest.out / "recording.bin"
                got = self.lacuna.ask("record", guest.name, "--out", file, seconds=RECORDING_SECONDS)
                self.check(f"the boot of {guest.name} was recorded", got, got or "see agent.log")
            self._compare_views(guest)
            if self.job.get("keep_memory"):
                self.keep_memory(guest)
        else:
            view = views.next_view(guest, self.end)
            for part, result in (views.guest_only(view[1]) if view else {}).items():
                self.write(guest, part, result)

    def _compare_views(self, guest):
        result = views.compare_settled(guest, self.lacuna.ask, min(self.left(), 180))
        if self.job.get("behaviour"):
            self._observe(guest, {part: comparison["equal"] for part, comparison in result.items()})
        for part in views.WORDS:
            what = f"the {part} of {guest.name} seen from outside are the guest's own"
            if part in result:
                self.write(guest, part, result[part])
                self.check(what, result[part]["equal"], views.difference(result[part]))
            elif part == "modules" and guest.console.said("LACUNA-GUEST NO-MODULES"):
                continue
            elif part not in guest.open_lists:
                self.check(what, False, "they cannot be compared: see agent.log", code=1)

    def _observe(self, guest, lists):
        profile, facts = self.lacuna.ask("profile", guest.name), self.lacuna.facts(guest.name)
        if profile and "addresses" in facts and guest.console.views():
            file = RUN / f"{guest.name}.memory"
            self.write(guest, "observation", behaviour.observe(guest, file, facts, profile, lists, self.job["behaviour"]))

    def is_64_bit(self, guest):
        """Whether the kernel that Lacuna has found in the guest is."""
        return self.lacuna.facts(guest.name).get("paging") in ("4-level", "5-level")

    def keep_memory(self, guest):
        """Copy the guest's memory while it stands still, and the store as it is then: with what was written for this boot."""
        guest.qmp("stop")
        # First into the lab host's own memory: what it shares with its emulator's host is slower than QEMU's answer is waited for.
        memory, core, dumped = (RUN / f"{guest.name}.{kind}" for kind in ("raw", "core", "dump"))
        guest.qmp("pmemsave", val=0, size=guest.job["memory"] << 20, filename=str(memory))
        # Not of 32-bit guests: for a core file QEMU reads their vCPUs' registers, see QUIET_APIC in guest.py.
        if self.is_64_bit(guest):
            more = ("--qmp", RUN / f"{guest.name}.qmp", "--store", STORE)
            answer = self.lacuna.ask("dump", guest.name, dumped, *more, seconds=RECORDING_SECONDS)
            self.check("lacunactl dump copies the guest's memory", answer and same_memory(memory, dumped))
            dumped.unlink(missing_ok=True)
            self.lacuna.ask("dump", guest.name, core, *more, "--format", "elf", seconds=RECORDING_SECONDS)
        for file in (memory, core):
            if file.exists():
                shutil.move(file, guest.out / f"memory{file.suffix}")
        subprocess.run(["cp", "-rT", STORE, guest.out / "store-of-boot"], check=True)
        guest.qmp("cont")

    def _times(self, guest, stats):
        """Seconds from the guest's creation to its prompt, to the end of the hunt, and to each member's resolution."""
        times, members = stats.get("times_ns", {}), stats.get("members", {})
        first, finished = times.get("first_trap", 0), times.get("finished")
        found = {
            "prompt": guest.times.get("prompt") and guest.times["prompt"] - self.lacuna.seen[guest.name],
            "hunt": finished and finished / 1e9,
            "members": {name: (first + member["resolved_ns"]) / 1e9 for name, member in members.items()},
        }
        if found["prompt"] and finished:
            when = "before" if found["hunt"] < found["prompt"] else "after"
            self.say(f"the hunt ended after {found['hunt']:.1f} s, {when} the prompt, which came after {found['prompt']:.1f} s")
        return found

    @staticmethod
    def write(guest, name, content):
        """Write one result of a guest as JSON, if there is one."""
        if content is not None:
            (guest.out / f"{name}.json").write_text(json.dumps(content, indent=1))

    def finish(self):
        """End the guests, stop Lacuna, keep the kernel's log and the daemon's store."""
        for guest in self.guests:
            guest.kill()
        for fault in lost_guest.faults():
            self.say(f"a guest ended by a fault: {fault}")
        self.stop_lacuna()
        subprocess.run(["cp", "-r", "/run/lacuna/store", self.out], stderr=subprocess.DEVNULL, check=False)

    def result(self):
        """The run's outcome as an object."""
        times = {
            guest.name: {name: round(at - guest.times["start"], 2) for name, at in guest.times.items()}
            for guest in self.guests
        }
        return {
            "scenario": self.job["scenario"],
            "ok": all(check["ok"] for check in self.checks),
            "checks": self.checks,
            "seconds": times,
        }


def same_memory(one, other):
    """Whether two raw copies of a guest's memory are equal but for what lies between 640 KiB and 1 MiB: devices and firmware."""
    pieces = ((0, 640 << 10), (1 << 20, one.stat().st_size))
    with open(one, "rb") as first, open(other, "rb") as second:
        for start, end in pieces:
            first.seek(start)
            second.seek(start)
            for at in range(start, end, 1 << 20):
                size = min(1 << 20, end - at)
                if first.read(size) != second.read(size):
                    return False
    return True


def traps_by_site(stats):
    """The traps of lacunactl stats in words, with how many of them taught nothing."""
    sites = ", ".join(f"{name} {number} ({stats['wasted'][name]} wasted)" for name, number in stats["traps"].items())
    return f"{stats['traps_total']} traps: {sites}; {stats['events']['looks']} looks without a trap; {stats['hook_share']:.3%} of the time in the hook"


def progress(member):
    """How far a member is: its offset (with ~ if tied), - if absent, or in brackets the number of candidates left, if known."""
    if member["state"] in ("resolved", "tied"):
        return f"={member['offset']}" + ("~" if member["state"] == "tied" else "")
    return "-" if member["state"] == "absent" else f"({member['remaining'] or '?'})"


def require(ok, message):
    """Stop the run with a message when something it rests on is not so."""
    if not ok:
        raise LabError(message)
