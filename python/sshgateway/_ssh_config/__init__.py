# SPDX-License-Identifier: BSD-2-Clause
"""Read ssh_config(5) as OpenSSH does; config.py is the public part.

In the order of the work: ``ask`` decides whether the reader answers or ``ssh -G`` (``program``
finds and identifies ssh). ``files`` reads the files, ``lines`` splits their lines, ``values`` and
``jumps`` check and convert the values, and ``match`` evaluates Host and Match. ``reader`` goes
through the files, ``expand`` expands tokens, and ``finish`` ends a look-up. ``lists`` splits the
lists of files that ``ssh -G`` prints. The options have the form of ``options`` throughout.
"""
