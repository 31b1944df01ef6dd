"""The page of a run."""

from __future__ import annotations

import datetime
import html
import html.parser
import json
import re
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from advisor.cost.model import RegionalModels
from advisor.cost.price_inputs import PriceOptions
from advisor.results import (
    EncodeStats,
    Host,
    Output,
    Power,
    Quality,
    Refused,
    Run,
    Samples,
    Scenario,
    Tool,
    Vmaf,
    write_run,
)
from wattframe import cli
from wattframe.report.advice import advice_of, advice_section
from wattframe.report.bars import Bar, stacked_bars
from wattframe.report.markup import Markup, el
from wattframe.report.money import bills
from wattframe.report.numbers import bounds, linear, logarithmic, logarithmic_ticks, number, ticks
from wattframe.report.page import RunView, page
from wattframe.report.power import power_over_time, thinned
from wattframe.report.quality import quality_against_energy
from wattframe.report.rows import efficient, rows_of

MADE = datetime.datetime(2026, 3, 1, 12, 0, tzinfo=datetime.UTC)
NASTY = "<script>alert('1')</script> & \"co\""


def encode(
    name: str = "x264", *, joules: float = 360.0, vmaf: float | None = 90.0, **changes: Any
) -> Scenario:
    """10 s of work that delivers 60 s of video; 36 W, of which 16 W were idle."""
    fields: dict[str, Any] = {
        "name": name,
        "encoder": "libx264",
        "preset": "medium",
        "resolution": "1280x720",
        "bitrate": "2500k",
        "fps": 25.0,
        "duration": 10.0,
        "start_time": 1000.0,
        "end_time": 1010.0,
        "outputs": [
            Output(
                resolution="1280x720",
                bitrate="2500k",
                size_bytes=15_000_000,
                frames=1500,
                duration=60.0,
                quality=Quality(aligned=True, vmaf=Vmaf(mean=vmaf)) if vmaf is not None else None,
            )
        ],
        "power": Power(
            tier="measured",
            mean_watts=joules / 10,
            total_energy_joules=joules,
            net_energy_joules=joules - 160,
        ),
        "samples": Samples(timestamps=[1000.0, 1005.0, 1010.0], power_watts=[30.0, 40.0, 38.0]),
        "encode": EncodeStats(speed=6.0, frames=1500),
    }
    return Scenario(**(fields | changes))


def idle() -> Scenario:
    return Scenario(
        name="baseline",
        type="baseline",
        duration=10.0,
        start_time=980.0,
        end_time=990.0,
        power=Power(tier="measured", mean_watts=16.0, total_energy_joules=160.0),
        samples=Samples(timestamps=[980.0, 990.0], power_watts=[16.0, 16.0]),
    )


def run_of(*scenarios: Scenario, **changes: Any) -> Run:
    return Run(run_id="test_results_20260301_120000", scenarios=scenarios, **changes)


def text_of(run: Run, **view: Any) -> str:
    return page([RunView(run=run, **view)], MADE, "1.2.3")


