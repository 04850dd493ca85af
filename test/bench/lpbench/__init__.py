# SPDX-License-Identifier: LGPL-2.1-or-later
"""Benchmarks of livepatchd, side by side with what else does the same."""
