"""One process writes: a lock of the operating system, which ends with the process that holds it."""

from __future__ import annotations

import contextlib
import fcntl
import os
import time

from millstream.errors import StoreError

_TRIES = 20


class WriterLock:
    """The right to write the database at `path`: an flock on `<path>.lock`, which holds our pid.

    The kernel gives the lock back when the process ends, however it ends, so it is never stale.
    """

    def __init__(self, path: str) -> None:
        self._path = f"{path}.lock"
        self._file: int | None = self._acquire(path)

    def _acquire(self, database: str) -> int:
        while True:
            try:
                file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            except OSError as error:
                raise StoreError(
                    f"the database '{database}' cannot be opened for writing: {error.strerror}"
                    f" ('{self._path}')",
                    hint="Check that its folder exists and may be written, or open it read-only.",
                ) from error
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                holder = _holder(file)
                os.close(file)
                raise StoreError(
                    f"the database '{database}' is open for writing by {holder}",
                    hint="Close it there first, or open it read-only here.",
                ) from error
            except OSError as error:
                os.close(file)
                raise StoreError(
                    f"the database '{database}' cannot be locked: {error.strerror}",
                    hint="Put it on a local disk; some network file systems have no locks.",
                ) from error
            if self._is_current(file):
                os.ftruncate(file, 0)
                os.pwrite(file, f"{os.getpid()}\n".encode(), 0)
                return file
            # The holder removed the file between our opening and locking it.
            os.close(file)

    def _is_current(self, file: int) -> bool:
        try:
            named = os.stat(self._path)
        except FileNotFoundError:
            return False
        return os.path.samestat(named, os.fstat(file))

    def release(self) -> None:
        """Let others write. Idempotent."""
        if self._file is None:
            return
        # Removed while it is still locked: nobody can hold the name and not be noticed.
        with contextlib.suppress(OSError):
            os.unlink(self._path)
        os.close(self._file)
        self._file = None


def is_held(path: str) -> bool:
    """Whether a process seems to have the database at `path` open for writing. A look only: to try
    the lock would be in the way of who takes it at this moment."""
    try:
        with open(f"{path}.lock", "rb") as file:
            os.kill(int(file.read(32)), 0)
    except PermissionError:
        return True
    except (OSError, ValueError, OverflowError):
        return False
    return True


def _holder(file: int) -> str:
    for _ in range(_TRIES):
        text = os.pread(file, 32, 0).decode(errors="replace")
        # The line is whole once it has an end; a holder that has just begun writes it now.
        if text.endswith("\n") and text.strip().isdigit():
            number = int(text)
            return "this process already" if number == os.getpid() else f"process {number}"
        time.sleep(0.01)
    return "another process"
