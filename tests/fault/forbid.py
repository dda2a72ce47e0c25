# SPDX-License-Identifier: MIT
"""Run a program that may not set up an io_uring, as in a container: forbid.py ERRNO PROGRAM ARGUMENT..."""
import ctypes
import errno
import os
import struct
import sys

PR_SET_NO_NEW_PRIVS, PR_SET_SECCOMP, SECCOMP_MODE_FILTER = 38, 22, 2
SECCOMP_RET_ALLOW, SECCOMP_RET_ERRNO = 0x7fff0000, 0x00050000
LOAD_ABSOLUTE, JUMP_IF_EQUAL, RETURN = 0x20, 0x15, 0x06
IO_URING_SETUP = 425  # the same number on every architecture but Alpha


class Program(ctypes.Structure):
    _fields_ = [("len", ctypes.c_ushort), ("filter", ctypes.c_char_p)]


def instruction(code, operand, if_true=0, if_false=0):
    return struct.pack("=HBBI", code, if_true, if_false, operand)


def forbid(error):
    code = (instruction(LOAD_ABSOLUTE, 0)  # the number of the system call
            + instruction(JUMP_IF_EQUAL, IO_URING_SETUP, 0, 1)
            + instruction(RETURN, SECCOMP_RET_ERRNO | error)
            + instruction(RETURN, SECCOMP_RET_ALLOW))
    program = Program(len(code) // 8, code)
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 or \
            libc.prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, ctypes.byref(program), 0, 0) != 0:
        sys.exit(f"forbid.py: no seccomp filter: {os.strerror(ctypes.get_errno())}")


if __name__ == "__main__":
    forbid(getattr(errno, sys.argv[1]))
    os.execv(sys.argv[2], sys.argv[2:])
