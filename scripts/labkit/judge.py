# SPDX-License-Identifier: GPL-2.0-or-later
"""Judging a profile by the truth: what is right, wrong, or not resolved: ambiguous, contradicted or missing."""

VERDICTS = ("right", "wrong", "ambiguous", "contradicted", "missing", "unproven")


def judge(profile, truth, untaught=()):
    """The verdict (see README.md) on a profile, or on None when there is no profile.

    `untaught`: structures of which the guest can teach nothing, so that their members may be open.
    """
    found = (profile or {}).get("members", {})
    members = {
        f"{structure}.{name}": judge_member(found.get(structure, {}).get(name), offset)
        for structure, offsets in truth["members"].items()
        for name, offset in offsets.items()
    }
    for name, member in members.items():
        member["may_be_open"] = name.split(".")[0] in untaught
    return count(members)


def count(members):
    """A verdict: {member: its verdict}, and how many there are of each."""
    counts = {verdict: sum(member["verdict"] == verdict for member in members.values()) for verdict in VERDICTS}
    return {"members": members, **counts}


def judge_member(member, offset):
    """The verdict on one member of a profile: its entry (None if there is none) against the true offset, None if there is none."""
    if member is None:
        return {"verdict": "missing", "found": None, "truth": offset}
    if member["state"] == "resolved":
        return {
            "verdict": "right" if member["offset"] == offset else "wrong",
            "found": member["offset"],
            "truth": offset,
        }
    if member["state"] == "tied":
        # Right if the truth is among the places that have always been equal: which one is offered makes no difference yet.
        candidates = member["candidates"]
        right = offset in candidates and member["offset"] in candidates
        found = {"found": member["offset"], "tie": candidates, "truth": offset}
        return {"verdict": "right" if right else "wrong", **found}
    if member["state"] == "absent":
        return {"verdict": "right" if offset is None else "wrong", "found": "absent", "truth": offset}
    if member["state"] == "ambiguous":
        verdict = {"verdict": "ambiguous", "found": member.get("candidates"), "truth": offset}
        # Only proof may eliminate: a list without the true offset is as wrong as a wrong offset.
        complete = len(member.get("candidates") or []) == member.get("remaining")
        return {**verdict, "verdict": "wrong"} if complete and offset not in member["candidates"] else verdict
    return {"verdict": "contradicted", "found": None, "truth": offset}


# What a guest with a few programs teaches by being looked at. Others may be open: cred's ids where all programs are root's,
# threads where there are none, directories where there is one.
TAUGHT_BY_LOOKING = (
    "task_struct.active_mm",
    "task_struct.real_parent",
    "task_struct.parent",
    "task_struct.flags",
    "task_struct.stack",
    "task_struct.cred",
    "task_struct.nsproxy",
    "mm_struct.saved_auxv",
    "mm_struct.start_stack",
    "mm_struct.arg_start",
    "mm_struct.env_end",
    "mm_struct.exe_file",
    "vm_area_struct.vm_mm",
    "vm_area_struct.vm_start",
    "vm_area_struct.vm_end",
    "vm_area_struct.vm_flags",
    "vm_area_struct.vm_file",
    "file.f_path.dentry",
    "dentry.d_name.name",
)


OTHER_NAMES = {
    "module.core_size": "module.core_layout.size",  # since 4.5
    "task_struct.worker_private": "task_struct.set_child_tid",  # up to 5.16
}


def judge_deep_member(name, member, truth):
    """The verdict on one of them: nothing speaks for or against what is in no truth."""
    if name in truth:
        return judge_member(member, truth[name])
    return {"verdict": "unproven", "found": member.get("offset", "absent"), "truth": None}


def judge_deep(found, truth):
    """The verdict on members learned by looking: {member: its state and offset} against {member: true offset or None}."""
    members = {}
    for name, member in found.items():
        entry = {**member, "remaining": None} if member["state"] == "ambiguous" else member
        members[name] = {**judge_deep_member(name, entry, truth), "may_be_open": name not in TAUGHT_BY_LOOKING}
    for name in TAUGHT_BY_LOOKING:
        members.setdefault(name, {**judge_member(None, None), "may_be_open": False})
    return count(members)


def exit_code(verdict):
    """0 all right that can be had from the guest, 1 something is not resolved, 2 something is wrong."""
    if verdict["wrong"]:
        return 2
    return 0 if all(member["verdict"] == "right" or member["may_be_open"] for member in verdict["members"].values()) else 1


def table(verdict):
    """The verdict for people to read, one line a member."""
    lines = [f"  {'member':<28} {'found':>8} {'truth':>10}  verdict"]
    for name, member in verdict["members"].items():
        found = member["found"] if isinstance(member["found"], (int, str)) else "-"
        truth = member["witness"] if "witness" in member else member["truth"]
        truth = "absent" if truth is None else truth
        lines.append(f"  {name:<28} {found:>8} {truth:>10}  {member['verdict']}{remark(member)}")
    return "\n".join(lines)


def remark(member):
    """What is to be said besides the verdict."""
    if "tie" in member:
        return f" (a tie: {', '.join(map(str, member['tie']))})"
    return " (this guest cannot teach it)" if member["may_be_open"] and member["verdict"] not in ("right", "wrong") else ""
