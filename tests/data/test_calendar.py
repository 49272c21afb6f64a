import numpy as np
import pytest

from nlpx.data.calendar import HARMONICS, Step, calendar_features, find_step, season_slots, slot_means

DAY = 86400


def dates(*written):
    return np.array(written, "M8[s]")


@pytest.mark.parametrize(
    ("written", "step", "name", "following"),
    [
        (["2020-01-01", "2020-02-01", "2020-03-01"], Step(months=1), "1 month", "2020-04-01"),
        (["2019-12-31", "2020-01-31", "2020-02-29"], Step(months=1, month_end=True), "1 month", "2020-03-31"),
        (["2019-03-31", "2019-06-30", "2019-09-30"], Step(months=3, month_end=True), "3 months", "2019-12-31"),
        (["2019-01-01", "2020-01-01", "2021-01-01"], Step(months=12), "1 year", "2022-01-01"),
        (["2020-02-27", "2020-02-28", "2020-02-29"], Step(seconds=DAY), "1 day", "2020-03-01"),
        (["2020-01-01", "2020-01-08", "2020-01-15"], Step(seconds=7 * DAY), "7 days", "2020-01-22"),
        (["2020-01-01T22", "2020-01-01T23", "2020-01-02"], Step(seconds=3600), "1 hour", "2020-01-02T01"),
        (["2020-01-01", "2020-01-01T00:15", "2020-01-01T00:30"], Step(seconds=900), "15 minutes", "2020-01-01T00:45"),
        (["2020-01-01", "2020-01-02", "2020-01-04", "2020-01-05"], Step(seconds=DAY), "1 day", "2020-01-06"),
    ],
)
def test_the_step_is_found_and_goes_on(written, step, name, following):
    given = dates(*written)
    assert (find_step(given), str(step)) == (step, name)
    assert step.after(given[-1], 1).tolist() == dates(following).tolist()
    steps = step.between(given[:-1], given[1:])
    np.testing.assert_array_equal(steps, [1, 2, 1] if len(written) == 4 else [1, 1])
    assert step.after(given[0], int(steps.sum()))[-1] == given[-1]


@pytest.mark.parametrize(
    ("step", "cycles"),
    [
        (Step(months=12), ()),
        (Step(months=1), ("year",)),
        (Step(seconds=7 * DAY), ("year",)),
        (Step(seconds=DAY), ("year", "week")),
        (Step(seconds=3600), ("year", "week", "day")),
    ],
)
def test_a_step_moves_through_the_cycles_that_are_longer(step, cycles):
    assert step.cycles == cycles


def test_features_come_back_after_each_cycle():
    hours = np.datetime64("2021-03-01", "s") + np.arange(15 * 24) * 3600
    features = calendar_features(hours, ("week", "day"))
    assert features.shape == (len(hours), 2 * 2 * HARMONICS)
    np.testing.assert_allclose(features[7 * 24 :], features[: -7 * 24], atol=1e-9)
    assert np.abs(features[24:] - features[:-24]).max() > 0.5  # the week moves on
    np.testing.assert_allclose(features[24:, 2 * HARMONICS :], features[:-24, 2 * HARMONICS :], atol=1e-9)
    monthly = calendar_features(dates("2021-01-01", "2021-07-02T12", "2022-01-01"), ("year",))
    np.testing.assert_allclose(monthly[:, 0], 0, atol=0.02)
    np.testing.assert_allclose(monthly[:, HARMONICS], [1, -1, 1], atol=0.02)
    with pytest.raises(ValueError, match="unknown cycle 'month'"):
        calendar_features(hours, ("month",))


def test_slots_are_months_days_of_the_year_or_hours_of_a_month():
    assert season_slots(dates("2020-01-31", "2021-12-01"), Step(months=1)).tolist() == [0, 11]
    leap = season_slots(dates("2020-02-28", "2020-02-29", "2020-03-01", "2021-03-01"), Step(seconds=DAY))
    assert leap.tolist() == [58, 58, 59, 59]
    hours = season_slots(dates("2020-01-01T05", "2021-01-31T05", "2020-02-01T05"), Step(seconds=3600))
    assert hours[0] == hours[1] != hours[2]


def test_means_are_of_what_is_known():
    values, known = np.array([[1.0, 5.0], [3.0, 7.0], [9.0, 9.0]]), np.array([[1, 1], [1, 0], [1, 0]], bool)
    assert slot_means(np.array([0, 0, 4]), values, known, Step(months=1)) == {0: [2.0, 5.0], 4: [9.0, 5.0]}


def test_the_mean_of_a_day_takes_in_the_days_around_it():
    slots = np.array([0, 15, 16, 350, 349])
    values, known = np.array([[1.0], [2.0], [4.0], [8.0], [16.0]]), np.ones((5, 1), bool)
    found = slot_means(slots, values, known, Step(seconds=DAY))
    assert {slot: mean for slot, (mean,) in found.items()} == {0: 11 / 3, 15: 7 / 3, 16: 3.0, 350: 25 / 3, 349: 12.0}
    assert slot_means(slots, values, known, Step(seconds=3600))[0] == [1.0]
