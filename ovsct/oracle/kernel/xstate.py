"""User-mode Linux on a CPU with AMX.

Such a CPU's extended state is larger than the buffer that user-mode Linux hands to ptrace
(arch/x86/um/os-Linux/registers.c, ``struct _xstate``), and PTRACE_SETREGSET takes all of it or
refuses (arch/x86/kernel/fpu/regset.c, xstateregs_set()): the guest's init would die at once. A
small library put before libc's ptrace() hands over the whole state, with the tail as it was.
"""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Final

from ovsct.oracle.kernel.cache import OracleMissing, cached_file, digest, optional_program

_LARGE: Final = "amx_tile"
"""The CPU flag of the state that is too large."""

_SOURCE: Final = r"""
#define _GNU_SOURCE
#include <errno.h>
#include <stdarg.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

enum { PEEKTEXT = 1, PEEKDATA = 2, PEEKUSER = 3, GETREGSET = 0x4204, SETREGSET = 0x4205 };
enum { NT_X86_XSTATE = 0x202 };

static char whole[1 << 16] __attribute__((aligned(64)));

static long call(long request, long pid, void *address, void *data)
{
    return syscall(SYS_ptrace, request, pid, address, data);
}

/* User-mode Linux calls it from one thread only. */
long ptrace(int request, ...)
{
    va_list rest;
    va_start(rest, request);
    long pid = va_arg(rest, int);
    void *address = va_arg(rest, void *);
    void *data = va_arg(rest, void *);
    va_end(rest);

    if ((request == GETREGSET || request == SETREGSET) && (long)address == NT_X86_XSTATE) {
        struct iovec *given = data;
        struct iovec all = { whole, sizeof whole };
        long done = call(GETREGSET, pid, address, &all);
        if (done < 0)
            return done;
        size_t size = given->iov_len < all.iov_len ? given->iov_len : all.iov_len;
        if (request == GETREGSET) {
            memcpy(given->iov_base, whole, size);
            given->iov_len = size;
            return 0;
        }
        memcpy(whole, given->iov_base, size);
        return call(SETREGSET, pid, address, &all);
    }
    if (request >= PEEKTEXT && request <= PEEKUSER) {
        /* The system call stores the word; the function of libc returns it. */
        long word;
        long done = call(request, pid, address, &word);
        if (done < 0)
            return done;
        errno = 0;
        return word;
    }
    return call(request, pid, address, data);
}
"""


def is_needed() -> bool:
    """Whether this machine's CPU has so large a state."""
    return _LARGE in Path("/proc/cpuinfo").read_text().split()


def library() -> Path:
    """The library to put into LD_PRELOAD, compiled now or long since.

    Raises:
        OracleMissing: there is no C compiler.
    """

    def make(path: Path) -> None:
        compiler = optional_program("cc") or optional_program("gcc")
        if compiler is None:
            raise OracleMissing(
                "this CPU has AMX, for which user-mode Linux needs a small library, and there is"
                " no C compiler to make it: install Debian's gcc and libc6-dev"
            )
        done = subprocess.run(
            [compiler, "-O2", "-shared", "-fPIC", "-x", "c", "-o", path, "-"],
            input=_SOURCE, text=True, capture_output=True, check=False,
        )  # fmt: skip
        if done.returncode:
            said = " ".join(done.stderr.split())[:300]
            raise OracleMissing(f"{compiler} cannot make the ptrace library: {said}")

    return cached_file(f"ptrace-{digest([_SOURCE.encode()])}.so", make)
