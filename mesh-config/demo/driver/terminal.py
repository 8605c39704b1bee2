"""Lines, columns, colours and a sign of life while something takes time. Colour and motion on a terminal only."""
import os
import shutil
import sys
import threading

COLOURS = {"bold": "1", "dim": "2", "red": "1;31", "green": "32", "yellow": "33"}
FRAMES = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"
PLAIN_FRAMES = "|/-\\"


class Terminal:
    """Standard output, as much of a terminal as it is."""

    def __init__(self, stream=sys.stdout):
        self.stream = stream
        self.is_terminal = stream.isatty() and os.environ.get("TERM") != "dumb"
        self.has_colour = self.is_terminal and "NO_COLOR" not in os.environ
        self.has_unicode = "utf" in (stream.encoding or "").lower()

    def paint(self, text, colour):
        """The text in a colour."""
        return f"\033[{COLOURS[colour]}m{text}\033[0m" if self.has_colour else text

    def line(self, text=""):
        """Writes a line, in place of the sign of life if there is one."""
        if not self.has_unicode:
            text = text.encode("ascii", "replace").decode()
        self._write(f"{self._clear()}{text}\n")

    def heading(self, text):
        self.line()
        self.line(f"  {self.paint(text, 'bold')}")

    def row(self, is_fine, *columns):
        """One result: ok or FAILED, then columns as (text, width)."""
        verdict = self.paint("ok    ", "green") if is_fine else self.paint("FAILED", "red")
        self.line(f"  {verdict}  {_columns(columns)}".rstrip())

    def reason(self, text):
        """Why the row above failed."""
        for line in text.splitlines():
            self.line(f"          {self.paint(line, 'red')}")

    def bar(self, share, width=40):
        """A share from 0 to 1 as a bar."""
        full, empty = ("█", "░") if self.has_unicode else ("#", ".")
        filled = round(share * width)
        return full * filled + self.paint(empty * (width - filled), "dim")

    def working(self, text):
        """A context that shows text with a moving sign until it ends."""
        return _Working(self, text)

    def show(self, frame, text):
        """Shows text on the line that the next one will replace."""
        width = shutil.get_terminal_size().columns - 11
        self._write(f"{self._clear()}  {self.paint(frame, 'yellow')}       {self.paint(text[:width], 'dim')}")

    def _clear(self):
        return "\r\033[K" if self.is_terminal else ""

    def _write(self, text):
        try:
            self.stream.write(text)
            self.stream.flush()
        except BrokenPipeError:
            # Nobody reads any more (as in `| head`); what was started still has to be ended.
            self.stream = open(os.devnull, "w", encoding="utf-8")


class _Working:
    """Moves a sign in a thread, on terminals; elsewhere it does nothing."""

    def __init__(self, terminal, text):
        self._terminal, self._text = terminal, text
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._move, daemon=True)

    def __enter__(self):
        if self._terminal.is_terminal:
            self._thread.start()
        return self

    def __exit__(self, *_):
        if self._thread.is_alive():
            self._ended.set()
            self._thread.join()

    def _move(self):
        frames = FRAMES if self._terminal.has_unicode else PLAIN_FRAMES
        number = 0
        while not self._ended.is_set():
            self._terminal.show(frames[number % len(frames)], self._text)
            number += 1
            self._ended.wait(0.1)


def _columns(columns):
    return "  ".join(text.ljust(width) for text, width in columns)
