# SPDX-License-Identifier: BSD-2-Clause
"""Check that type checkers know the type of every public name, without a guess of their own.

basedpyright judges each name of the package and of its public modules. It looks for the package
where it runs, so it runs in python/.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys

COMMAND = ["basedpyright", "--verifytypes", "sshgateway", "--ignoreexternal", "--outputjson"]

#: The types of this subclass are those of Fabric, which are known only where it is installed.
DEPENDENT = {"sshgateway.fabric.Connection"}


def main() -> int:
    program = shutil.which(COMMAND[0])
    if program is None:
        print("not run, because it is not installed:", *COMMAND)
        return 0
    print(*COMMAND)
    command = [os.path.abspath(program), *COMMAND[1:]]  # PATH may have relative directories
    run = subprocess.run(command, cwd="python", stdout=subprocess.PIPE, text=True)
    report = json.loads(run.stdout)["typeCompleteness"]
    unknown = {
        symbol["name"]: [
            each["message"] for each in symbol["diagnostics"] if each["severity"] == "error"
        ]
        for symbol in report["symbols"]
        if symbol["isExported"] and not symbol["isTypeKnown"]
    }
    wrong = sorted(unknown.keys() - DEPENDENT)
    for name in wrong:
        print(name, *unknown[name])
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main())
