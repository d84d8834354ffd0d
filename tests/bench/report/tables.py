# SPDX-License-Identifier: BSD-2-Clause
"""Tables of a report for a terminal."""

from __future__ import annotations

from collections.abc import Iterator

from bench.report.goals import verdicts
from bench.report.results import Report, Results, Row

#: Metrics side by side; a work with more metrics continues below.
COLUMNS = 4


def number(figure: float) -> str:
    """The figure with three significant digits."""
    if figure == 0:
        return "0"
    if abs(figure) < 0.005:
        return f"{figure:.1g}"
    return f"{figure:.{0 if abs(figure) >= 100 else 1 if abs(figure) >= 10 else 2}f}"


def cell(row: Row, name: str) -> str:
    """The median and, if there were several rounds, the lowest and the highest figure."""
    median = row.median(name)
    if median is None:
        return row.metric.when_none
    known = row.known(name)
    if len(known) == 1:
        return number(median)
    return f"{number(median)} ({number(min(known))}..{number(max(known))})"


def heading(row: Row) -> str:
    return f"{row.metric.name}, {row.metric.unit}" if row.metric.unit else row.metric.name


def side_by_side(rows: list[Row]) -> Iterator[list[Row]]:
    for start in range(0, len(rows), COLUMNS):
        yield rows[start : start + COLUMNS]


def table(results: Results) -> str:
    blocks = []
    for work, rows in results.works().items():
        names = results.taking_part(rows)
        blocks += [_block(results, work, names, part) for part in side_by_side(rows)]
    return "\n\n".join(blocks)


def _block(results: Results, work: str, names: list[str], rows: list[Row]) -> str:
    lines = [[work, *map(heading, rows)]]
    for name in names:
        cells = []
        for row in rows:
            ratio = row.ratio(results.ours, name) if name != results.ours else None
            compared = "" if ratio is None else f"  x {number(ratio)}"
            cells.append(cell(row, name) + compared)
        lines.append([f"  {name}", *cells])
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        "   ".join(word.ljust(width) for word, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    )


def judged(report: Report) -> Iterator[str]:
    for each in verdicts(report):
        yield f"{'    ' if each.is_met else 'MISS'}  {each.reached:>9}  {each.work}: {each.what}"


def footer(report: Report) -> Iterator[str]:
    machine = report.machine
    yield "Medians (lowest..highest) of rounds in turn; x: median of ours / theirs of each round."
    for name, about in report.about():
        yield f"{name}: {about}. {machine['contestants'].get(name, '')}".rstrip()
    yield "The far end is tests/bench/peer.py (reads and writes only), or a shell (connect, end)."
    yield (
        f"{machine['cpus']} x {machine['cpu']}, {machine['kernel']}, {machine['python']}, "
        f"{machine['openssh']}, {machine['openssl']}, commit {machine['commit']}."
    )
    yield f"Took {machine['seconds']} s; others used {machine['others_percent']} % of the machine."
    for failure in report.failures:
        yield f"FAILED: {failure}"
