#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""offset PROFILE STRUCTURE MEMBER: where a kernel keeps a member."""

import json
import sys


def find(profile, structure, name):
    """(offset, whether it counts from the structure's list node, whether it is tied). Only what is resolved or tied may be used."""
    if profile["schema"] not in ("lacuna-profile/1", "lacuna-profile/2"):
        raise ValueError("is no profile")
    member = profile["members"].get(structure, {}).get(name)
    if member is None:
        raise ValueError("is not in the profile")
    if member["state"] not in ("resolved", "tied"):
        raise ValueError("is not known")
    return member["offset"], "relative_to" in member, member["state"] == "tied"


def main():
    """Print one offset."""
    if len(sys.argv) != 4:
        sys.exit(f"usage: {sys.argv[0]} PROFILE STRUCTURE MEMBER")
    file, structure, name = sys.argv[1:]
    try:
        with open(file, encoding="utf-8") as stream:
            offset, from_list, tied = find(json.load(stream), structure, name)
    except (OSError, ValueError, KeyError) as problem:
        sys.exit(f"{file}: {structure}.{name}: {problem}")
    print(offset, *["from list"] * from_list, *["tied"] * tied)


main()
