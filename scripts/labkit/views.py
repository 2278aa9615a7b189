# SPDX-License-Identifier: GPL-2.0-or-later
"""Comparing the guest's own view of its processes and modules with the one rebuilt from outside."""

import time

from .guest_console import COMM_LENGTH

ATTEMPTS = 24
WORDS = {"processes": "ps", "modules": "lsmod"}  # what lacunactl is asked for each part


def outside_view(part, answer):
    """lacunactl's answer about one part in the form guest_console.parse_view gives.

    Process 0, the idle task the list hangs on, is in the ring but not in /proc.
    """
    if part == "modules":
        return sorted([entry["name"], int(entry["address"], 16)] for entry in answer[part])
    return sorted(
        [entry["pid"], entry["kind"], entry["comm"][:COMM_LENGTH]] for entry in answer[part] if entry["pid"] != 0
    )


def compare(part, guest_view, answer, outside):
    """The comparison of one part ("processes" or "modules"), ready to be written as JSON."""
    inside = guest_view[part]
    if part == "modules" and inside and not any(address for _, address in inside):
        # without CONFIG_KALLSYMS a kernel shows nobody where its modules are (kallsyms_show_value())
        outside = [[name, 0] for name, _ in outside]
    return {
        "equal": inside == outside,
        "guest": [named(part, entry) for entry in inside],
        "outside": answer[part],
        "only_in_guest": [named(part, entry) for entry in inside if entry not in outside],
        "only_outside": [named(part, entry) for entry in outside if entry not in inside],
    }


def difference(comparison):
    """What differs, in a few words; empty when nothing does."""
    if comparison["equal"]:
        return ""
    inside, outside = comparison["only_in_guest"], comparison["only_outside"]
    return f"only in the guest {inside[:5]}, only outside {outside[:5]}"


def named(part, entry):
    """A view's entry as an object."""
    if part == "processes":
        return dict(zip(("pid", "kind", "comm"), entry))
    return {"name": entry[0], "address": f"{entry[1]:#x}"}


def guest_only(view):
    """The comparison's form when there is no outside view: nothing is claimed equal."""
    return {part: {"equal": None, "guest": [named(part, entry) for entry in view[part]]} for part in WORDS}


def compare_settled(guest, ask, seconds):
    """Compare once the guest is still: {"processes": ..., "modules": ...}, without what Lacuna cannot tell or never was still.

    The outside view is taken between two views of the guest, and counts only if these two, and any that came
    in between, are equal. A difference is tried again: an attempt may have met a worker thread being made or
    ended.
    """
    end, result = time.monotonic() + seconds, {}
    for _ in range(ATTEMPTS):
        before = next_view(guest, end)
        answers = {part: ask(word, guest.name) for part, word in WORDS.items()}
        after = next_view(guest, end)
        if not (before and after and any(answers.values())):
            break
        between = [view for number, view in guest.console.views() if before[0] <= number <= after[0]]
        for part in [part for part, answer in answers.items() if answer]:
            if all(view[part] == before[1][part] for view in between):
                result[part] = compare(part, before[1], answers[part], outside_view(part, answers[part]))
        if all(part in result and result[part]["equal"] for part, answer in answers.items() if answer):
            break
    return result


def next_view(guest, end):
    """Wait for the guest's next complete view: (number, view), or None."""
    guest.console.poll()
    seen = len(guest.console.views())
    came = guest.console.wait_for(
        lambda console: len(console.views()) > seen, end - time.monotonic(), guest.alive
    )
    return guest.console.views()[-1] if came else None
