#!/usr/bin/env python3
"""Damage files that MASD reads, in all ways, and see that each ends in one line or in a result.

usage: fuzz.py [--cases N] [--seed S] [--only TARGET]

A case is a file of a target (fuzz_targets.py) with one to four damages. Counted are tracebacks (anything
raised that is no `MasdError`), hangs (over 10 s of processor time) and cases in which the process's peak
memory grew by over 1 GB. Each kind of traceback is printed once. Exit status 1 if there is any.
"""

from __future__ import annotations

import argparse
import logging
import resource
import shutil
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter
from pathlib import Path

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

sys.path[:0] = [str(Path(__file__).resolve().parents[2]), str(Path(__file__).parent)]
from fuzz_targets import Target, targets  # noqa: E402

from masd.errors import MasdError  # noqa: E402

NASTY = (
    *(
        b"\0",
        b"\n",
        b"\r",
        b" ",
        b"\t",
        b":",
        b"[",
        b"]",
        b"{",
        b"-",
        b"|",
        b"/",
        b"null",
        b"nan",
        b"inf",
        b"-1",
        b"0",
    ),
    *(
        b"1e999",
        b"9" * 20,
        b"9" * 5000,
        b"[" * 3000,
        b"&a [*a]",
        b"*a",
        b"!!python/object:os.system x",
        b"true",
    ),
    *(
        "\u202e".encode(),
        b"\x1b[2J",
        b"\xff",
        b"\xff\xfe",
        b"a" * 300,
        b"\n\n\n",
        b"..",
        b"~",
        b"'",
        b'"',
        b"\xe2\x80\xa8",
    ),
)
PLACE = st.floats(0, 1)
DAMAGE = st.one_of(
    st.tuples(st.just("flip"), PLACE, st.integers(0, 7)),
    st.tuples(st.just("cut"), PLACE, st.none()),
    st.tuples(st.just("put"), PLACE, st.one_of(st.sampled_from(NASTY), st.binary(max_size=8))),
    st.tuples(st.just("over"), PLACE, st.one_of(st.sampled_from(NASTY), st.binary(min_size=1, max_size=8))),
    st.tuples(st.just("repeat"), PLACE, st.integers(1, 40)),
    st.tuples(st.just("drop"), PLACE, st.integers(1, 40)),
)
DAMAGES = st.tuples(st.integers(0, 9), st.lists(DAMAGE, min_size=1, max_size=4))


def damaged(data: bytes, damages: list[tuple]) -> bytes:
    """Return data after one damage after the other."""
    for kind, place, what in damages:
        at = int(place * max(len(data) - 1, 0))
        if kind == "flip" and data:
            data = data[:at] + bytes([data[at] ^ 1 << what]) + data[at + 1 :]
        elif kind == "cut":
            data = data[:at]
        elif kind in ("put", "over"):
            data = data[:at] + what + data[at + (len(what) if kind == "over" else 0) :]
        elif kind == "repeat":
            data = data[:at] + data[at : at + what] * 3 + data[at + what :]
        elif kind == "drop":
            data = data[:at] + data[at + what :]
    return data


class Fuzz:
    """Tries cases and counts what comes of them.

    Args:
        scratch: a folder for the files.
    """

    def __init__(self, scratch: Path) -> None:
        self.scratch = scratch
        self.targets = targets(scratch)
        self.found: Counter[str] = Counter()
        self.places: dict[str, str] = {}

    def case(self, target: Target, which: int, damages: list[tuple]) -> None:
        """Try one case."""
        at, name = self.scratch / "case", target.names[which % len(target.names)]
        shutil.rmtree(at, ignore_errors=True)
        shutil.copytree(target.folder, at)
        (at / name).write_bytes(damaged((at / name).read_bytes(), damages))
        begun, peak = time.process_time(), _peak()
        self.found["cases"] += 1
        try:
            target.read(at)
            self.found["taken"] += 1
        except MasdError as error:
            self.found["refused"] += 1
            self.found["lines of several"] += "\n" in str(error)
        except Exception:
            self.found["tracebacks"] += 1
            last = traceback.format_exc().splitlines()
            self.places.setdefault(f"{name}: {last[-1][:90]}", "\n".join(last[-9:]))
        self.found["hangs"] += time.process_time() - begun > 10
        self.found["over 1 GB"] += _peak() - peak > 1 << 20

    def run(self, name: str, cases: int, number: int = 0) -> None:
        """Try so many cases of a target, the same for the same number."""

        @seed(number)
        @settings(
            max_examples=cases,
            database=None,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            phases=(Phase.generate,),
        )
        @given(DAMAGES)
        def tried(drawn: tuple[int, list[tuple]]) -> None:
            self.case(self.targets[name], *drawn)

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tried()

    @property
    def bad(self) -> int:
        """How many cases did not end as they should."""
        return sum(self.found[name] for name in ("tracebacks", "hangs", "over 1 GB", "lines of several"))


def _peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def main() -> None:
    """Do what the command line asks for."""
    parser = argparse.ArgumentParser(usage=__doc__.split("usage: ")[1].split("\n")[0])
    parser.add_argument("--cases", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", default="")
    told = parser.parse_args()
    logging.disable(logging.CRITICAL)
    with tempfile.TemporaryDirectory() as scratch:
        fuzz = Fuzz(Path(scratch))
        names = [told.only] if told.only else list(fuzz.targets)
        for name in names:
            before = fuzz.found.copy()
            fuzz.run(name, told.cases // len(names), told.seed)
            print(f"{name}: {dict(fuzz.found - before)}", flush=True)
        for place, trace in fuzz.places.items():
            print(f"\n== {place}\n{trace}")
        print(dict(fuzz.found))
    sys.exit(bool(fuzz.bad))


if __name__ == "__main__":
    main()
