# SPDX-License-Identifier: BSD-2-Clause
"""Check that type checkers know the type of every public name, without a guess of their own.

basedpyright judges each name of the package and of its public modules. It looks for the package
where it runs, so it runs in python/.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys

COMMAND = ["basedpyright", "--verifytypes", "sshgateway", "--ignoreexternal", "--outputjson"]

#: Fabric has no types, so those of its subclass are not known.
EXPECTED = {"sshgateway.fabric.Connection"}


def main() -> int:
    if shutil.which(COMMAND[0]) is None:
        print("not run, because it is not installed:", *COMMAND)
        return 0
    print(*COMMAND)
    run = subprocess.run(COMMAND, cwd="python", stdout=subprocess.PIPE, text=True)
    report = json.loads(run.stdout)["typeCompleteness"]
    unknown = {
        symbol["name"]: [
            each["message"] for each in symbol["diagnostics"] if each["severity"] == "error"
        ]
        for symbol in report["symbols"]
        if symbol["isExported"] and not symbol["isTypeKnown"]
    }
    for name in sorted(unknown.keys() ^ EXPECTED):
        print(name, *unknown.get(name, ["its type is known now; remove it from EXPECTED"]))
    return unknown.keys() != EXPECTED


if __name__ == "__main__":
    sys.exit(main())
