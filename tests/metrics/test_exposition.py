import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from appliance.metrics.exposition import Family, Histogram, Kind, Sample, exposition


def read(*families):
    return {
        (sample.name, *sorted(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(exposition(families))
        for sample in family.samples
    }


@given(st.floats(), st.text())
def test_any_number_and_any_label_come_back_as_they_were(value, label):
    # The parser splits at carriage returns as well; the format knows line feeds only.
    label = label.replace("\r", "")
    family = Family("x", Kind.GAUGE, "Anything.", (Sample(value, {"name": label}),))
    back = read(family)["x", ("name", label)]
    assert back == value or (math.isnan(back) and math.isnan(value))


def test_a_family_without_numbers_is_left_out():
    assert exposition([Family("x", Kind.GAUGE, "Nothing.", ())]) == ""


def test_an_explanation_stays_on_its_line():
    family = Family("x", Kind.COUNTER, "One\nTwo \\ Three", (Sample(1),))
    assert exposition([family]) == (
        "# HELP x One\\nTwo \\\\ Three\n# TYPE x counter\nx 1\n"
    )


@pytest.mark.parametrize("value", [0.05, 0.1])
def test_a_value_on_a_bound_counts_below_it(value):
    histogram = Histogram((0.05, 0.1))
    histogram.add(value)
    numbers = read(Family("x", Kind.HISTOGRAM, "Times.", histogram.samples()))
    assert numbers["x_bucket", ("le", "0.05")] == (value <= 0.05)
    assert numbers["x_bucket", ("le", "0.1")] == 1
    assert numbers["x_sum",] == value


@given(st.lists(st.floats(-10, 10)))
def test_buckets_grow_and_the_last_holds_everything(values):
    histogram = Histogram((0.1, 0.5, 1.0))
    for value in values:
        histogram.add(value)
    assert histogram.counts == sorted(histogram.counts)
    assert histogram.counts[-1] == len(values)
    assert histogram.total == pytest.approx(sum(values))
