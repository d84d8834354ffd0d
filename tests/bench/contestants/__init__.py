# SPDX-License-Identifier: BSD-2-Clause
"""The contestants: each provides a connected stream."""
