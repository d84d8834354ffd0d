# SPDX-License-Identifier: BSD-2-Clause
"""make bench: contestants do the same works side by side, taking turns."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Container, Iterable, Iterator
from pathlib import Path

from contestants import ALL, USUAL, Contestant
from crowdwork import take_many_channels
from gateway import CIPHERS, ROADS, proxies, site
from gatewaywork import gateway_works
from report import Machine, Results, footer, table, write_json
from work import Work, all_works, take_footprint, through_works


class Progress:
    """A line on stderr that tells what is going on now."""

    def __init__(self) -> None:
        self._start = time.monotonic()
        self._is_terminal = sys.stderr.isatty()
        self._last = ""

    def show(self, work: str, done: int, of: int, who: str) -> None:
        if self._is_terminal:
            self._write(f"\r\033[K{self._elapsed()}  {work}: round {done + 1} of {of}, {who}")
        elif work != self._last:
            self._write(f"{self._elapsed()}  {work}, {of} rounds\n")
        self._last = work

    def clear(self) -> None:
        if self._is_terminal:
            self._write("\r\033[K")

    def _elapsed(self) -> str:
        return f"{time.monotonic() - self._start:4.0f} s"

    def _write(self, text: str) -> None:
        sys.stderr.write(text)
        sys.stderr.flush()


def measure(contestants: list[Contestant], works: list[tuple[Work, int]]) -> Results:
    results = Results(contestants)
    progress = Progress()
    try:
        for work, rounds in works:
            for done in range(rounds):
                for contestant in contestants:
                    progress.show(work.title, done, rounds, contestant.name)
                    figures = work.run(contestant)
                    results.add(work.title, work.metrics, contestant.name, figures)
    finally:
        progress.clear()
    return results


Group = tuple[list[Contestant], list[tuple[Work, int]]]


def proxy_command_group(options: argparse.Namespace) -> Iterator[Group]:
    contestants = [ALL[name] for name in chosen_names(options, ALL, USUAL)]
    if not contestants:
        return
    if works := chosen_works(options, all_works(options.quick)):
        yield contestants, works
    if chosen_works(options, through_works(options.quick, {name: [] for name in CIPHERS})):
        with proxies() as programs:
            yield contestants, chosen_works(options, through_works(options.quick, programs))


def gateway_group(options: argparse.Namespace) -> Iterator[Group]:
    """Its servers live until the caller has done with it."""
    works = chosen_works(options, gateway_works(options.quick))
    names = chosen_names(options, ROADS, tuple(ROADS))
    if works and names:
        with site() as servers:
            yield [ROADS[name](servers) for name in names], works


def chosen_works(
    options: argparse.Namespace, works: list[tuple[Work, int]]
) -> list[tuple[Work, int]]:
    return [
        (work, options.rounds or rounds)
        for work, rounds in works
        if not options.only or options.only in work.title
    ]


def chosen_names(
    options: argparse.Namespace, known: Container[str], usual: Iterable[str]
) -> list[str]:
    names = options.contestants.split(",") if options.contestants else usual
    return [name for name in names if name in known]


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="tests/bench", description=__doc__)
    parser.add_argument(
        "--quick", action="store_true", help="less exact, in a fraction of the time"
    )
    parser.add_argument("--only", metavar="WORD", help="only works with WORD in their title")
    parser.add_argument(
        "--contestants",
        metavar="A,B",
        help=f"of {', '.join(ALL)}, and through a gateway of {', '.join(ROADS)}; "
        f"default: {', '.join(USUAL)}, and all",
    )
    parser.add_argument("--rounds", type=int, metavar="N", help="this many of every work")
    parser.add_argument(
        "--json",
        type=Path,
        metavar="FILE",
        default=Path("build/bench.json"),
        help="where all figures go; default: %(default)s",
    )
    parser.add_argument("--footprint", nargs=2, help=argparse.SUPPRESS)
    parser.add_argument("--many-channels", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.contestants:
        unknown = set(options.contestants.split(",")) - set(ALL) - set(ROADS)
        if unknown:
            parser.error(f"no contestant {', '.join(sorted(unknown))}; see --help")
    return options


def main() -> None:
    options = parse()
    if options.footprint:
        name, count = options.footprint
        print(json.dumps(take_footprint(ALL[name], int(count))))
        return
    if options.many_channels:
        print(json.dumps(take_many_channels(options.many_channels)))
        return
    machine = Machine()
    groups = [
        measure(contestants, works)
        for prepare in (proxy_command_group, gateway_group)
        for contestants, works in prepare(options)
    ]
    where = machine.describe()
    for results in groups:
        print(table(results), end="\n\n")
    print(footer(groups, where))
    chosen = {"quick": options.quick, "only": options.only, "rounds": options.rounds}
    write_json(options.json, groups, where, chosen)
    print(f"All figures: {options.json}")


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(130)
