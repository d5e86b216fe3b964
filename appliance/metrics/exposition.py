"""Numbers as Prometheus reads them.

Source: Prometheus documentation, "Exposition formats", text format 0.0.4.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class Kind(StrEnum):
    """What may be done with a number."""

    COUNTER = "counter"
    """Only grows, until the process ends."""
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


@dataclass(frozen=True, slots=True)
class Sample:
    """One number with its labels."""

    value: float
    labels: Mapping[str, str] = field(default_factory=dict)
    suffix: str = ""
    """Histograms only: `_bucket`, `_sum` or `_count`."""


@dataclass(frozen=True, slots=True)
class Family:
    """All numbers of one name."""

    name: str
    kind: Kind
    explanation: str
    samples: tuple[Sample, ...]


@dataclass(slots=True)
class Histogram:
    """How often a measured value was at most so large."""

    bounds: tuple[float, ...]
    """Ascending; what is larger than the last counts only in the total."""
    counts: list[int] = field(default_factory=list)
    """Values at most as large as each bound, then all values."""
    total: float = 0.0

    def __post_init__(self) -> None:
        """Begin at nothing."""
        self.counts = [0] * (len(self.bounds) + 1)

    def add(self, value: float) -> None:
        """Count one more value."""
        self.total += value
        for index, bound in enumerate((*self.bounds, math.inf)):
            self.counts[index] += value <= bound

    def samples(self) -> tuple[Sample, ...]:
        """Return the buckets, the sum and the count."""
        bounds = map(_number, (*self.bounds, math.inf))
        buckets = (
            Sample(count, {"le": bound}, "_bucket")
            for bound, count in zip(bounds, self.counts, strict=True)
        )
        count = self.counts[-1]
        return (*buckets, Sample(self.total, {}, "_sum"), Sample(count, {}, "_count"))


def exposition(families: Iterable[Family]) -> str:
    """Return the text of all families; one without samples is left out."""
    return "".join(_family(family) for family in families if family.samples)


def _family(family: Family) -> str:
    explanation = family.explanation.replace("\\", r"\\").replace("\n", r"\n")
    lines = (
        f"# HELP {family.name} {explanation}",
        f"# TYPE {family.name} {family.kind}",
        *(f"{family.name}{_sample(sample)}" for sample in family.samples),
    )
    return "".join(f"{line}\n" for line in lines)


def _sample(sample: Sample) -> str:
    pairs = ",".join(f'{name}="{_label(x)}"' for name, x in sample.labels.items())
    labels = f"{{{pairs}}}" if pairs else ""
    return f"{sample.suffix}{labels} {_number(sample.value)}"


def _label(value: str) -> str:
    return value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")


def _number(value: float) -> str:
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    return str(int(value)) if value == int(value) else repr(float(value))
