# SPDX-License-Identifier: BSD-2-Clause
"""Write the commands of [project.scripts] into the virtual environment that runs this.

They are what "pip install" writes. That would also build the extension a second time.
"""

from __future__ import annotations

import sys
import sysconfig
import tomllib
from pathlib import Path

COMMAND = """\
#!{python}
import sys

from {module} import {function}

if __name__ == "__main__":
    sys.exit({function}())
"""


def main() -> None:
    project = tomllib.loads(Path("pyproject.toml").read_text())["project"]
    for name, target in project["scripts"].items():
        module, _, function = target.partition(":")
        path = Path(sysconfig.get_path("scripts"), name)
        path.write_text(COMMAND.format(python=sys.executable, module=module, function=function))
        path.chmod(0o755)


if __name__ == "__main__":
    main()