class Reader(html.parser.HTMLParser):
    """Elements that are left open, ids, and addresses that would be loaded."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.loads: list[str] = []
        self.tags: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        given = dict(attrs)
        if given.get("id"):
            self.ids.append(str(given["id"]))
        if tag != "a":
            self.loads += [str(given[k]) for k in ("src", "href", "xlink:href") if given.get(k)]
        if tag not in ("meta", "br"):
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in ("meta", "br"):
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


class TestNumbers:
    @pytest.mark.parametrize(
        ("value", "text"),
        [
            (5.3666, "5.37"),
            (0.05613, "0.0561"),
            (0.00000123456, "0.00000123"),
            (1455.4, "1\u202f455"),
            (100.0, "100"),
            (-2.5, "-2.5"),
            (0.0, "0"),
            (None, "\u2013"),
            (float("nan"), "\u2013"),
        ],
    )
    def test_three_digits_and_never_an_exponent(self, value: float | None, text: str) -> None:
        assert number(value) == text

    @given(st.floats(-1e9, 1e9), st.floats(1e-6, 1e9), st.integers(1, 12))
    def test_ticks_lie_within_the_range_in_equal_steps(self, low: float, span: float, most: int) -> None:
        high = low + span
        found = ticks(low, high, most)
        assert len(found) <= most + 1
        slack = span * 1e-6 + abs(low) * 1e-9
        assert all(low - slack <= t <= high + slack for t in found)

    def test_ticks_are_steps_of_1_2_or_5(self) -> None:
        assert ticks(0.0, 1.0, 5) == [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]
        assert ticks(72.0, 98.0, 6) == [75.0, 80.0, 85.0, 90.0, 95.0]

    def test_logarithmic_ticks_thin_out_over_many_decades(self) -> None:
        assert logarithmic_ticks(4.0, 60.0, 8) == [5.0, 7.0, 10.0, 20.0, 30.0, 50.0]
        assert logarithmic_ticks(1.0, 1e4, 6) == [1.0, 10.0, 100.0, 1000.0, 10000.0]

    def test_a_place_on_a_linear_and_on_a_logarithmic_axis(self) -> None:
        assert linear((0.0, 10.0), (100.0, 0.0))(2.5) == 75.0
        assert logarithmic((1.0, 100.0), (0.0, 200.0))(10.0) == pytest.approx(100.0)

    def test_a_single_value_has_room_around_it(self) -> None:
        assert bounds([50.0]) == (47.5, 52.5)
        assert bounds([0.0]) == (-1.0, 1.0)


class TestMarkup:
    def test_text_and_attributes_are_escaped(self) -> None:
        assert el("p", NASTY, title=NASTY) == (
            '<p title="&lt;script&gt;alert(&#x27;1&#x27;)&lt;/script&gt; &amp; &quot;co&quot;">'
            "&lt;script&gt;alert(&#x27;1&#x27;)&lt;/script&gt; &amp; &quot;co&quot;</p>"
        )

    def test_markup_is_not_escaped_twice(self) -> None:
        assert el("p", el("b", "1 < 2"), Markup("<br/>")) == "<p><b>1 &lt; 2</b><br/></p>"


class TestRows:
    def test_a_row_is_worked_out_by_hand(self) -> None:
        (_, row) = rows_of(run_of(idle(), encode()))
        assert row.number == 1
        assert row.reached_kbps == pytest.approx(2000.0)  # 15 MB * 8 bit / 60 s
        assert row.joules_per_video_second == pytest.approx(6.0)  # 360 J / 60 s
        assert row.net_joules_per_video_second == pytest.approx(200 / 60)
        assert (row.vmaf, row.watts, row.target_kbps) == (90.0, 36.0, (2500.0,))

    def test_the_idle_run_has_no_number_and_no_net(self) -> None:
        (row, _) = rows_of(run_of(idle(), encode()))
        assert (row.number, row.net_joules, row.joules_per_video_second) == (0, None, None)

    def test_what_is_unknown_stays_unknown(self) -> None:
        row = rows_of(run_of(Scenario(name="bare")))[0]
        assert (row.watts, row.joules, row.vmaf, row.reached_kbps, row.speed) == (None,) * 5

    def test_a_bill_is_per_hour_of_video(self) -> None:
        """360 J of 60 s of video at 0.36 a kWh, and 10 s at 0.72 an hour: 60 times each."""
        model = RegionalModels.load(PriceOptions(energy_cost_per_kwh=0.36, cpu_cost_per_hour=0.72)).models[0]
        bill = bills(run_of(encode()), model)[0]
        assert bill.energy == pytest.approx(360 / 3.6e6 * 0.36 * 60)
        assert bill.compute == pytest.approx(10 / 3600 * 0.72 * 60)
        assert bill.total == pytest.approx(0.00216 + 0.12)
        assert bill.carbon_grams is None

    def test_the_front_drops_what_is_beaten_in_both(self) -> None:
        row = rows_of(run_of(encode()))[0]
        points = [(5.0, 80.0, row), (6.0, 79.0, row), (6.0, 90.0, row), (9.0, 90.0, row), (9.0, 95.0, row)]
        assert [p[:2] for p in efficient(points)] == [(5.0, 80.0), (6.0, 90.0), (9.0, 95.0)]


class TestCharts:
    def test_every_sample_is_at_its_time_and_watts(self) -> None:
        figure = power_over_time(rows_of(run_of(idle(), encode())), "p")
        assert figure is not None
        lines = re.findall(r'<polyline points="([^"]*)" class="power"', figure)
        assert len(lines) == 4  # two scenarios, drawn for two widths
        x = [float(point.split(",")[0]) for point in lines[1].split()]
        # 980 s is at the left end (48), 1010 s at the right end (948): 30 px a second
        assert x == pytest.approx([48 + 20 * 30, 48 + 25 * 30, 948], abs=0.1)

    def test_thinning_keeps_the_peak_and_the_dip(self) -> None:
        series = [(float(i), 20.0) for i in range(1000)]
        series[333], series[700] = (333.0, 95.0), (700.0, 3.0)
        kept = thinned(series, 100)
        assert len(kept) <= 100
        assert (333.0, 95.0) in kept
        assert (700.0, 3.0) in kept
        assert kept == sorted(kept)

    def test_without_samples_there_is_no_power_chart(self) -> None:
        assert power_over_time(rows_of(run_of(encode(samples=None))), "p") is None

    def test_without_scores_there_is_no_quality_chart(self) -> None:
        assert quality_against_energy(rows_of(run_of(encode(vmaf=None))), "q") is None

    def test_each_encoder_has_its_own_mark_and_name(self) -> None:
        rows = rows_of(run_of(encode("a"), encode("b", encoder="libx265"), encode("c", encoder="libsvtav1")))
        figure = quality_against_energy(rows, "q")
        assert figure is not None
        assert re.findall(r"</svg> (lib\w+)</li>", figure) == ["libsvtav1", "libx264", "libx265"]
        assert len(set(re.findall(r'class="mark (s\d)', figure))) == 3

    def test_the_choice_is_ringed(self) -> None:
        figure = quality_against_energy(rows_of(run_of(encode("a"), encode("b"))), "q", chosen="b")
        assert figure is not None
        assert figure.count('class="ring"') == 2  # once a width
        assert "advisor's choice" in figure.replace("&#x27;", "'")

    def test_more_than_a_decade_is_read_on_a_logarithmic_axis(self) -> None:
        near = quality_against_energy(rows_of(run_of(encode("a"), encode("b", joules=700.0))), "q")
        far = quality_against_energy(rows_of(run_of(encode("a"), encode("b", joules=7000.0))), "q")
        assert near is not None
        assert far is not None
        assert "logarithmic" not in near
        assert "logarithmic" in far

    def test_parts_of_a_bar_are_as_long_as_what_they_stand_for(self) -> None:
        figure = stacked_bars("c", "Cost", "", "USD", ("energy", "compute"), [Bar("1", (1.0, 3.0), "x")])
        assert figure is not None
        wide = figure[: figure.index('class="narrow"')]
        found = re.findall(r'<rect x="[\d.]+" y="4" width="([\d.]+)" height="20" class="part(\d)"', wide)
        widths = {part: float(width) for width, part in found}
        assert widths["1"] / widths["0"] == pytest.approx(3.0, rel=0.01)

    def test_every_drawing_is_well_formed_and_named(self) -> None:
        text = text_of(run_of(idle(), encode(), encode("b", joules=500.0)), model=_model())
        drawings = re.findall(r'<svg class="(?:wide|narrow)".*?</svg>', text, re.DOTALL)
        assert len(drawings) == 6
        for drawing in drawings:
            root = ElementTree.fromstring(drawing)  # noqa: S314  our own page
            assert root.get("role") == "img"
            title = root.find("title")
            assert title is not None
            assert title.get("id") == root.get("aria-labelledby")


def _model() -> Any:
    return RegionalModels.load(PriceOptions(region=("eu-north-1",))).models[0]


class TestPage:
    def test_it_loads_nothing_and_runs_nothing(self) -> None:
        reader = Reader(text_of(run_of(idle(), encode()), model=_model()))
        assert reader.loads == []
        assert "script" not in reader.tags
        assert reader.open == []
        assert len(reader.ids) == len(set(reader.ids))

    def test_hostile_names_stay_text(self) -> None:
        nasty = encode(NASTY, encoder=NASTY, preset=NASTY, validity=[NASTY], status="failed", error=NASTY)
        run = run_of(
            nasty,
            host=Host(cpu_model=NASTY),
            tool=Tool(ffmpeg_version=NASTY),
            refused=(Refused(3, NASTY, NASTY),),
        )
        text = text_of(run, model=_model(), notes=(NASTY,))
        assert "script" not in Reader(text).tags
        assert text.count("alert(") == text.count("&lt;script&gt;alert(")

    @pytest.mark.parametrize(
        ("power", "words"),
        [
            (Power(tier="measured", mean_watts=36.0), "power measured"),
            (
                Power(tier="modelled", mean_watts=36.0, uncertainty_ratio=0.3),
                "power modelled from CPU utilisation, ±30 %",
            ),
            (None, "power unknown"),
        ],
    )
    def test_it_says_whether_power_was_measured(self, power: Power | None, words: str) -> None:
        assert words in text_of(run_of(encode(power=power, samples=None)))

    def test_failures_and_refusals_are_listed(self) -> None:
        broken = encode("broken", status="failed", error="Unknown encoder 'libfoo'", outputs=[])
        text = html_text(
            text_of(run_of(encode(), broken, refused=(Refused(2, "x", "scenarios[2].fps: bad"),)))
        )
        assert "broken: failed: Unknown encoder 'libfoo'" in text
        assert "left out: scenarios[2].fps: bad" in text
        assert "1 did not finish" in text

    def test_an_output_that_was_not_aligned_is_named_and_not_scored(self) -> None:
        output = Output(resolution="640x360", quality=Quality(aligned=False, reason="frame counts differ"))
        text = html_text(text_of(run_of(encode(outputs=[output]))))
        assert "640x360 not scored: frame counts differ" in text

    def test_prices_and_their_sources_stand_under_the_chart(self) -> None:
        text = html_text(text_of(run_of(encode()), model=_model()))
        assert re.search(r"Electricity at [\d.]+ USD per kWh \(.+\), PUE 1", text)
        assert re.search(r"Carbon at [\d.]+ g CO2e per kWh \(", text)

    def test_a_run_of_nothing_but_failures_is_still_a_page(self) -> None:
        text = text_of(run_of(Scenario(name="x", status="aborted")), model=_model())
        assert Reader(text).open == []
        assert "aborted" in text

    def test_several_runs_have_a_table_of_contents(self) -> None:
        views = [RunView(run=run_of(encode())), RunView(run=run_of(encode()))]
        text = page(views, MADE, "1")
        assert text.count('<a href="#run') == 2
        reader = Reader(text)
        assert len(reader.ids) == len(set(reader.ids))


def html_text(text: str) -> str:
    return html.unescape(re.sub(r"<[^>]+>", "", text))


class TestCommand:
    def test_the_newest_run_is_reported(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        for name, start in (("old", 1000.0), ("new", 2000.0)):
            scenario = encode(name, start_time=start, end_time=start + 10)
            write_run(run_of(scenario), tmp_path / f"test_results_2026010{int(start / 1000)}_000000.json")
        output = tmp_path / "deep" / "report.html"
        assert cli.main(["report", "--results-dir", str(tmp_path), "-o", str(output), "--json"]) == 0
        document = json.loads(capsys.readouterr().out)
        assert document == {
            "path": str(output),
            "runs": ["test_results_20260102_000000"],
            "bytes": output.stat().st_size,
        }
        assert [p.name for p in output.parent.iterdir()] == ["report.html"]

    def test_an_empty_folder_is_one_line(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        assert cli.main(["report", "--results-dir", str(tmp_path)]) == 2
        assert capsys.readouterr().err == (
            f"wattframe report: {tmp_path}: expected a folder with test_results_*.json, found none\n"
        )

    def test_a_broken_file_hides_no_good_one(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        write_run(run_of(encode()), tmp_path / "test_results_20260101_000000.json")
        (tmp_path / "test_results_20260102_000000.json").write_text("{")
        output = tmp_path / "report.html"
        assert cli.main(["report", "--results-dir", str(tmp_path), "-o", str(output)]) == 0
        captured = capsys.readouterr()
        assert "left out: " in captured.err
        assert "test_results_20260102_000000.json" in captured.err
        assert captured.out == f"{output}\n"

    def test_a_folder_may_be_named_and_a_broken_file_in_it_costs_the_exit_code(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        write_run(run_of(encode()), tmp_path / "test_results_20260101_000000.json")
        (tmp_path / "test_results_20260102_000000.json").write_text("{")
        output = tmp_path / "report.html"
        assert cli.main(["report", str(tmp_path), "-o", str(output)]) == 2
        assert "test_results_20260102_000000.json: expected a JSON" in capsys.readouterr().err
        assert "What a transcoded frame costs" in output.read_text()

    def test_an_unknown_region_is_refused_before_anything_is_written(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        write_run(run_of(encode()), tmp_path / "test_results_20260101_000000.json")
        output = tmp_path / "report.html"
        assert (
            cli.main(["report", "--results-dir", str(tmp_path), "-o", str(output), "--region", "eu-wset-1"])
            == 2
        )
        assert "eu-west-1" in capsys.readouterr().err
        assert not output.exists()


class TestAdvice:
    def test_the_choice_for_each_objective_with_what_it_takes(self) -> None:
        """Of two that hold the floor the one of 300 J; the one of 200 J looks too poor."""
        scenarios = (
            encode("poor", joules=200.0, vmaf=60.0, bitrate="500k"),
            encode("frugal", joules=300.0, vmaf=85.0, bitrate="1500k"),
            encode("lavish", joules=600.0, vmaf=86.0, bitrate="2500k"),
        )
        found = {a.objective: a for a in advice_of(run_of(*scenarios), _model(), 80.0)}
        assert found["energy"].scenario == found["carbon"].scenario == "frugal"
        assert found["energy"].values[0] == (pytest.approx(5.0), "J a second of video")
        assert found["energy"].basis == "measured"

    def test_nothing_is_chosen_under_the_floor(self) -> None:
        (energy, *_) = advice_of(run_of(encode(vmaf=60.0)), _model(), 80.0)
        assert energy.scenario is None
        assert energy.reason

    def test_objectives_with_one_choice_share_a_block(self) -> None:
        run = run_of(encode("one"), encode("two", joules=900.0, bitrate="5M"))
        text = html_text(str(advice_section(advice_of(run, _model(), 80.0))))
        assert "least energy, " in text
        assert text.count("no choice") == 0
        assert "VMAF at least 80" in text

    def test_a_page_without_numpy_has_no_advice(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        write_run(run_of(encode()), tmp_path / "test_results_20260101_000000.json")
        monkeypatch.setitem(sys.modules, "advisor.advice.recommender", None)
        output = tmp_path / "report.html"
        assert cli.main(["report", "--results-dir", str(tmp_path), "-o", str(output)]) == 0
        assert "no advice: needs the package advisor.advice.recommender" in capsys.readouterr().err
        assert "The advisor" not in output.read_text()
