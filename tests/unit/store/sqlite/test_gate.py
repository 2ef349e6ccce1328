"""Many readers or one writer, and a writer that waits goes before readers that come later."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

import millstream.store.sqlite.gate as gate_module
from millstream.errors import StoreError
from millstream.store.sqlite.gate import Gate


def start(action: Callable[[], None]) -> threading.Thread:
    thread = threading.Thread(target=action)
    thread.start()
    return thread


def until(condition: Callable[[], bool]) -> None:
    """Wait for something that another thread is sure to do."""
    while not condition():
        threading.Event().wait(0.001)


def test_a_writer_waits_for_readers_and_later_readers_for_the_writer() -> None:
    gate = Gate()
    order: list[str] = []
    ticket = gate.enter()

    def write() -> None:
        with gate.writing():
            order.append("writer")

    def read() -> None:
        late = gate.enter()
        order.append("late reader")
        gate.leave(late)

    writer = start(write)
    until(lambda: gate.writers_waiting == 1)
    reader = start(read)
    again = gate.enter()  # a thread that reads already goes in, or it would wait for itself
    order.append("first reader")
    gate.leave(again)
    gate.leave(ticket)
    writer.join()
    reader.join()
    assert order == ["first reader", "writer", "late reader"]


def test_a_reader_waits_for_a_writer() -> None:
    gate = Gate()
    order: list[str] = []

    def read() -> None:
        ticket = gate.enter()
        order.append("reader")
        gate.leave(ticket)

    with gate.writing():
        reader = start(read)
        order.append("writer")
    reader.join()
    assert order == ["writer", "reader"]


def test_a_ticket_may_be_left_by_another_thread() -> None:
    gate = Gate()
    ticket = gate.enter()
    start(lambda: gate.leave(ticket)).join()
    with gate.writing():
        pass


def test_a_reader_cannot_write() -> None:
    gate = Gate()
    ticket = gate.enter()
    with pytest.raises(StoreError, match="view open"), gate.writing():
        pass
    gate.leave(ticket)
    with gate.writing():
        pass


def test_waiting_ends_with_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gate_module, "PATIENCE_SECONDS", 0.0)
    gate = Gate()
    errors: list[str] = []

    def write() -> None:
        try:
            with gate.writing():
                pass
        except StoreError as error:
            errors.append(error.message)

    def read() -> None:
        try:
            gate.enter()
        except StoreError as error:
            errors.append(error.message)

    ticket = gate.enter()
    start(write).join()
    gate.leave(ticket)
    with gate.writing():
        start(read).join()
    assert ["view" in errors[0], "commit" in errors[1]] == [True, True]
    gate.leave(gate.enter())
