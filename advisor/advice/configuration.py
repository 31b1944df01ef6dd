"""Data of a recommendation: options, constraints and the answer."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct

from advisor.common.checked import Checked
from advisor.common.statistics import SINGLE_RUN_NOISE_RATIO
from advisor.cost.checks import Number, Quantity
from advisor.errors import InputError

OBJECTIVES: dict[str, str] = {
    "cost": "cost_per_video_hour",
    "energy": "energy_joules_per_video_second",
    "carbon": "carbon_grams_per_video_hour",
    "bitrate": "bitrate_kbps",
    "speed": "seconds_per_video_second",
}
"""Each objective and the value of an option that it minimises."""
VALUES = (
    *("energy_joules_per_video_second", "net_energy_joules_per_video_second", "cost_per_video_hour"),
    *("carbon_grams_per_video_hour", "bitrate_kbps", "vmaf", "vmaf_p5", "encode_speed_ratio"),
    "mean_power_watts",
)
"""The measured or predicted values of an option."""


Vmaf = Annotated[float, Meta(ge=0, le=100)]


class Constraints(Checked, frozen=True, kw_only=True):
    """Limits that a configuration must meet; None means no limit."""

    min_vmaf: Vmaf | None = None
    min_vmaf_p5: Vmaf | None = None
    max_bitrate_kbps: Annotated[float, Meta(ge=1, le=1e6)] | None = None
    min_speed: Quantity | None = None
    """Seconds of video per second of wall time; 1 is real time."""
    max_watts: Annotated[float, Meta(ge=1, le=1e60)] | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("min_vmaf", "min_vmaf_p5"):
            value = getattr(self, name)
            if value is not None and 0 < value < 1:
                problem = f"VMAF ranges from 0 to 100, found {value:g}: is it a share (then {100 * value:g})?"
                raise InputError(problem, subject=name)

    @property
    def has_floor(self) -> bool:
        """Whether a picture may be too bad."""
        return self.min_vmaf is not None or self.min_vmaf_p5 is not None

    def verdict(self, option: Option) -> tuple[bool | None, str]:
        """Whether they hold, None where a value that one needs is not known; and what does not, in words."""
        limits = (
            ("VMAF", option.vmaf, self.min_vmaf, 1),
            ("5th percentile of VMAF", option.vmaf_p5, self.min_vmaf_p5, 1),
            ("bitrate", option.bitrate_kbps, self.max_bitrate_kbps, -1),
            ("speed", option.encode_speed_ratio, self.min_speed, 1),
            ("mean watts", option.mean_power_watts, self.max_watts, -1),
        )
        unknown = ""
        for name, value, limit, sign in limits:
            if limit is not None and value is None:
                unknown = unknown or f"{name} unknown"
            elif limit is not None and value is not None and sign * (value - limit) < 0:
                return False, f"{name} {'below' if sign > 0 else 'above'} {limit:g}"
        return (None, unknown) if unknown else (True, "")


class Option(Checked, frozen=True, kw_only=True):
    """One configuration with its values; unknown values are None.

    ``noise_ratio`` is the relative standard deviation of this option's own error in energy, cost and carbon.
    ``shared_noise_ratio`` is that of errors shared with other options of the same basis, such as a video that
    is harder than the model expects, or a power estimate that is too high for the machine.
    """

    run_id: str
    scenario: str
    basis: Literal["measured", "predicted"]
    tier: str | None = None
    energy_joules_per_video_second: Number | None = None
    cost_per_video_hour: Number | None = None
    carbon_grams_per_video_hour: Number | None = None
    bitrate_kbps: Number | None = None
    vmaf: Number | None = None
    vmaf_p5: Number | None = None
    encode_speed_ratio: Number | None = None
    mean_power_watts: Number | None = None
    net_energy_joules_per_video_second: Number | None = None
    """Energy above idle; not used as an objective."""
    currency: str | None = None
    noise_ratio: Quantity = SINGLE_RUN_NOISE_RATIO
    noise_degrees: int | None = None
    """Degrees of freedom of the repeats behind ``noise_ratio``; None if it is an assumption."""
    shared_noise_ratio: Quantity = 0.0
    repeats: int = 1
    family: str = ""
    """Encoder, preset, resolution and so on: options of one quality-bitrate curve share it."""
    validity: tuple[str, ...] = ()
    """Why its figures are not reliable; such an option is left out by default."""

    @property
    def seconds_per_video_second(self) -> float | None:
        """Wall seconds of encoding a second of video: what is least where speed is the objective."""
        return 1 / self.encode_speed_ratio if self.encode_speed_ratio else None

    def objective(self, name: str) -> float | None:
        """The value that one of `OBJECTIVES` minimises."""
        value: float | None = getattr(self, OBJECTIVES[name])
        return value


class Pick(Struct, frozen=True, kw_only=True):
    """A chosen option."""

    run_id: str
    scenario: str
    basis: str
    tier: str | None
    values: dict[str, float | str | None]
    validity: tuple[str, ...]
    probability_best: float | None
    """Probability of the least value among options that meet the constraints."""
    probability_knee: float | None = None
    """Probability of being the knee of the front; None if it is not the knee."""


class FrontPoint(Struct, frozen=True, kw_only=True):
    """An option that no other clearly beats in both the objective and VMAF."""

    run_id: str
    scenario: str
    basis: str
    objective_value: float
    vmaf: float | None
    validity: tuple[str, ...]
    probability_best: float | None
    """As in `Pick`."""
    next_vmaf_point_ratio: float | None
    """Price of one more VMAF point along the front, as a ratio of the objective."""


class NextRun(Struct, frozen=True, kw_only=True):
    """A run that would reduce the uncertainty of the choice."""

    run_id: str
    scenario: str
    why: str
    expected_gain_ratio: float | None
    """Expected decrease of the objective if the run were done, as a ratio; None where the choice is a knee or
    there is none."""


class Recommendation(Struct, frozen=True, kw_only=True):
    """The answer. ``choice`` is None if the options do not support one; ``reason`` is always given."""

    objective: str
    unit: str
    constraints: Constraints
    choice: Pick | None
    reason: str
    front: tuple[FrontPoint, ...] = ()
    knee: Pick | None = None
    next_runs: tuple[NextRun, ...] = ()
    left_out: dict[str, int] = {}
    """Number of options left out, by reason."""
