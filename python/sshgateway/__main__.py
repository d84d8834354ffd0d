# SPDX-License-Identifier: BSD-2-Clause
"""Run the command line tool: ``python -m sshgateway``."""

from __future__ import annotations

import sys

from sshgateway.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
