# SPDX-License-Identifier: GPL-2.0-or-later
"""Shows a person what a lab run found: the offsets beside the truth, the lists from outside beside the guest's own."""

import json

from .base import LabError
from .judge import remark


def load(folder, name):
    """One result of the run; LabError when it is not there."""
    file = folder / f"{name}.json"
    if not file.exists():
        raise LabError(f"{file} is missing: the run did not get that far")
    return json.loads(file.read_text())


def offsets(folder):
    """The members' table."""
    profile, verdict = load(folder, "profile"), load(folder, "verdict")
    yield f"Kernel {profile['kernel']['id']}"
    yield f"  {profile['kernel']['banner']}"
    yield ""
    yield f"  {'member':<24}{'found':>8}{'truth':>10}   {'verdict':<14}evidence"
    for name, entry in verdict["members"].items():
        structure, member = name.split(".")
        told = profile["members"].get(structure, {}).get(member, {})
        seen = told.get("evidence", {})
        evidence = (
            f"seen at work at {seen.get('witnesses', 0)} events in {seen.get('instances', 0)} instances, "
            f"{seen.get('eliminated', 0)} candidates struck"
        )
        found = entry["found"] if entry["found"] is not None else "-"
        truth = "absent" if entry["truth"] is None else entry["truth"]
        yield f"  {name:<24}{found!s:>8}{truth:>10}   {entry['verdict']:<14}{evidence}{remark(entry)}"


def key(entry):
    """What a process or a module is sorted by."""
    return (entry.get("pid", 0), entry.get("name", ""))


def beside(comparison, words):
    """Two lists, line by line."""
    outside = {json.dumps(words(entry)): entry for entry in comparison["outside"]}
    guest = {json.dumps(words(entry)): entry for entry in comparison["guest"]}
    for text in sorted(outside | guest, key=lambda text: key((outside | guest)[text])):
        left = " ".join(json.loads(text)) if text in outside else "-"
        right = " ".join(json.loads(text)) if text in guest else "-"
        yield f"  {left:<44}{right:<44}{'' if left == right else '  DIFFERENT'}"
    yield f"  {'equal' if comparison['equal'] else 'NOT EQUAL'}, {len(guest)} in all"


def process_words(entry):
    """A process as words."""
    return [f"{entry['pid']:>5}", entry["kind"], entry["comm"]]


def module_words(entry):
    """A module as words."""
    return [entry["address"], entry["name"]]


def lists(folder):
    """Processes and modules, from outside and from inside."""
    for name, words in (("processes", process_words), ("modules", module_words)):
        if not (folder / f"{name}.json").exists():
            yield f"  {name}: not compared"
            continue
        yield f"  {name.capitalize() + ' as seen from outside':<44}as the guest itself says"
        yield from beside(load(folder, name), words)
        yield ""


def cost(folder):
    """What it took."""
    stats = load(folder, "stats")
    yield (
        f"Traps: {stats['traps_total']} ({', '.join(f'{number} {kind}' for kind, number in stats['traps'].items())}), "
        f"{stats['emulated']} instructions emulated, {stats['bytes_read'] / 1e6:.1f} MB of guest memory read"
    )
    yield (
        f"Time in the hook: {stats['hook_ns_total'] / 1e6:.0f} ms, {stats['hook_share']:.2%} of the "
        f"{stats['boot_ns'] / 1e9:.1f} s from the guest's creation to the end of the hunt (emulated machine)"
    )


def show(folder):
    """Print everything about the guest whose results are in the folder."""
    print()
    for part in (offsets, lists, cost):
        for line in part(folder):
            print(line)
        print()
    profile, verdict = load(folder, "profile"), load(folder, "verdict")
    name = f"store/profiles/{profile['kernel']['id']}.json"
    print(f"The profile lies in {folder / name}")
    compared = [name for name in ("processes", "modules") if (folder / f"{name}.json").exists()]
    equal = all(load(folder, name)["equal"] for name in compared)
    print(
        f"{verdict['right']} of {len(verdict['members'])} right; lists {'equal' if equal else 'NOT equal'}."
    )
