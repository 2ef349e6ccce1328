"""A lock that nobody can keep others from."""

from __future__ import annotations

import threading

import pytest

from millstream.engine.turns import TurnLock


def test_the_same_thread_may_ask_again() -> None:
    lock = TurnLock()
    with lock, lock:
        pass
    with pytest.raises(RuntimeError):
        lock.release()


def test_who_asked_first_has_it_first() -> None:
    lock = TurnLock()
    order: list[int] = []
    threads = []
    lock.acquire()
    for number in range(5):
        before = lock.waiting

        def take(number: int = number) -> None:
            with lock:
                order.append(number)

        threads.append(threading.Thread(target=take))
        threads[-1].start()
        while lock.waiting == before:
            pass
    lock.release()
    # Whoever comes now stands behind the five.
    with lock:
        order.append(99)
    for thread in threads:
        thread.join()
    assert order == [0, 1, 2, 3, 4, 99]


def test_only_one_has_it() -> None:
    lock = TurnLock()
    total = [0]

    def add() -> None:
        for _ in range(2000):
            with lock:
                total[0] += 1

    threads = [threading.Thread(target=add) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert total == [8000]
    assert lock.waiting == 0
    assert not lock.is_mine


def test_others_cannot_let_go() -> None:
    lock = TurnLock()
    caught: list[BaseException] = []

    def release() -> None:
        try:
            lock.release()
        except RuntimeError as error:
            caught.append(error)

    with lock:
        assert lock.is_mine
        thread = threading.Thread(target=release)
        thread.start()
        thread.join()
    assert len(caught) == 1
