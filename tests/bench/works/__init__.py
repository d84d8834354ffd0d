# SPDX-License-Identifier: BSD-2-Clause
"""The works: each is done once by a contestant and returns figures."""
