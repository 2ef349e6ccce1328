"""Where the command writes to."""

from __future__ import annotations

from rich.console import Console


class Output(Console):
    """stdout. A reader that goes away (`| head`) ends the command, and is no failure."""

    def __init__(self) -> None:
        super().__init__(highlight=False)

    def on_broken_pipe(self) -> None:
        """Leave it to the command's end, which knows that this is no failure."""
        raise BrokenPipeError

    @property
    def can_draw(self) -> bool:
        """Whether a live view can be drawn here."""
        return self.is_terminal and not self.is_dumb_terminal
