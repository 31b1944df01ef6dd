"""Every error that Wattframe raises on purpose.

::

    WattframeError                 one line a user can act on; ``exit_code`` says what a command returns
    |-- InputError                 what was given is wrong (exit code 2): names subject, field, expectation
    |   |-- ResultFileError        a result file or one scenario in it
    |   |-- PricingError           a price, a tariff, an exchange rate, a TCO input; a ValueError too
    |   |   `-- UnknownRegionError a region that the table does not know, with near names
    |   |-- TableError             numbers given to a predictor; a ValueError too
    |   |-- MediaError             a video that cannot be read or compared
    |   `-- ModelError             a model folder or file that does not fit or cannot be trusted
    `-- WorkError                  the work was asked for correctly and failed (exit code 1)
        |-- EnergyError            a power source that is there and cannot be read
        |-- FfmpegError            ffmpeg is missing or ended badly
        |-- EngineError            the Docker engine did not answer as it should
        |-- PrometheusError        the server is down, slow, refused the query or answered in part
        `-- NotEnoughDataError     too little data for an honest answer; a ValueError too

An absent source (no RAPL, no GPU, no engine) is normal and is not an error.
"""

from __future__ import annotations


class WattframeError(Exception):
    """Base of all; ``str()`` is always a single line."""

    exit_code = 1

    def __str__(self) -> str:
        return " ".join(super().__str__().split())


class InputError(WattframeError):
    """Bad usage or bad input.

    Parameters
    ----------
    problem
        What was expected and what was found instead.
    subject
        The file, option or object at fault.
    field
        The place inside the subject, for instance ``scenarios[2].fps``.
    """

    exit_code = 2

    def __init__(self, problem: str, *, subject: object = None, field: str | None = None) -> None:
        self.problem = problem
        self.subject = None if subject is None else str(subject)
        self.field = field
        super().__init__(": ".join(part for part in (self.subject, field, problem) if part))


class ResultFileError(InputError):
    """A result file, or one scenario in it, that cannot be used."""


class PricingError(InputError, ValueError):
    """A price, tariff, exchange rate or cost input that cannot be used."""


class TableError(InputError, ValueError):
    """Numbers given to a predictor that are missing, not finite, or of the wrong shape."""


class UnknownRegionError(PricingError):
    """A region that neither the table nor the operator's file knows."""


class MediaError(InputError):
    """A video that cannot be read, or a pair that cannot be compared."""


class ModelError(InputError):
    """A stored model that is missing, half written, tampered with or made for something else."""


class WorkError(WattframeError):
    """The request was right and the work failed."""


class EnergyError(WorkError):
    """A power source that exists but cannot be read."""


class FfmpegError(WorkError):
    """ffmpeg is missing, cannot do what was asked, or ended with an error."""


class EngineError(WorkError):
    """The Docker engine did not answer as it should.

    ``reason`` is one word for a counter: unreachable, permission, timeout, protocol, api, version or tls.
    """

    def __init__(self, problem: str, *, reason: str) -> None:
        self.reason = reason
        super().__init__(problem)


class PrometheusError(WorkError):
    """Prometheus is down, too slow, refused the query, or answered only in part."""


class NotEnoughDataError(WorkError, ValueError):
    """There is too little data for an honest answer."""
