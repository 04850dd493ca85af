# SPDX-License-Identifier: LGPL-2.1-or-later
"""Boots an image once and keeps the running machine, so that scenarios need not wait for the same boot again."""

from __future__ import annotations

import dataclasses
import subprocess

from .image import Image
from .machine import Machine
from .qemu import CMDLINE, CPU, Hardware
from .shell import digest, once, run


def keep_warm(image: Image, hardware: Hardware) -> Image:
    directory = image.disk.with_name(image.disk.name + ".warm")
    version = subprocess.check_output(["qemu-system-x86_64", "--version"], text=True)
    key = digest(image.disk.with_name(image.disk.name + ".stamp").read_text(), repr(hardware), CPU, CMDLINE, version, image.kernel, image.initrd)

    def make() -> None:
        run(["rm", "-rf", str(directory)])
        machine = Machine(image, directory, hardware)
        try:
            machine.start()
            machine.save_warm()
        finally:
            machine.close(keep=True)

    once(directory.with_name(directory.name + ".stamp"), key, f"{image.suite}: first boot of {image.disk.name}", make)
    return dataclasses.replace(image, warm=directory)
