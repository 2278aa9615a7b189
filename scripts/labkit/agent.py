#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""The lab host's agent: runs a scenario as job.json in the results folder says, writes result.json."""

import json
import subprocess
import sys
import traceback
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from labkit import lost_guest  # noqa: E402 (the path above comes first)
from labkit.base import LabError  # noqa: E402
from labkit.operator_trial import OperatorTrial, steps  # noqa: E402
from labkit.scenarios import SCENARIOS  # noqa: E402
from labkit.trial import Trial  # noqa: E402


def run(job, out):
    """Run the job's scenario; what stops it is told in the result as "error"."""
    operator = job["scenario"] == "operator"
    trial = OperatorTrial(job, out) if operator else Trial(job, out)
    scenario = steps if operator else SCENARIOS[job["scenario"]]
    error = None
    for step in (lambda: scenario(trial), trial.finish):
        try:
            step()
        except LabError as problem:
            error = error or str(problem)
        except Exception:  # whatever it is, the result must say so
            error = error or traceback.format_exc()
            lost_guest.look()  # who asks a guest that has gone fails in many ways
    return {**trial.result(), "error": error}


def main():
    """Run in the folder given as the only argument."""
    out = Path(sys.argv[1])
    uptime = Path("/proc/uptime").read_text().split()[0]
    print(f"up after {uptime} s", flush=True)
    result = run(json.loads((out / "job.json").read_text()), out)
    (out / "host-dmesg.log").write_bytes(subprocess.run(["dmesg"], stdout=subprocess.PIPE, check=True).stdout)
    (out / "result.json").write_text(json.dumps(result, indent=1))


main()
