# SPDX-License-Identifier: BSD-2-Clause
"""Run a fuzz target that is written in Python, with Atheris or without."""

from __future__ import annotations

import os
import random
import sys
import time
from collections.abc import Callable, Iterator, Sequence

try:
    import atheris
except ImportError:
    atheris = None

__all__ = ["atheris", "run"]


def run(
    check: Callable[[bytes], None],
    seeds: Sequence[bytes],
    pieces: Sequence[bytes] = (),
    *,
    mutations: Iterator[bytes] | None = None,
) -> None:
    """Call *check* with one input after the other; an exception is a finding.

    The options of the command line are libFuzzer's, and its last word is the corpus. Atheris
    guides the inputs by the coverage of the code. Without it they are random mutations.

    - seeds: the first inputs.
    - pieces: bytes that mutations insert.
    - mutations: the inputs without Atheris. Default: mutations of the bytes of the seeds.
    """
    if atheris is None:
        limit = next(word for word in sys.argv if word.startswith("-max_total_time="))
        inputs = _mutations(seeds, pieces) if mutations is None else mutations
        _run_blindly(check, inputs, float(limit.partition("=")[2]))
        return
    for number, seed in enumerate(seeds):
        with open(os.path.join(sys.argv[-1], f"seed-{number}"), "wb") as stream:
            stream.write(seed)
    atheris.Setup(sys.argv, check)
    atheris.Fuzz()  # does not return


def _run_blindly(check: Callable[[bytes], None], inputs: Iterator[bytes], seconds: float) -> None:
    end, runs = time.monotonic() + seconds, 0
    while time.monotonic() < end:
        data = next(inputs)
        try:
            check(data)
        except BaseException:
            print(f"{sys.argv[0]}: {data!r}", file=sys.stderr)
            raise
        runs += 1
    print(f"stat::number_of_executed_units: {runs}", file=sys.stderr)


def _mutations(seeds: Sequence[bytes], pieces: Sequence[bytes]) -> Iterator[bytes]:
    rng = random.Random(1)
    while True:
        data = bytearray(rng.choice(seeds))
        for _ in range(rng.randrange(1, 8)):
            at = rng.randrange(len(data) + 1)
            match rng.randrange(5):
                case 0:
                    data[at:at] = rng.choice(pieces)
                case 1:
                    del data[at : at + rng.randrange(1, 20)]
                case 2:
                    data[at:at] = rng.choice(seeds)[1:]
                case 3 if at < len(data):
                    data[at] ^= 1 << rng.randrange(8)
                case _:
                    data[at : at + 4] = rng.randbytes(rng.randrange(1, 9))
        yield bytes(data)
