# SPDX-License-Identifier: BSD-2-Clause
"""The figures of a run: stored, judged, printed and drawn."""
