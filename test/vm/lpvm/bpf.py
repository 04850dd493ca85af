# SPDX-License-Identifier: LGPL-2.1-or-later
"""A real BPF program on a kernel function, without a compiler or libbpf in the guest."""

from __future__ import annotations

import struct

from .agent import Process
from .machine import Machine

# Bytes behind a type's header, by kind: a fixed number, and one for each of its members (linux/btf.h).
_FIXED = {1: 4, 3: 12, 14: 4, 17: 4}
_MEMBER = {4: 12, 5: 12, 6: 8, 13: 8, 15: 12, 19: 12}
_FUNC = 12

# linux/bpf.h: BPF_PROG_LOAD of a BPF_PROG_TYPE_TRACING for BPF_TRACE_FENTRY that returns 0, then
# BPF_RAW_TRACEPOINT_OPEN, which attaches it for as long as the descriptor is open.
_ATTACH = """
import ctypes, os, struct, sys, time
libc = ctypes.CDLL(None, use_errno=True)
number = {'x86_64': 321, 'aarch64': 280, 's390x': 351, 'ppc64le': 361}[os.uname().machine]
def bpf(command, attributes):
    r = libc.syscall(number, command, attributes, len(attributes))
    if r < 0:
        sys.exit(os.strerror(ctypes.get_errno()))
    return r
code = ctypes.create_string_buffer(struct.pack('=BBhiBBhi', 0xb7, 0, 0, 0, 0x95, 0, 0, 0))
license = ctypes.create_string_buffer(b'GPL')
load = struct.pack('=IIQQIIQII16sIIIIQIIQII', 26, 2, ctypes.addressof(code), ctypes.addressof(license), 0, 0, 0, 0, 0,
                   b'lp_fentry', 0, 24, 0, 0, 0, 0, 0, 0, 0, int(sys.argv[1]))
bpf(17, struct.pack('=QII', 0, bpf(5, load), 0))
print('attached', flush=True)
time.sleep(3600)
"""


def _function_id(btf: bytes, name: str) -> int:
    """The number of the function's type in the kernel's BTF (Documentation/bpf/btf.rst)."""
    header, types, types_length, strings, strings_length = struct.unpack_from("=5I", btf, 4)
    text = btf[header + strings : header + strings + strings_length]
    wanted = text.index(b"\0" + name.encode() + b"\0") + 1
    at, end, number = header + types, header + types + types_length, 0
    while at < end:
        number += 1
        name_offset, info = struct.unpack_from("=II", btf, at)
        kind = info >> 24 & 0x1F
        if kind == _FUNC and name_offset == wanted:
            return number
        at += 12 + _FIXED.get(kind, 0) + _MEMBER.get(kind, 0) * (info & 0xFFFF)
    raise LookupError(f"{name} is not in the kernel's BTF")


def attach_fentry(vm: Machine, function: str) -> Process:
    """A program at the function's entry until the process is killed."""
    number = _function_id(vm.get("/sys/kernel/btf/vmlinux"), function)
    process = vm.popen(["python3", "-c", _ATTACH, str(number)])
    if not vm.wait_until(lambda: "attached" in process.out or not process.running) or not process.running:
        raise RuntimeError(f"no BPF program on {function}: {process.err}")
    return process
