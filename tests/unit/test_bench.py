# SPDX-License-Identifier: BSD-2-Clause
"""The bench without its measurements: sums, tables, charts, and worker processes."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

from bench.contestants.proxycommand import ALL
from bench.report import pages, plot
from bench.report.goals import verdicts
from bench.report.results import Report, Results, Row
from bench.report.tables import number, table
from bench.worker import Worker, WorkFailedError
from bench.works.base import Metric
from bench.works.proxycommand import End, Footprint
from bench.works.streams import Down

RATE = Metric("rate", "MB/s", higher_is_better=True)
CPU = Metric("CPU, client side", "ms/MB", when_none="never")
MACHINE = {
    "cpu": "a CPU", "cpus": 2, "memory_gib": 4, "kernel": "Linux", "tcp": "cubic", "libc": "glibc",
    "python": "CPython", "openssl": "OpenSSL", "openssh": "OpenSSH", "commit": "abc",
    "date": "2026-01-01", "contestants": {"ssh": "9.2"}, "seconds": 90.0,
    "others_percent": 1.0, "load_average": [0, 0, 0],
}  # fmt: skip
DOWN = "gateway: raw stream down"
SIZES = "curve: raw stream up by the size of a send"


def results() -> Results:
    group = Results("Through a gateway", {"sshgateway": "ours", "ssh": "theirs", "direct": "none"})
    for ours, theirs in ((500.0, 400.0), (600.0, 500.0), (100.0, 50.0)):
        group.add(DOWN, [RATE, CPU], "sshgateway", {"rate": ours, CPU.name: 1.0})
        group.add(DOWN, [RATE, CPU], "ssh", {"rate": theirs, CPU.name: 0.5})
        group.add(DOWN, [RATE, CPU], "direct", {"rate": None, CPU.name: None})
    return group


def report() -> Report:
    points = [Metric("64 B", "MB/s", True, x=64), Metric("1 MiB", "MB/s", True, x=1 << 20)]
    growing = Results("Curves", {"sshgateway": "ours", "ssh": "theirs"})
    growing.add(SIZES, points, "sshgateway", {"64 B": 3.0, "1 MiB": 2000.0})
    growing.add(SIZES, points, "ssh", {"64 B": 0.2, "1 MiB": None})
    return Report("tests/bench --all", MACHINE, [results(), growing])


def row(**figures: list[float | None]) -> Row:
    return Row("work", RATE, figures)


# --- Sums --------------------------------------------------------------------------------


def test_a_figure_that_was_not_obtained_is_not_counted() -> None:
    some = row(a=[3.0, None, 1.0, 2.0], b=[None])
    assert some.median("a") == 2
    assert some.known("a") == [3, 1, 2]
    assert some.median("b") is None
    assert some.median("absent") is None


def test_ratios_are_taken_round_by_round() -> None:
    """A disturbance that halves the speed of a round halves it for both contestants."""
    assert row(a=[100.0, 50.0, 80.0], b=[50.0, 25.0, 20.0]).ratio("a", "b") == 2
    assert row(a=[100.0, None], b=[None, 5.0]).ratio("a", "b") is None
    assert row(a=[1.0], b=[0.0]).ratio("a", "b") is None


def test_a_report_is_read_back_as_it_was_written(tmp_path: Path) -> None:
    file = tmp_path / "deep" / "results.json"
    report().write(file)
    again = Report.read(file)
    assert again == report()
    again.write(tmp_path / "again.json")
    assert (tmp_path / "again.json").read_bytes() == file.read_bytes()


@pytest.mark.parametrize(
    ("figure", "text"),
    [(0, "0"), (1234.5, "1234"), (99.94, "99.9"), (1.234, "1.23"), (0.0012, "0.001")],
)
def test_a_figure_has_three_digits(figure: float, text: str) -> None:
    assert number(figure) == text


# --- Tables ------------------------------------------------------------------------------


def test_a_table_has_medians_with_their_spread_and_the_ratio_of_ours_to_theirs() -> None:
    heading, ours, theirs, *others = table(results()).splitlines()
    assert heading.split("   ")[0] == DOWN
    assert "rate, MB/s" in heading
    assert "500 (100..600)" in ours
    assert "x" not in ours
    assert "400 (50.0..500)  x 1.25" in theirs
    assert not others, "a contestant without a figure has no line"


def test_a_work_with_many_metrics_continues_below() -> None:
    group = Results("many", {"a": ""})
    metrics = [Metric(f"metric {i}", "ms") for i in range(5)]
    group.add("work", metrics, "a", {metric.name: 1.0 for metric in metrics})
    first, second = table(group).split("\n\n")
    assert "metric 3" in first
    assert "metric 4" in second


def test_goals_are_judged_by_the_ratio_of_the_rounds() -> None:
    judged = {(each.what, each.reached, each.is_met) for each in verdicts(report())}
    assert ("rate: at least 1.1 x ssh", "1.25 x", True) in judged
    assert ("CPU, client side: at most 0.75 x ssh", "2.00 x", False) in judged


def test_a_faster_peer_is_listed_and_a_yardstick_is_not() -> None:
    given = report()
    for name, figure in (("sshgateway", 2.0), ("ssh", 1.99), ("direct", 1.0)):
        given.groups[0].add("another", [CPU], name, {CPU.name: figure})
    text = pages.faster(given)
    assert "ssh: 0.50" in text
    assert "1.99" not in text, "a difference of 1 % or less is not listed"
    assert "rate, MB/s" not in text
    assert "direct" not in text


# --- Charts ------------------------------------------------------------------------------


def shapes(svg: str) -> dict[str, int]:
    """How many of each element; checks that none of them is outside of the view box."""
    root = ElementTree.fromstring(svg)
    _, _, width, height = map(float, root.attrib["viewBox"].split())
    counts: dict[str, int] = {}
    for element in root.iter():
        name = element.tag.rpartition("}")[2]
        counts[name] = counts.get(name, 0) + 1
        for across, down in (("x", "y"), ("cx", "cy")):
            if across in element.attrib:
                assert 0 <= float(element.attrib[across]) <= width
                assert 0 <= float(element.attrib[down]) <= height
    return counts


def test_each_contestant_has_a_bar_in_each_panel() -> None:
    bar = plot.Bar("a <b> & c", 5.0, 4.0, 9.0)
    panels = [
        plot.Panel("one, MB/s", [bar, bar], 9.0),
        plot.Panel("two, cut", [bar], 4.0),
        plot.Panel("three", [], 1.0),
    ]
    assert shapes(plot.bars("<title>", panels))["rect"] == 3


@pytest.mark.parametrize("values", [(0.002, 4321.0), (7.0, 7.0), (1000.0, 1.0)])
def test_curves_have_a_marker_for_each_point_and_one_in_the_legend(
    values: tuple[float, float],
) -> None:
    points = list(zip((1.0, 1000.0), values, strict=True))
    x = plot.Axis("channels", [(1, "1"), (1000, "1000")])
    drawn = shapes(plot.curves("title", x, plot.Axis("ms"), [plot.Curve("sshgateway", points)]))
    assert drawn["circle"] == 3


def test_the_files_for_the_manual_are_the_same_for_the_same_figures() -> None:
    files = pages.files(report())
    assert files == pages.files(report())
    assert {"rates.svg", "cpu.svg", "sizes.svg"} <= set(files)
    assert {"through-a-gateway.txt", "curves.txt", "goals.txt", "faster.txt"} <= set(files)
    for name, text in files.items():
        if name.endswith(".svg"):
            shapes(text)


def test_the_alternative_text_of_a_chart_gives_our_figure_and_the_best_peers() -> None:
    files = pages.files(report())
    assert "Raw stream down: sshgateway 500 MB/s, the best peer (ssh) 400." in files["rates.txt"]
    assert "Raw stream down: sshgateway 1.00 ms/MB, the best peer (ssh) 0.50." in files["cpu.txt"]
    assert "64 B: sshgateway 3.00 MB/s, the best peer (ssh) 0.20." in files["sizes.txt"]
    assert "1 MiB: no figure." in files["sizes.txt"]
    for name in ("rates", "cpu", "sizes"):
        assert f".. image:: performance/{name}.svg" in files[f"{name}.txt"]


def test_contestants_differ_in_shape_and_variants_are_hollow() -> None:
    measured = [name for name in plot.LOOKS if name != "pipes"]  # never beside "direct"
    assert len({plot.LOOKS[name] for name in measured}) == len(measured)
    assert len({shape for _, shape in (plot.LOOKS[name] for name in measured)}) == len(measured)
    chart = plot.bars("t", [plot.Panel("p", [plot.Bar("ssh-gcm", 1.0, 1.0, 1.0)], 1.0)])
    assert 'fill-opacity="0.25"' in chart


# --- Processes ---------------------------------------------------------------------------


def test_a_contestant_works_in_a_process_of_its_own() -> None:
    with Worker(ALL["pipes"]) as worker:
        figures = worker.run(Down(100_000))
    assert figures["rate"] is not None


def test_a_contestant_that_fails_reports_why_and_is_restarted() -> None:
    work = End("end", "exit 3", (0, ""))
    with Worker(ALL["pipes"]) as worker:
        with pytest.raises(WorkFailedError, match="return code 3"):
            worker.run(work)
        assert worker.run(Down(100_000))["rate"]
        worker._process.kill()
        with pytest.raises(WorkFailedError, match="is gone"):
            worker.run(work)
        assert worker.run(Down(100_000))["rate"]


def test_memory_is_measured_in_a_fresh_process() -> None:
    assert Footprint(1).fresh
    work = Down(1)
    with Worker(ALL["pipes"]) as worker:
        before = worker._process.pid
        worker.run(work)
        assert worker._process.pid == before
        work.fresh = True  # type: ignore[attr-defined]
        worker.run(work)
        assert worker._process.pid != before


def test_another_version_is_imported_from_its_path(tmp_path: Path, monkeypatch) -> None:
    (tmp_path / "sitecustomize.py").write_text("import os; os._exit(3)")
    monkeypatch.setattr(ALL["pipes"], "path", tmp_path, raising=False)
    with pytest.raises(WorkFailedError, match="is gone"), Worker(ALL["pipes"]) as worker:
        worker.run(Down(1))
