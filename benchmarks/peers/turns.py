"""What run.py and card.py share: contenders that take turns, and how their times are summed up."""
from __future__ import annotations

import functools
import json
import statistics
import subprocess


class Served:
    """A process that answers lines: serve.py, or milkit's cuda_bench."""

    def __init__(self, command: list[str], environment: dict | None = None):
        self.command = command
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment)

    @functools.cached_property
    def about(self) -> dict:
        """What it says of itself once it is ready."""
        return self.answer()

    def answer(self) -> dict:
        line = self.process.stdout.readline()
        if not line:
            return {"failed": f"{' '.join(self.command)} ended with status {self.process.wait()}"}
        return json.loads(line)

    def send(self, line: str) -> None:
        assert self.about is not None
        try:
            self.process.stdin.write(line + "\n")
            self.process.stdin.flush()
        except OSError:  # it has ended; the answer says so
            pass

    def ask(self, line: str = "") -> dict:
        self.send(line)
        return self.answer()

    def stop(self) -> None:
        try:
            self.process.stdin.close()
        except OSError:
            pass
        self.process.wait()


class Work:
    """One work of a served process: its times, and the last answer."""

    def __init__(self, process: Served, name: str):
        self.process, self.name, self.seconds, self.last = process, name, [], {}

    def turn(self, steps: int) -> bool:
        """False where the process has no such work, or failed at it: `last` says which."""
        self.last = self.process.ask(f"{self.name} {steps}")
        self.seconds += self.last.pop("seconds", [])
        return "absent" not in self.last and "failed" not in self.last

    def figures(self) -> dict:
        return self.last

    def stop(self) -> None:
        pass


def prepare(works: list[Work]) -> None:
    """Has all of them made at the same time: compilers take longest, and nothing is timed."""
    for each in works:
        each.process.send(f"{each.name} 0")
    for each in works:
        each.last = each.process.answer()


def in_turns(contenders: dict, rounds: int, steps: int | dict) -> dict:
    """Each contender's turn in each round, in an order that is reversed from round to round; those that fail drop out.
    `steps` may be a number for each contender."""
    left = dict(contenders)
    for i in range(rounds):
        for name in list(left) if i % 2 == 0 else list(reversed(left)):
            if left[name].turn(steps[name] if isinstance(steps, dict) else steps) is False:
                del left[name]
    return left


def median(found: dict) -> float:
    return statistics.median(found["seconds"])


def least(found: dict) -> float:
    return min(found["seconds"])
