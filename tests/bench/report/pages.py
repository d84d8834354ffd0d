# SPDX-License-Identifier: BSD-2-Clause
"""The files that docs/performance.rst includes: tables, charts and the figures."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from pathlib import Path

from bench.report import plot
from bench.report.goals import verdicts
from bench.report.results import YARDSTICKS, Report, Results, Row
from bench.report.tables import cell, heading, number, side_by_side

#: Smaller relative differences are not listed.
NOISE = 0.01

STREAMS = (
    "gateway: raw stream down",
    "gateway: raw stream up",
    "gateway: Paramiko session inside, down",
    "gateway: Paramiko session inside, up",
)
WAITS = (
    "gateway: echo of 64 bytes",
    "gateway: first login",
    "gateway: further channel",
    "gateway: 1000 channels",
)
#: The metric to show for each of these works.
WAITING = ("median", "gateway, channel, inner login", "until first answer", "512-byte echo on all")

#: The bar charts: file name, title, works, and the metrics to show of each work.
BARS = {
    "rates": ("Throughput", STREAMS, ("rate",)),
    "cpu": ("CPU time of the client's side", STREAMS, ("CPU, client side",)),
    "waiting": ("Waiting", WAITS, WAITING),
}

#: The curves: file name, work, labels of the axes, and whether the x axis is logarithmic.
CURVES = {
    "channels": ("curve: 512-byte echo on all channels", "channels", "milliseconds a round", True),
    "sizes": ("curve: raw stream up by the size of a send", "size of a send", "MB/s", True),
    "distance": ("curve: raw stream down by the round trip", "round trip, ms", "MB/s", False),
    "logins": ("curve: login by the round trip", "round trip, ms", "seconds", False),
}


def write(report: Report, directory: Path) -> None:
    directory.mkdir(parents=True, exist_ok=True)
    parts = directory.parts
    place = parts[parts.index("docs") + 1 :] if "docs" in parts else parts[-1:]
    for name, text in files(report, "/".join(place)).items():
        (directory / name).write_text(text)
    report.write(directory / "results.json")


def files(report: Report, place: str = "performance") -> dict[str, str]:
    """The texts of all files, by name.

    - place: the directory of the files, as the pages of the manual name it.
    """
    texts = {f"{_slug(group.title)}.txt": tables(group) for group in report.groups}
    texts["machine.txt"] = machine(report)
    texts["goals.txt"] = goals(report)
    texts["faster.txt"] = faster(report)
    for name, (title, works, metrics) in BARS.items():
        if panels := list(_panels(report, works, metrics)):
            texts[f"{name}.svg"] = plot.bars(title, panels)
            texts[f"{name}.txt"] = figure(
                f"{place}/{name}", title, _findings(report, works, metrics)
            )
    for name in CURVES:
        texts |= _curves(report, name, place)
    return texts


def _slug(title: str) -> str:
    return title.lower().replace(" ", "-")


# ---- Tables -----------------------------------------------------------------------


def csv_table(title: str, header: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    text = io.StringIO()
    csv.writer(text, quoting=csv.QUOTE_ALL, lineterminator="\n").writerows(
        [[_escaped(word) for word in line] for line in (header, *lines)]
    )
    body = "".join(f"   {line}\n" for line in text.getvalue().splitlines())
    return f".. csv-table:: {title}\n   :header-rows: 1\n\n{body}\n"


def _escaped(word: str) -> str:
    """Escape a single dash, which would be a list, and stars, which would be emphasis."""
    return "\\-" if word == "-" else word.replace("*", "\\*")


def tables(group: Results) -> str:
    texts = []
    for work, rows in group.works().items():
        names = group.taking_part(rows)
        for part in side_by_side(rows):
            lines = [[name, *(cell(row, name) for row in part)] for name in names]
            title = work.removeprefix("gateway: ").removeprefix("curve: ")
            texts.append(csv_table(title, ["", *map(heading, part)], lines))
    return "\n".join(texts)


def goals(report: Report) -> str:
    lines = [
        (
            each.work.removeprefix("gateway: "),
            each.what,
            each.reached,
            "yes" if each.is_met else "no",
        )
        for each in verdicts(report)
    ]
    return csv_table("Goals", ("work", "goal", "reached", "met?"), lines)


def faster(report: Report) -> str:
    """A table of the figures where a rival's median is better than ours."""
    lines = [line for group, row in _compared(report) for line in _better(group, row)]
    if not lines:
        return "Nowhere in this run.\n"
    return csv_table("Peers that are better", ("work", "figure", "sshgateway", "peer"), lines)


def _compared(report: Report) -> Iterator[tuple[Results, Row]]:
    for group, _, rows in report.works():
        for row in rows:
            yield group, row


