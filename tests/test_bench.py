"""The bench measures, notices what dies, and computes what it says it computes."""

from __future__ import annotations

import json
import re
import time
from typing import TYPE_CHECKING, Any

import pytest
from bench import __main__ as bench_main
from bench import plan, publish, targets
from bench.measure.children import Child, ChildError, hear_any
from bench.report import figures, tables
from bench.report.results import Results

import bench_children

if TYPE_CHECKING:
    from pathlib import Path

pytest.importorskip("cv2", reason="the bench needs the extra bench")
pytest.importorskip("imagezmq", reason="the bench needs the extra bench")
pytest.importorskip("skimage", reason="the bench needs the extra bench")


# --- statistics ----------------------------------------------------------------------


def test_spread() -> None:
    assert figures.spread([3.0, 1.0, 2.0]) == (2.0, 1.0, 3.0)
    assert figures.spread([4.0, 1.0, 2.0, 3.0]) == (2.5, 1.0, 4.0)
    assert figures.spread(iter([])) is None


def test_ratios_are_of_the_same_round() -> None:
    ours = [{"rate": 10.0}, {"error": "died"}, {"rate": 30.0}, {"rate": 8.0}]
    theirs = [{"rate": 5.0}, {"rate": 1.0}, {"error": "hung"}, {"rate": 16.0}]
    assert figures.ratios(ours, theirs, "rate") == [2.0, 0.5]
    assert figures.values(ours, "rate") == [10.0, 30.0, 8.0]


def test_the_limit_of_the_codec() -> None:
    times = {"encode": {"1": 0.004, "0": 0.002}, "decode": {"1": 0.005, "0": 0.003}}
    assert figures.limit(times) == pytest.approx((200, 200))
    single = {"encode": {"1": 0.004}, "decode": {"1": 0.006}}
    assert figures.limit(single) == pytest.approx((100, 1000 / 6))
    rounds = [{"rate": 90.0}, {"error": "died"}, {"rate": 50.0}]
    assert figures.against(rounds, [100.0, 100.0, 200.0]) == [0.9, 0.25]


def test_figures_of_a_cell() -> None:
    from bench.measure import cell
    from bench.peers import PUB_SUB, Setting

    left = [float(number) for number in range(100)]
    sent = {"left": left, "took": 200.0, "cpu": 5.0, "peak": 7}
    # Each second one is dropped; frame n takes n/1000 s.
    came = [(number, number + number / 1000) for number in range(0, 100, 2)]
    received = {"came": came, "cpu": 1.0, "peak": 9}
    lockstep = cell.figures_of(sent, received, Setting())
    assert lockstep["rate"] == 0.5
    assert lockstep["sender_cpu"] == 0.05
    assert lockstep["hub_cpu"] == 0.02
    assert lockstep["latency_p50"] == pytest.approx(0.049)
    assert lockstep["latency_p99"] == pytest.approx(0.09702)
    dropping = cell.figures_of(sent, received, Setting(PUB_SUB))
    assert dropping["rate"] == pytest.approx(49 / 98.098)
    assert (dropping["sent"], dropping["came"]) == (100, 50)
    nothing = cell.figures_of(sent, {"came": [], "cpu": 0.0, "peak": 9}, Setting(PUB_SUB))
    assert (nothing["rate"], nothing["latency_p50"]) == (0, None)


# --- processes -----------------------------------------------------------------------


def soon() -> float:
    return time.monotonic() + 20


def test_a_child_is_talked_to() -> None:
    with Child("echo", bench_children.echo) as child:
        child.tell("hello")
        assert child.hear(soon()) == "hello"


def test_a_child_that_dies_is_noticed() -> None:
    with (
        Child("one", bench_children.die, 3) as dying,
        Child("other", bench_children.be_silent) as silent,
        pytest.raises(ChildError, match="the one ended, exit status 3"),
    ):
        hear_any([silent, dying], soon())


def test_a_child_that_raises_says_why(capfd: pytest.CaptureFixture[str]) -> None:
    with (
        Child("one", bench_children.fail) as failing,
        pytest.raises(ChildError, match="the one failed: ValueError: a reason"),
    ):
        failing.hear(soon())
    assert "Traceback" in capfd.readouterr().err


def test_a_child_that_hangs_is_not_waited_for() -> None:
    began = time.monotonic()
    with (
        Child("one", bench_children.be_silent) as silent,
        pytest.raises(ChildError, match="the one said nothing in time"),
    ):
        silent.hear(time.monotonic() + 0.05)
    assert time.monotonic() - began < 20


# --- the whole of it -----------------------------------------------------------------

QUICK_ONE = ["--rounds", "1", "--seconds", "0.1", "--sizes", "64x48"]


def measured(folder: Path, *arguments: str) -> Results:
    assert bench_main.main([*QUICK_ONE, *arguments, "--output", str(folder)]) == 0
    results = Results.read(folder / "results.json")
    assert (folder / "results.md").read_text(encoding="utf-8") == tables.document(results)
    assert (folder / "results.png").read_bytes().startswith(b"\x89PNG")
    return results


