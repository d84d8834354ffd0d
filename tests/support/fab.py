# SPDX-License-Identifier: BSD-2-Clause
"""The program ``fab`` of fab-classic: ``fab.py ARGUMENT...``."""

import fabric.main

fabric.main.main()
