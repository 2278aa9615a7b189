# SPDX-License-Identifier: GPL-2.0-or-later
"""Which orders the module takes from whom: `python3 -m labkit.netlink_rights` prints each order's errno when it says nothing but
the version. What is not allowed is refused before it is noticed that everything else is missing."""

import json
import socket
import subprocess
import sys
from pathlib import Path

from . import netlink_noise
from .abi import number
from .netlink_noise import NETLINK_GENERIC, NLM_F_ACK

ORDERS = ("arm", "ignore", "disarm", "status", "read", "recording", "adopt")
MEMORY = {"arm", "read", "recording", "adopt"}


def errors():
    """The errno of each order."""
    found = {}
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_GENERIC) as link:
        link.settimeout(5)
        family = netlink_noise.family_id(link, "lacuna")
        for name in ORDERS:
            command = number(f"LACUNA_CMD_{name.upper()}")
            link.send(netlink_noise.message(family, NLM_F_ACK, command, netlink_noise.version()))
            found[name] = netlink_noise.error(link)
    return found


def errors_without(*capabilities):
    """The same of somebody who is root but for these."""
    command = [sys.executable, "-m", "labkit.netlink_rights"]
    if capabilities:
        command = ["setpriv", "--bounding-set", ",".join(f"-{one}" for one in capabilities), *command]
    output = subprocess.run(command, cwd=Path(__file__).parents[1], stdout=subprocess.PIPE, check=True).stdout
    return json.loads(output)


if __name__ == "__main__":
    print(json.dumps(errors()))