def test_what_is_measured_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("matplotlib", reason="the plot needs the extra bench")
    names = f"{plan.BASE},{plan.FAST},{plan.WINDOW_1}"
    results = measured(
        tmp_path, "--kinds", "JPEG", "--patterns", "REQ/REP,PUB/SUB", "--variants", names
    )
    lockstep = targets.lockstep(plan.JPEG, "64x48")
    paced = plan.Row("PUB/SUB", plan.JPEG, "64x48", plan.CAMERA_RATE)
    assert results.rows() == [lockstep, paced]
    for row, name in [(row, name) for row in results.rows() for name in (plan.BASE, plan.FAST)]:
        [one] = results.rounds(row, name)
        assert one["rate"] > 0
        assert 0 < one["latency_p50"] <= one["latency_p99"] < 5
        assert one["sender_cpu"] > 0
        assert one["hub_cpu"] > 0
        assert min(one["sender_peak"], one["hub_peak"]) > 2**20
        assert one["came"] == one["sent"] > 0
    ratio = results.ratio(lockstep, plan.FAST)
    assert ratio is not None
    rates = [results.rounds(lockstep, name)[0]["rate"] for name in (plan.FAST, plan.BASE)]
    assert ratio.median == pytest.approx(rates[0] / rates[1])
    window = results.rounds(lockstep, plan.WINDOW_1)
    assert bool(window) == (results.missing(lockstep, plan.WINDOW_1) is None)
    assert results.limits("64x48")[0].lockstep > 0
    assert set(results.told["imports"]) == {"imagezmq", "fastimagezmq"}
    # No name of a folder or of this machine gets into what may be published.
    assert str(tmp_path.parent) not in json.dumps(results.told)
    assert "| 64x48 |" in capsys.readouterr().out

    assert targets.main([str(tmp_path / "results.json")]) == 1  # so little cannot be enough
    told = capsys.readouterr().out
    assert re.search(r"<= 10 .* import", told)
    assert "not measured" in told

    page = tmp_path / "page.md"
    page.write_text(f"above\n{publish.BEGIN}\nold\n{publish.END}\nbelow\n", encoding="utf-8")
    (tmp_path / "results.png").write_bytes(b"the plot")
    assert publish.main([str(tmp_path / "results.json"), "--page", str(page)]) == 0
    assert page.with_suffix(".png").read_bytes() == b"the plot"
    text = page.read_text(encoding="utf-8")
    assert text.startswith(f"above\n{publish.BEGIN}\n")
    assert text.endswith(f"\n{publish.END}\nbelow\n")
    assert "| 64x48 |" in text
    assert "old" not in text


def test_netgear_is_measured(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="the plot needs the extra bench")
    pytest.importorskip("vidgear", reason="NetGear needs the extra bench")
    names = f"{plan.BASE},{plan.NETGEAR_EQUAL},pyzmq"
    results = measured(tmp_path, "--kinds", "JPEG", "--patterns", "REQ/REP", "--variants", names)
    for name in names.split(","):
        [one] = results.rounds(targets.lockstep(plan.JPEG, "64x48"), name)
        assert one["rate"] > 0
        assert one["came"] == one["sent"] > 0


def test_targets_are_met_or_missed() -> None:
    from_below = targets.Target("a", 1.5, lambda _: None)
    from_above = targets.Target("b", 1.5, lambda _: None, at_most=True)
    good, bad = figures.Spread(1.6, 1.0, 2.0), figures.Spread(1.4, 1.0, 2.0)
    assert from_below.met(good)
    assert not from_below.met(bad)
    assert from_above.met(bad)
    assert not from_above.met(good)


def test_every_target_is_measured_by_the_quick_mode() -> None:
    quick = {
        (row, variant.name)
        for row in plan.rows(video=True)
        for variant in plan.variants_of(row)
        if plan.is_quick(row, variant)
    }
    rounds = [{"rate": 2.0, "sender_cpu": 1.0}]
    codec = {"encode": dict.fromkeys("120", 1.0), "decode": dict.fromkeys("120", 1.0)}
    told: dict[str, Any] = {
        "cells": [
            {"row": vars(row), "variant": name, "not available": None, "rounds": rounds}
            for row, name in quick
        ],
        "codec": {row.size: [codec] for row, _ in quick if row.kind == plan.JPEG},
        "imports": {"imagezmq": [1.0], "fastimagezmq": [1.1]},
    }
    results = Results(told)
    for target in targets.targets():
        assert target.measure(results) is not None, target.what


def test_a_page_without_markers_is_left_alone() -> None:
    with pytest.raises(ValueError, match="needs one"):
        publish.replaced("no markers", "tables")
    twice = f"{publish.BEGIN}{publish.END}" * 2
    with pytest.raises(ValueError, match="needs one"):
        publish.replaced(twice, "tables")
