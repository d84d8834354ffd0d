# SPDX-License-Identifier: BSD-2-Clause
"""The figures of a run: kept, judged, printed and drawn."""
