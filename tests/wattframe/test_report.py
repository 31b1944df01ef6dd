"""The page of a run."""

from __future__ import annotations

import base64
import datetime
import hashlib
import html
import html.parser
import json
import re
import shlex
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import Any

import pytest

from advisor.cost.model import CostModel, RegionalModels
from advisor.cost.price_inputs import PriceOptions
from advisor.errors import InputError
from advisor.results import (
    EncodeStats,
    Host,
    InputMedia,
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
from wattframe.report import drawing as report_drawing
from wattframe.report.charts import cost_split, power_over_time, quality_against_energy, thinned
from wattframe.report.choice import RunChoice, Tuned, choice_of
from wattframe.report.command import reusable_command
from wattframe.report.comparison import compare
from wattframe.report.numbers import number
from wattframe.report.page import RunView, page
from wattframe.report.rows import report_rows

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
        self.tags: list[str] = []
        self.handlers: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        given = dict(attrs)
        self.handlers += [name for name in given if name.startswith("on")]
        if given.get("id"):
            self.ids.append(str(given["id"]))
        addresses = [str(given[k]) for k in ("src", "href", "xlink:href") if given.get(k)]
        self.loads += [address for address in addresses if not address.startswith("#")]
        if tag not in ("meta", "br"):
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in ("meta", "br"):
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def html_text(text: str) -> str:
    plain = re.sub(r"<(script|style).*?</\1>", "", text, flags=re.DOTALL)
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", plain)).split())


def hints(chart: Any) -> list[str]:
    return [html.unescape(hint) for hint in re.findall(r'data-hint="([^"]*)"', chart.wide)]


def test_ticks_that_stand_close_have_the_digits_that_tell_them_apart() -> None:
    def draw(axes: Any, narrow: bool) -> None:
        axes.plot([4.5500, 4.5520], [0, 1])
        report_drawing.scale(axes, most=(4, 3))

    marks = texts(str(report_drawing.drawing("i", "t", draw, lambda _: 200, narrow=False)))
    assert {"4.55", "4.551", "4.552"} <= set(marks)


def texts(drawing: str) -> list[str]:
    """Every text of a drawing."""
    root = ElementTree.fromstring(drawing)  # noqa: S314  our own
    return [element.text or "" for element in root.iter("{http://www.w3.org/2000/svg}text")]


def _model() -> Any:
    return RegionalModels.load(PriceOptions(region=("eu-north-1",))).models[0]


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


class TestRows:
    def test_a_row_is_worked_out_by_hand(self) -> None:
        (_, row) = report_rows(run_of(idle(), encode()))
        assert row.reached_kbps == pytest.approx(2000.0)  # 15 MB * 8 bit / 60 s
        assert row.joules_per_video_second == pytest.approx(6.0)  # 360 J / 60 s
        assert (row.net_joules, row.vmaf, row.watts, row.asked_kbps) == (200.0, 90.0, 36.0, 2500.0)

    def test_what_is_unknown_stays_unknown(self) -> None:
        row = report_rows(run_of(Scenario(name="bare")))[0]
        assert (row.watts, row.joules, row.vmaf, row.reached_kbps, row.speed) == (None,) * 5

    def test_cost_is_per_hour_of_video(self) -> None:
        """360 J of 60 s of video at 0.36 a kWh, and 10 s at 0.72 an hour: 60 times each."""
        model = RegionalModels.load(PriceOptions(energy_cost_per_kwh=0.36, cpu_cost_per_hour=0.72)).models[0]
        (row,) = report_rows(run_of(encode()), model)
        assert row.cost_per_video_hour == pytest.approx(0.00216 + 0.12)
        assert row.carbon_grams_per_video_hour is None

    def test_validity_is_said_in_words(self) -> None:
        (row,) = report_rows(run_of(encode(validity=["frames_dropped", "of_a_later_version"])))
        assert row.remarks == ("not reliable: ffmpeg dropped frames", "not reliable: of_a_later_version")

    def test_joules_without_the_gpu_that_encoded_are_said_to_be_so(self) -> None:
        (row,) = report_rows(run_of(encode(encoder="h264_nvenc", encoder_type="gpu")))
        assert row.remarks == ("the GPU's energy was not measured: only the CPU's is counted",)

    @pytest.mark.parametrize(("mode", "small"), [("owned", "cost and carbon are"), ("cloud", "carbon is")])
    def test_gaps_in_the_samples_are_told_of_what_they_make_too_small(self, mode: Any, small: str) -> None:
        samples = Samples(timestamps=[0.0, 1.0, 2.0, 9.0, 10.0], power_watts=[36.0] * 5)
        gappy = encode(power=Power(tier="measured"), samples=samples)
        rate = {"instance_cost_per_hour": 1.0} if mode == "cloud" else {}
        (row,) = report_rows(run_of(gappy), CostModel(mode=mode, **rate))
        assert f"{small} too small: the samples have gaps, which are not counted" in row.remarks


class TestCharts:
    def test_every_scenario_is_named_and_explained(self) -> None:
        chart = quality_against_energy(report_rows(run_of(encode("a"), encode("b", joules=700.0))), "q", None)
        assert chart is not None
        assert {"a", "b"} <= set(texts(chart.wide)) & set(texts(chart.narrow))
        assert hints(chart) == [
            "a: VMAF 90, 6 J per second of video, 6 x real time",
            "b: VMAF 90, 11.7 J per second of video, 6 x real time",
        ]

    def test_names_that_would_cover_each_other_are_left_to_the_hints(self) -> None:
        crowd = [encode(f"a name of some length {i}", joules=360.0 + i / 100) for i in range(40)]
        chart = quality_against_energy(report_rows(run_of(*crowd, encode("far", joules=700.0))), "q", None)
        assert chart is not None
        assert 1 <= sum(text.startswith("a name") for text in texts(chart.wide)) < 10
        assert len(hints(chart)) == 41

    def test_each_encoder_has_its_own_colour_and_name(self) -> None:
        rows = report_rows(
            run_of(encode("a"), encode("b", encoder="libx265"), encode("c", encoder="libsvtav1"))
        )
        chart = quality_against_energy(rows, "q", None)
        assert chart is not None
        assert {"libsvtav1", "libx264", "libx265"} <= set(texts(chart.wide))
        assert {"var(--s0)", "var(--s1)", "var(--s2)"} <= set(re.findall(r"var\(--s\d\)", chart.wide))

    @pytest.mark.parametrize(("speed", "marked"), [(0.99, True), (1.0, False)])
    def test_slower_than_real_time_is_marked(self, speed: float, marked: bool) -> None:
        run = run_of(encode(encode=EncodeStats(speed=speed)))
        chart = quality_against_energy(report_rows(run), "q", None)
        assert chart is not None
        assert ("open: slower than real time" in texts(chart.wide)) is marked
        assert ("slower than real time" in html_text(text_of(run)).partition("All scenarios")[2]) is marked

    def test_more_than_a_decade_is_read_on_a_logarithmic_axis(self) -> None:
        for joules, logarithmic in ((700.0, False), (7000.0, True)):
            run = run_of(encode("a"), encode("b", joules=joules))
            chart = quality_against_energy(report_rows(run), "q", None)
            assert chart is not None
            assert any("logarithmic" in text for text in texts(chart.wide)) is logarithmic

    def test_the_front_is_told_of_where_it_is_drawn(self) -> None:
        run = run_of(encode("a"), encode("b", joules=700.0, vmaf=95.0, preset="slow"))
        rows = report_rows(run)
        for names, told in ((("a",), False), (("a", "b"), True)):
            points = [point for point in choice_of(run, _model(), 0.0).front if point.scenario in names]
            answer = RunChoice(sentence="", basis="", front=tuple(points))
            chart = quality_against_energy(rows, "q", answer)
            assert chart is not None
            assert ("The dotted line is the front" in chart.caption) is told

    def test_the_front_passes_by_a_configuration_once(self) -> None:
        """300 and 500 J for 60 s are 20/3 J/s in the mean; a repeat that is not valid does not count."""
        spoilt = encode("a", vmaf=50.0, validity=["steal"])
        repeats = [encode("a", joules=300.0), encode("a", joules=500.0), spoilt]
        (point,) = choice_of(run_of(*repeats), _model(), 80.0).front
        assert (point.objective_value, point.vmaf) == (pytest.approx(20 / 3), 90.0)

    def test_without_scores_there_is_no_quality_chart(self) -> None:
        assert quality_against_energy(report_rows(run_of(encode(vmaf=None))), "q", None) is None

    def test_power_has_a_named_band_for_every_scenario(self) -> None:
        chart = power_over_time(report_rows(run_of(idle(), encode())), "p")
        assert chart is not None
        assert hints(chart) == ["baseline: 16 W mean, 160 J", "x264: 36 W mean, 360 J"]
        assert {"baseline", "x264", "seconds"} <= set(texts(chart.wide))

    def test_without_samples_there_is_no_power_chart(self) -> None:
        assert power_over_time(report_rows(run_of(encode(samples=None))), "p") is None

    def test_thinning_keeps_the_peak_and_the_dip(self) -> None:
        series = [(float(i), 20.0) for i in range(1000)]
        series[333], series[700] = (333.0, 95.0), (700.0, 3.0)
        kept = thinned(series, 100)
        assert len(kept) <= 100
        assert (333.0, 95.0) in kept
        assert (700.0, 3.0) in kept
        assert kept == sorted(kept)

    def test_cost_is_split_into_electricity_and_machine(self) -> None:
        """As in `TestRows`: 0.00216 of electricity and 0.12 of machine an hour of video."""
        model = RegionalModels.load(PriceOptions(energy_cost_per_kwh=0.36, cpu_cost_per_hour=0.72)).models[0]
        chart = cost_split(report_rows(run_of(idle(), encode()), model), "c", "")
        assert chart is not None
        assert set(hints(chart)) == {"x264: electricity 0.00216, machine 0.12 USD"}


class TestCommandLine:
    def test_a_ladder_keeps_its_filters_and_names_its_files(self) -> None:
        words = "ffmpeg -y -re -i file:/in/a.mp4 -filter_complex [0:V:0]split=2[o0][o1]"
        words += " -map [o0] -c:v libx264 -f mp4 file:/out/r1.mp4"
        words += " -map [o1] -c:v libx264 -t 5 -f mp4 file:/out/r2.mp4"
        assert reusable_command(words.split()) == (
            "ffmpeg -i a.mp4 -filter_complex '[0:V:0]split=2[o0][o1]'"
            " -map '[o0]' -map '0:a?' -c:a copy -c:v libx264 -f mp4 output_1.mp4"
            " -map '[o1]' -map '0:a?' -c:a copy -c:v libx264 -f mp4 output_2.mp4"
        )

    def test_a_name_with_quotes_is_one_word_of_the_shell(self) -> None:
        assert shlex.split(reusable_command(["ffmpeg", "-i", "file:/a/$(x) 'y'.mp4"]))[2] == "$(x) 'y'.mp4"


class TestAnswer:
    def run(self, **changes: Any) -> Run:
        return run_of(
            encode("svt 10", encoder="libsvtav1", joules=110.0, vmaf=91.8, preset="10", **changes),
            encode("x264 medium", joules=360.0, vmaf=96.6),
            encode("x264 slow", joules=600.0, vmaf=97.0, preset="slow"),
        )

    def test_the_saving_is_against_ffmpegs_default(self) -> None:
        """110 J of 360 J are 69 % less; 91.8 of 96.6 VMAF are 4.8 less."""
        answer = choice_of(self.run(), _model(), 80.0)
        assert answer.sentence == (
            "svt 10 instead of x264 medium saves 69\u00a0% of the energy at 4.8 VMAF less."
        )
        assert answer.choice is not None
        assert answer.reference is not None
        assert (answer.choice.scenario, answer.reference.scenario) == ("svt 10", "x264 medium")

    def test_another_scenario_may_be_named(self) -> None:
        answer = choice_of(self.run(), _model(), 80.0, "x264 slow")
        assert "instead of x264 slow saves 82\u00a0%" in answer.sentence  # 110 of 600

    def test_an_unknown_name_is_refused_with_the_near_one(self) -> None:
        with pytest.raises(InputError, match="--baseline: expected one of x264 slow"):
            choice_of(self.run(), _model(), 80.0, "x264 slo")

    def test_a_difference_within_the_noise_is_no_saving(self) -> None:
        run = run_of(encode("a", preset="fast", joules=359.0), encode("b", joules=360.0))
        assert (
            choice_of(run, _model(), 80.0).sentence == "a and b take about the same energy at the same VMAF."
        )

    def test_of_no_joules_at_all_no_share_is_saved(self) -> None:
        run = run_of(encode("zero", joules=0.0, preset="fast"), encode("x264"))
        answer = choice_of(run, _model(), 80.0)
        assert answer.sentence == "zero takes the least energy: 0 J per second of video."

    def test_nothing_is_chosen_under_the_floor(self) -> None:
        answer = choice_of(run_of(encode(vmaf=60.0)), _model(), 80.0)
        assert answer.choice is None
        assert answer.sentence.startswith("No choice: ")

    def test_inputs_without_a_common_setting_are_no_error_of_the_page(self) -> None:
        inputs = [InputMedia(name=name) for name in ("a.mp4", "b.mp4")]
        run = run_of(encode("a", input=inputs[0]), encode("b", input=inputs[1], preset="fast"))
        assert "no configuration was run on all 2 inputs" in choice_of(run, _model(), 80.0).sentence

    def test_what_was_set_aside_before_the_choice_is_said(self) -> None:
        """A setting that ran on one of two inputs takes less energy on that one, and is no choice."""
        inputs = [InputMedia(name=name) for name in ("a.mp4", "b.mp4")]
        both = [encode(video.name or "", input=video) for video in inputs]
        run = run_of(*both, encode("easy", input=inputs[0], preset="ultrafast"))
        answer = choice_of(run, _model(), 80.0)
        assert "1 configurations left out: not run on all 2 inputs" in answer.basis
        assert "over 2 inputs: the mean of energies and costs" in answer.basis

    def test_what_is_not_reliable_does_not_compete(self) -> None:
        """svt 10 would win: of the others x264 medium takes less than x264 slow."""
        answer = choice_of(self.run(validity=["throttled"]), _model(), 80.0)
        assert answer.choice is not None
        assert answer.choice.scenario == "x264 medium"
        assert "left out 1: not reliable" in answer.basis

    def test_no_saving_is_told_against_what_is_not_reliable(self) -> None:
        """x264 medium would be the usual one; asked for by name, its doubts are said."""
        run = run_of(
            encode("fast", joules=100.0, preset="fast"),
            encode("slow", joules=150.0, preset="slow"),
            encode("medium", joules=900.0, validity=["steal"]),
        )
        assert choice_of(run, _model(), 80.0).sentence.startswith("fast instead of slow saves 33")
        named = choice_of(run, _model(), 80.0, "medium")
        assert named.sentence.startswith("Not reliable: fast instead of medium saves 89")
        assert named.doubts == ("not reliable: the hypervisor took over 1% of the CPU time",)

    def test_beside_a_choice_that_is_not_reliable_nothing_else_is_called_the_least(self) -> None:
        """Tune chose what takes a third of the energy and so of its cost; only what was usual is valid."""
        run = run_of(
            encode("chosen", joules=100.0, preset="fast", validity=["other_load"]),
            encode("usual", joules=300.0),
        )
        tuned = Tuned(scenario="chosen", baseline="usual", basis="The least energy", min_vmaf=80.0)
        answer = choice_of(run, _model(), 80.0, tuned=tuned)
        assert answer.sentence.startswith("Not reliable: ")
        assert (answer.others["cost"].scenario, answer.others["carbon"].scenario) == ("chosen", "chosen")

    def test_where_nothing_is_reliable_the_sentence_says_it_first(self) -> None:
        run = run_of(
            *(
                encode(n, joules=j, validity=["steal"], preset=n)
                for n, j in (("fast", 100.0), ("slow", 300.0))
            )
        )
        answer = choice_of(run, _model(), 80.0)
        assert answer.sentence.startswith("Not reliable: fast instead of slow saves 67")
        assert answer.doubts == ("not reliable: the hypervisor took over 1% of the CPU time",)

    def test_the_page_begins_with_it(self) -> None:
        run = self.run(command=["ffmpeg", "-i", "file:/x/in.mp4"])
        text = html_text(text_of(run, answer=choice_of(run, _model(), 80.0)))
        places = [
            text.index(part) for part in ("saves 69", "ffmpeg -i in.mp4", "Quality against", "Power over")
        ]
        assert places == sorted(places)


class TestComparison:
    def test_what_changed_between_two_runs(self) -> None:
        """360 to 270 J is 25 % less; 400 to 440 J is 10 % more; their median is 7.5 % less."""
        first = run_of(
            encode("a"), encode("b", joules=400.0), encode("gone"), tool=Tool(ffmpeg_version="7.1")
        )
        second = run_of(
            encode("a", joules=270.0, vmaf=92.0),
            encode("b", joules=440.0),
            encode("new"),
            tool=Tool(ffmpeg_version="8.0"),
        )
        change = compare(first, second, report_rows(first), report_rows(second))
        assert (
            change.sentence
            == "The second run takes 8\u00a0% less energy (median of 2 scenarios; from -25 % to +10 %)."
        )
        assert change.conditions == ("ffmpeg: 7.1 → 8.0",)
        assert (change.only_first, change.only_second) == (("gone",), ("new",))
        energy, _, vmaf, _ = change.changes[0].values
        assert energy == pytest.approx((6.0, 4.5))
        assert vmaf == (90.0, 92.0)
        text = html_text(page([RunView(run=first), RunView(run=second)], MADE, "1"))
        assert "-25 % 6 → 4.5 0 % 6 → 6 +2.0 90 → 92" in text

    def test_two_runs_begin_with_it(self) -> None:
        text = html_text(page([RunView(run=run_of(encode())), RunView(run=run_of(encode()))], MADE, "1"))
        assert text.index("(median of one scenario)") < text.index("Quality against energy")

    def test_beside_another_run_what_was_tuned_comes_first(self) -> None:
        """The least bitrate was asked for: not the one of least energy. Nothing is compared."""
        b = encode("b", joules=180.0, preset="fast")
        tuned_run, other = run_of(encode("a"), b), run_of(encode("c"))
        tuned = Tuned(scenario="a", baseline="b", basis="The least bitrate that holds VMAF 85", min_vmaf=85.0)
        first = RunView(run=tuned_run, answer=choice_of(tuned_run, _model(), 80.0, tuned=tuned))
        second = RunView(run=other, answer=choice_of(other, _model(), 80.0))
        text = html_text(page([first, second], MADE, "1"))
        assert text.index("a instead of b takes") < text.index("c takes the least")
        assert "The least bitrate that holds VMAF 85." in text
        assert "no scenario in common" not in text

    def test_nothing_in_common_is_said(self) -> None:
        first, second = run_of(encode("a")), run_of(encode("b"))
        change = compare(first, second, report_rows(first), report_rows(second))
        assert change.sentence == "The two runs have no scenario in common."


class TestPage:
    def test_it_loads_nothing_and_runs_only_its_own_script(self) -> None:
        text = text_of(run_of(idle(), encode()), model=_model())
        reader = Reader(text)
        assert reader.loads == []
        assert reader.handlers == []
        assert reader.tags.count("script") == 1
        assert reader.open == []
        assert len(reader.ids) == len(set(reader.ids))
        script = re.search("<script>(.*)</script>", text, re.DOTALL)
        assert script is not None
        digest = base64.b64encode(hashlib.sha256(script[1].encode()).digest()).decode()
        assert f"script-src 'sha256-{digest}'" in text

    def test_every_drawing_is_well_formed_and_named(self) -> None:
        text = text_of(run_of(idle(), encode(), encode("b", joules=500.0)), model=_model())
        drawings = re.findall("<svg.*?</svg>", text, re.DOTALL)
        assert len(drawings) == 6
        for drawing in drawings:
            root = ElementTree.fromstring(drawing)  # noqa: S314  our own page
            assert root.get("role") == "img"
            assert root.get("aria-label")

    def test_a_name_does_not_turn_what_follows(self) -> None:
        """U+202E shows what follows from right to left: a file called exe.mp4 as another."""
        name = "clip\u202e4pm.exe\u2066"
        text = text_of(run_of(encode(name, encoder=name), host=Host(cpu_model=name)), model=_model())
        assert "\u202e" not in text
        assert "\u2066" not in text
        assert "clip\\u202e4pm.exe\\u2066" in text

    def test_hostile_names_stay_text(self) -> None:
        nasty = encode(NASTY, encoder=NASTY, preset=NASTY, validity=[NASTY], error=NASTY, command=[NASTY] * 3)
        failed = encode("f", status="failed", error=NASTY)
        run = run_of(
            nasty,
            failed,
            encode("other"),
            host=Host(cpu_model=NASTY),
            tool=Tool(ffmpeg_version=NASTY),
            refused=(Refused(3, NASTY, NASTY),),
        )
        text = text_of(run, model=_model(), answer=choice_of(run, _model(), 80.0))
        reader = Reader(text)
        assert reader.tags.count("script") == 1
        assert reader.handlers == []
        assert text.count("alert(") == text.count("&lt;script&gt;alert(")

    def test_a_name_is_shown_as_it_is_in_every_chart(self) -> None:
        """Neither formula nor colour of the style sheet nor identifier; in any letters without a warning."""
        name = '$x_1$ #0b63b0 id="a" font-family: b; 試験 🎬'
        for chart in (
            quality_against_energy(report_rows(run_of(encode(name))), "q", None),
            power_over_time(report_rows(run_of(encode(name))), "p"),
            cost_split(report_rows(run_of(encode(name)), _model()), "c", ""),
        ):
            assert chart is not None
            assert name in texts(chart.wide)
            assert hints(chart)[0].startswith(name)

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
    def test_it_says_once_whether_power_was_measured(self, power: Power | None, words: str) -> None:
        text = html_text(text_of(run_of(encode("a", power=power, samples=None), encode("b", power=power))))
        assert text.count(words) == 1

    def test_failures_and_refusals_are_listed(self) -> None:
        broken = encode("broken", status="failed", error="Unknown encoder 'libfoo'", outputs=[])
        run = run_of(encode(), broken, refused=(Refused(2, "x", "scenarios[2].fps: bad"),))
        text = html_text(text_of(run))
        assert "failed: Unknown encoder 'libfoo'" in text
        assert "Left out: scenarios[2].fps: bad" in text
        assert "1 did not finish" in text

    def test_what_is_true_of_every_scenario_is_said_once(self) -> None:
        run = run_of(encode("a", validity=["steal"]), encode("b", validity=["steal", "thermal"]))
        text = html_text(text_of(run))
        assert text.count("Every scenario: not reliable: the hypervisor") == 1
        assert text.partition("All scenarios")[2].count("not reliable") == 1  # b's own

    def test_an_output_that_was_not_aligned_is_named_and_not_scored(self) -> None:
        output = Output(resolution="640x360", quality=Quality(aligned=False, reason="frame counts differ"))
        text = html_text(text_of(run_of(encode(outputs=[output]), encode("b"))))
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
        views = [RunView(run=run_of(encode()))] * 3
        text = page(views, MADE, "1")
        assert text.count('<a href="#run') == 3
        reader = Reader(text)
        assert len(reader.ids) == len(set(reader.ids))


class TestCommand:
    def files(self, folder: Path) -> None:
        for name, start in (("old", 1000.0), ("new", 2000.0)):
            scenario = encode(name, start_time=start, end_time=start + 10)
            write_run(run_of(scenario), folder / f"test_results_2026010{int(start / 1000)}_000000.json")

    @pytest.mark.parametrize("arguments", [["--results-dir", "{}"], ["--results", "{}"], ["{}"]])
    def test_the_newest_run_of_a_folder_is_reported(
        self, arguments: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        self.files(tmp_path)
        output = tmp_path / "deep" / "report.html"
        named = [argument.format(tmp_path) for argument in arguments]
        assert cli.main(["report", *named, "-o", str(output), "--json"]) == 0
        document = json.loads(capsys.readouterr().out)
        assert document == {
            "path": str(output),
            "runs": ["test_results_20260102_000000"],
            "bytes": output.stat().st_size,
        }
        assert [p.name for p in output.parent.iterdir()] == ["report.html"]

    def test_two_files_are_compared_in_the_order_given(self, tmp_path: Path) -> None:
        self.files(tmp_path)
        output = tmp_path / "report.html"
        paths = [str(tmp_path / f"test_results_2026010{day}_000000.json") for day in (2, 1)]
        assert cli.main(["report", *paths, "-o", str(output)]) == 0
        assert "From test_results_20260102_000000 to test_results_20260101_000000" in output.read_text()

    def test_an_empty_folder_is_one_line(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        assert cli.main(["report", "--results-dir", str(tmp_path)]) == 2
        assert capsys.readouterr().err == (
            f"wattframe report: {tmp_path}: expected test_results_*.json, found none\n"
        )

    def test_a_broken_file_hides_no_good_one_and_costs_the_exit_code(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        write_run(run_of(encode()), tmp_path / "test_results_20260101_000000.json")
        (tmp_path / "test_results_20260102_000000.json").write_text("{")
        output = tmp_path / "report.html"
        assert cli.main(["report", str(tmp_path), "-o", str(output)]) == 2
        assert "test_results_20260102_000000.json: expected a JSON" in capsys.readouterr().err
        assert "x264" in output.read_text()

    def test_an_unknown_region_is_refused_before_anything_is_written(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        write_run(run_of(encode()), tmp_path / "test_results_20260101_000000.json")
        output = tmp_path / "report.html"
        assert cli.main(["report", str(tmp_path), "-o", str(output), "--region", "eu-wset-1"]) == 2
        assert "eu-west-1" in capsys.readouterr().err
        assert not output.exists()
