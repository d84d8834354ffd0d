# SPDX-License-Identifier: BSD-2-Clause
"""Measure sshgateway beside its peers, print tables, and write the figures as JSON."""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Container, Iterable, Iterator
from pathlib import Path

if not __package__:
    # "python tests/bench" runs this file with tests/bench as the first import path; the
    # packages bench and support are in tests.
    sys.path[0] = str(Path(__file__).parents[1])

from bench.contestants.base import Contestant
from bench.contestants.gateway import GATEWAY_CONTESTANTS
from bench.contestants.lookups import LOOKUP_CONTESTANTS
from bench.contestants.proxycommand import ALL, USUAL
from bench.machine import Machine
from bench.report import pages
from bench.report.results import Report, Results
from bench.report.tables import footer, judged, table
from bench.runner import Run, Works
from bench.servers import CIPHERS, proxies, site
from bench.works.curves import curve_works
from bench.works.gateway import gateway_works
from bench.works.lookups import lookup_works
from bench.works.proxycommand import proxycommand_works, real_proxy_works


def measure(options: argparse.Namespace) -> Report:
    machine = Machine()
    run = Run()
    groups: list[Results] = []
    contestants: list[Contestant] = []
    for title, who, works in _groups(options):
        present = [each for each in who if each.path is None or each.path.exists()]
        if absent := [each.name for each in who if each not in present]:
            run.progress.say(f"not installed: {', '.join(absent)}")
        groups.append(run.measure(title, present, works))
        contestants += [each for each in present if each.name not in {c.name for c in contestants}]
    return Report(_command(options), machine.describe(contestants), groups, run.failures)


def _command(options: argparse.Namespace) -> str:
    """The command line of this run, without the options for output files."""
    words = ["python", "tests/bench"]
    words += [f"--{name}" for name in ("quick", "curves", "all") if getattr(options, name)]
    for name in ("only", "contestants", "rounds"):
        if (value := getattr(options, name)) is not None:
            words += [f"--{name}", str(value)]
    return shlex.join(words)


Group = tuple[str, list[Contestant], Works]


def _groups(options: argparse.Namespace) -> Iterator[Group]:
    if not options.curves or options.all:
        yield from _lookups(options)
        yield from _proxy_command(options)
        yield from _gateway(options, "Through a gateway", gateway_works(options.quick))
    if options.curves or options.all:
        yield from _gateway(options, "Curves", curve_works(options.quick))


def _lookups(options: argparse.Namespace) -> Iterator[Group]:
    names = _chosen_names(options, LOOKUP_CONTESTANTS, tuple(LOOKUP_CONTESTANTS))
    works = _chosen_works(options, lookup_works(options.quick))
    if names and works:
        yield "Look-ups in ssh_config", [LOOKUP_CONTESTANTS[name] for name in names], works


def _proxy_command(options: argparse.Namespace) -> Iterator[Group]:
    contestants = [ALL[name] for name in _chosen_names(options, ALL, USUAL)]
    if not contestants:
        return
    if works := _chosen_works(options, proxycommand_works(options.quick)):
        yield "ProxyCommand", contestants, works
    if _chosen_works(options, real_proxy_works(options.quick, {name: [] for name in CIPHERS})):
        with proxies() as programs:
            works = _chosen_works(options, real_proxy_works(options.quick, programs))
            yield "ProxyCommand with ssh", contestants, works


def _gateway(options: argparse.Namespace, title: str, works: Works) -> Iterator[Group]:
    """The group's servers run until the caller asks for the next group."""
    works = _chosen_works(options, works)
    names = _chosen_names(options, GATEWAY_CONTESTANTS, tuple(GATEWAY_CONTESTANTS))
    if works and names:
        with site() as servers:
            yield title, [GATEWAY_CONTESTANTS[name](servers) for name in names], works


def _chosen_works(options: argparse.Namespace, works: Works) -> Works:
    return [
        (work, options.rounds or rounds)
        for work, rounds in works
        if not options.only or options.only in work.title
    ]


def _chosen_names(
    options: argparse.Namespace, known: Container[str], usual: Iterable[str]
) -> list[str]:
    names = options.contestants.split(",") if options.contestants else usual
    return [name for name in names if name in known]


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="tests/bench", description=__doc__)
    parser.add_argument(
        "--quick", action="store_true", help="measure less exactly, in a fraction of the time"
    )
    parser.add_argument(
        "--curves", action="store_true", help="measure the curves instead of the tables: "
        "growing numbers of channels, sizes of messages, distances"
    )  # fmt: skip
    parser.add_argument("--all", action="store_true", help="measure the tables and the curves")
    parser.add_argument(
        "--only", metavar="WORD", help="do only the works with WORD in their title"
    )
    parser.add_argument(
        "--contestants",
        metavar="A,B",
        help=f"measure only these; without a gateway: {', '.join(ALL)}; through a gateway: "
        f"{', '.join(GATEWAY_CONTESTANTS)}; default: {', '.join(USUAL)}, and all of the latter",
    )
    parser.add_argument("--rounds", type=int, metavar="N", help="do every work N times")
    parser.add_argument(
        "--json",
        type=Path,
        metavar="FILE",
        default=Path("build/bench.json"),
        help="write all figures to FILE; default: %(default)s",
    )
    parser.add_argument(
        "--from",
        dest="read",
        type=Path,
        metavar="FILE",
        help="measure nothing, read the figures from FILE",
    )
    parser.add_argument(
        "--pages",
        type=Path,
        metavar="DIRECTORY",
        help="write the tables and charts for the manual there",
    )
    options = parser.parse_args()
    if options.contestants:
        unknown = set(options.contestants.split(",")) - set(ALL) - set(GATEWAY_CONTESTANTS)
        if unknown:
            parser.error(f"no contestant {', '.join(sorted(unknown))}; see --help")
    if options.pages and not (options.all or options.read):
        parser.error("--pages needs --all, or --from a run with --all")
    return options


def main() -> int:
    options = parse()
    if options.read:
        report = Report.read(options.read)
    else:
        report = measure(options)
        report.write(options.json)
    for group in report.groups:
        print(f"{group.title}\n{'=' * len(group.title)}\n\n{table(group)}\n\n")
    print("\n".join([*judged(report), "", *footer(report)]))
    if options.pages:
        pages.write(report, options.pages)
    print(f"All figures: {options.read or options.json}")
    return 1 if report.failures else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
