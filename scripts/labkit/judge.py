# SPDX-License-Identifier: GPL-2.0-or-later
"""Judging a profile by the truth: what is right, wrong, ambiguous, contradicted or missing."""

VERDICTS = ("right", "wrong", "ambiguous", "contradicted", "missing")


def judge(profile, truth):
    """The verdict (see README.md) on a profile, or on None when there is no profile."""
    found = (profile or {}).get("members", {})
    members = {
        f"{structure}.{name}": judge_member(found.get(structure, {}).get(name), offset)
        for structure, offsets in truth["members"].items()
        for name, offset in offsets.items()
    }
    counts = {
        verdict: sum(member["verdict"] == verdict for member in members.values()) for verdict in VERDICTS
    }
    return {"members": members, **counts}


def judge_member(member, offset):
    """The verdict on one member of a profile: its entry (None if absent) against the true offset."""
    if member is None:
        return {"verdict": "missing", "found": None, "truth": offset}
    if member["state"] == "resolved":
        return {
            "verdict": "right" if member["offset"] == offset else "wrong",
            "found": member["offset"],
            "truth": offset,
        }
    if member["state"] == "ambiguous":
        verdict = {"verdict": "ambiguous", "found": member.get("candidates"), "truth": offset}
        # Only proof may eliminate: a list without the true offset is as wrong as a wrong offset.
        complete = len(member.get("candidates") or []) == member.get("remaining")
        return {**verdict, "verdict": "wrong"} if complete and offset not in member["candidates"] else verdict
    return {"verdict": "contradicted", "found": None, "truth": offset}


def exit_code(verdict):
    """0 all right, 1 something is not resolved, 2 something is wrong."""
    if verdict["wrong"]:
        return 2
    return 0 if verdict["right"] == len(verdict["members"]) else 1


def table(verdict):
    """The verdict for people to read, one line a member."""
    lines = [f"  {'member':<28} {'found':>8} {'truth':>8}  verdict"]
    for name, member in verdict["members"].items():
        found = member["found"] if isinstance(member["found"], int) else "-"
        lines.append(f"  {name:<28} {found:>8} {member['truth']:>8}  {member['verdict']}")
    return "\n".join(lines)
