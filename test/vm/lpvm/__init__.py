# SPDX-License-Identifier: LGPL-2.1-or-later
"""The virtual machine harness of livepatchd: images, machines and scenarios."""