def _better(group: Results, row: Row) -> Iterator[tuple[str, str, str, str]]:
    ours = row.median(group.ours)
    for name in group.contestants:
        theirs = row.median(name)
        if ours is None or theirs is None or name in (group.ours, *YARDSTICKS):
            continue
        if row.is_better(theirs, ours) and abs(theirs - ours) > NOISE * abs(ours):
            yield row.work, heading(row), cell(row, group.ours), f"{name}: {cell(row, name)}"


def machine(report: Report) -> str:
    told = report.machine
    facts = {
        "Machine": f"{told['cpus']} x {told['cpu']}, {told['memory_gib']} GiB; {told['kernel']} "
        f"(TCP {told['tcp']}), {told['libc']}",
        "Programs": f"{told['python']} with {told['openssl']}; {told['openssh']}",
        "Run": f"{told['date']}, {number(told['seconds'] / 60)} minutes; all others on the "
        f"machine used {told['others_percent']} % of it",
        "Command": f"``{report.command}``, of commit {told['commit']}",
    }
    lines = "".join(f":{name}: {text}\n" for name, text in facts.items())
    for name, about in report.about():
        version = told["contestants"].get(name, "")
        lines += f":{name}: {about}; {version}".rstrip("; ") + "\n"
    failures = "".join(f"- {failure}\n" for failure in report.failures)
    return lines + (f"\nWhat failed:\n\n{failures}" if failures else "")


# ---- Charts -----------------------------------------------------------------------


def figure(path: str, title: str, findings: Sequence[str]) -> str:
    """The directive that shows the chart *path*.svg; its alternative text gives the findings."""
    return (
        f".. container:: chart\n\n"
        f"   .. image:: {path}.svg\n"
        f"      :alt: {title}. {' '.join(findings)}\n"
        f"      :width: 100%\n"
    )


def _findings(report: Report, works: Sequence[str], metrics: Sequence[str]) -> list[str]:
    return [
        _finding(row.work.removeprefix("gateway: "), group, row)
        for group, work, rows in report.works()
        for row in rows
        if work in works and row.metric.name in metrics
    ]


def _finding(subject: str, group: Results, row: Row) -> str:
    """Our median and that of the best peer, in a sentence."""
    peers = {
        name: median
        for name in group.contestants
        if name not in (group.ours, *YARDSTICKS) and (median := row.median(name)) is not None
    }
    ours = row.median(group.ours)
    if ours is None or not peers:
        return f"{_capital(subject)}: no figure."
    best = (max if row.metric.higher_is_better else min)(peers, key=lambda name: peers[name])
    return (
        f"{_capital(subject)}: {group.ours} {plot.short(ours)} {row.metric.unit}, "
        f"the best peer ({best}) {plot.short(peers[best])}."
    )


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _panels(report: Report, works: Sequence[str], metrics: Sequence[str]) -> Iterator[plot.Panel]:
    for group, work, rows in report.works():
        for row in rows:
            if work in works and row.metric.name in metrics and group.taking_part([row]):
                yield _panel(group, row)


def _panel(group: Results, row: Row) -> plot.Panel:
    bars = [
        plot.Bar(name, median, min(row.known(name)), max(row.known(name)))
        for name in group.contestants
        if (median := row.median(name)) is not None
    ]
    # A bar without a gateway may be so long that it would make all others small; cut it off.
    most = max(bar.high for bar in bars)
    through = max((bar.high for bar in bars if bar.name != "direct"), default=most)
    most = through if most > 2 * through else most
    return plot.Panel(f"{row.work.removeprefix('gateway: ')}, {row.metric.unit}", bars, most)


def _curves(report: Report, name: str, place: str) -> dict[str, str]:
    work, x_label, y_label, is_logarithmic = CURVES[name]
    for group, title, rows in report.works():
        if title == work:
            lines = list(_lines(group, rows))
            ticks = [(row.metric.x or 0, _tick(row)) for row in rows]
            x = plot.Axis(x_label, ticks, is_logarithmic)
            about = _capital(title.removeprefix("curve: "))
            ends = [_finding(row.metric.name, group, row) for row in (rows[0], rows[-1])]
            return {
                f"{name}.svg": plot.curves(title, x, plot.Axis(y_label), lines),
                f"{name}.txt": figure(f"{place}/{name}", about, ends),
            }
    return {}


def _tick(row: Row) -> str:
    """A size is written with its unit, which varies; the other axes have one unit each."""
    is_size = row.metric.name.endswith("B")
    return row.metric.name if is_size else f"{row.metric.x:.0f}"


def _lines(group: Results, rows: list[Row]) -> Iterator[plot.Curve]:
    for name in group.taking_part(rows):
        points = [
            (row.metric.x, median)
            for row in rows
            if row.metric.x is not None and (median := row.median(name)) is not None
        ]
        yield plot.Curve(name, points)
