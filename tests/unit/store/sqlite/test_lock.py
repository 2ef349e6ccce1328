"""The writer's lock is held by one at a time, however many try."""

from __future__ import annotations

import os
import threading

import pytest

from millstream.errors import StoreError
from millstream.store.sqlite.lock import WriterLock


def test_one_holder_at_a_time(path: str) -> None:
    """Threads lock and unlock as fast as they can; removing the file must not let two in."""
    holders = 0
    most = 0
    acquired = 0
    guard = threading.Lock()

    def work() -> None:
        nonlocal holders, most, acquired
        for _ in range(200):
            try:
                lock = WriterLock(path)
            except StoreError:
                continue
            with guard:
                holders += 1
                acquired += 1
                most = max(most, holders)
            with guard:
                holders -= 1
            lock.release()

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == 1
    assert acquired > 0
    assert not os.path.exists(f"{path}.lock")


def test_a_file_that_was_replaced_is_not_the_lock(
    path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who locks a file that its holder has just removed must lock the new one."""
    original = WriterLock._is_current
    replaced: list[bool] = []

    def replace_first(self: WriterLock, file: int) -> bool:
        if not replaced:
            os.unlink(self._path)
            replaced.append(True)
        return original(self, file)

    monkeypatch.setattr(WriterLock, "_is_current", replace_first)
    first = WriterLock(path)
    with pytest.raises(StoreError, match="this process already"):
        WriterLock(path)
    first.release()
    first.release()


def test_a_stale_file_is_no_lock(path: str) -> None:
    with open(f"{path}.lock", "w") as file:
        file.write("1234567890123\n")
    lock = WriterLock(path)
    with open(f"{path}.lock") as file:
        assert file.read() == f"{os.getpid()}\n"
    lock.release()
