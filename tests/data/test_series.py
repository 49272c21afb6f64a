import gzip

import numpy as np
import pytest

from nlpx.data import Scaling, cut_in_time, fit_scaling, load_series, read_series, regular, written_dates
from nlpx.data.series_files import parse

ROWS = "date,a,b,kind\n2021-01-01,1,5,x\n2021-01-02,2.5,6,y\n2021-01-03,-3e0,7,z\n2021-01-04,4,9,z\n"


@pytest.fixture
def load(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def run(content, columns="", **options):
        (tmp_path / "x.csv").write_bytes(content if isinstance(content, bytes) else content.encode())
        return load_series(f"file:x.csv{columns}", **options)

    return run


def test_dates_and_numbers_are_found(load):
    series = load(ROWS)
    assert (series.names, str(series.step), series.name) == (("a", "b"), "1 day", "file:x.csv")
    np.testing.assert_array_equal(series.values, [[1, 5], [2.5, 6], [-3, 7], [4, 9]])
    assert series.dropped == {"column without numbers: kind": 1}
    assert series.known.all()
    assert written_dates(series.dates)[:2] == ["2021-01-01", "2021-01-02"]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("\n", "\r\n"),
        ("date", "\ufeffdate"),
        ("9,z\n", "9,z"),
        ("\n", "\n\n"),
        (",", ";"),
        (",", "\t"),
        ("x\n", '"x, ""y"""\n'),
        ("2021-01-0", "2021/01/0"),
        ("2021-01-0", "2021010"),
        ("2021-01-0", "2021-01-01T0"),
    ],
)
def test_how_a_file_is_written_makes_no_difference(load, old, new):
    columns = ":date,a,b" if new == "2021010" else ""
    np.testing.assert_array_equal(load(ROWS.replace(old, new), columns).values, load(ROWS).values)


def test_days_before_or_after_months_are_told_by_a_day_that_is_no_month(load):
    for form, step in (("01/{}/2021", "1 day"), ("{}/01/2021", "1 day"), ("{}.01.2021", "1 day")):
        series = load("d,a\n" + "".join(f"{form.format(day)},{day}\n" for day in range(11, 16)))
        assert (str(series.step), written_dates(series.dates)[-1]) == (step, "2021-01-15")


def test_columns_are_named_or_counted_and_the_file_may_be_packed(load, tmp_path):
    assert load(ROWS, ":date,b").names == load(ROWS, ":1,3").names == ("b",)
    bare = load("2021-01-01,3\n2021-01-02,4\n2021-01-03,5\n")
    assert (bare.names, bare.values.ravel().tolist()) == (("column 2",), [3, 4, 5])
    assert load("year,n\n1999,3\n2000,4\n2001,5\n", ":year,n").values.ravel().tolist() == [3, 4, 5]
    assert str(load("m,n\n1999-11,3\n1999-12,4\n2000-01,5\n").step) == "1 month"
    zoned = load("t,n\n2020-01-01T00:00+01:00,3\n2020-01-01T01:00+01:00,4\n2020-01-01T01:00Z,5\n")
    assert written_dates(zoned.dates) == ["2019-12-31T23:00", "2020-01-01T00:00", "2020-01-01T01:00"]
    (tmp_path / "x.csv.gz").write_bytes(gzip.compress(ROWS.encode()))
    assert load_series("file:x.csv.gz").names == ("a", "b")


def test_what_is_missing_is_carried_and_not_known(load):
    text = "date,a,b\n2021-01-01,1,5\n2021-01-02,NaN,6\n2021-01-05,3,\n2021-01-06,4,8\n2021-01-07,5,9\n"
    series = load(text, missing="carry")
    np.testing.assert_array_equal(series.values.T, [[1, 1, 1, 1, 3, 4, 5], [5, 6, 6, 6, 6, 8, 9]])
    np.testing.assert_array_equal(series.known.T, [[1, 0, 0, 0, 1, 1, 1], [1, 1, 0, 0, 0, 1, 1]])
    assert series.dropped == {"missing values, filled with the one before": 6}


DAYS = [f"2021-01-0{day},{day}" for day in range(1, 8)]
BAD = {
    "text": ([*DAYS[:3], "2021-01-04,warm"], {}, "x.csv, line 5, column 'a': 'warm' is not a number"),
    "infinite": ([*DAYS[:3], "2021-01-04,inf"], {}, "x.csv, line 5, column 'a': 'inf' is not a number"),
    "decimal comma": ([*DAYS[:3], '2021-01-04,"1,5"'], {}, "column 'a': '1,5' is not a number; write it like 1234.5"),
    "nan": ([*DAYS[:3], "2021-01-04,NaN"], {}, "x.csv, line 5, column 'a': no value (the only empty cell); fill it in"),
    "empty": ([DAYS[0], "2021-01-02,", *DAYS[2:]], {}, "x.csv, line 3, column 'a': no value"),
    "nothing to carry": (["2021-01-01,", *DAYS[1:]], {"missing": "carry"}, "'a': no value to carry in the first row"),
    "twice": ([*DAYS[:3], DAYS[2]], {}, "x.csv, line 5: 2021-01-03 appears twice; give each date once"),
    "disorder": ([*DAYS[:3], DAYS[5], DAYS[4]], {}, "x.csv, line 6: 2021-01-05 comes after 2021-01-06"),
    "gap": ([*DAYS[:3], *DAYS[5:]], {}, "x.csv, line 5: 2021-01-06 follows 2021-01-03, but steps are 1 day apart"),
    "irregular": ([*DAYS[:3], "2021-01-04T11:00,4"], {"missing": "carry"}, "04T11:00 follows 2021-01-03T00:00"),
    "too close": ([*DAYS[:3], "2021-01-03T05:00,4"], {}, "but most dates are 1 day apart; dates must be regular"),
    "mostly gaps": ([DAYS[0], DAYS[1], "2021-02-01,1", "2021-03-08,2"], {"missing": "carry"}, "must be regular"),
    "no date": ([*DAYS[:3], "2021-02-31,4"], {}, "line 5, column 'date': '2021-02-31' is not a date in the format"),
    "before the year 1 in UTC": ([*DAYS[:3], "0001-01-01T00:00+09:00,4"], {}, "is not a date in the format"),
    "ambiguous": (["01/02/2021,1", "01/03/2021,2", "01/04/2021,3"], {}, "01/02/2021 is ambiguous, day or month first"),
    "ragged": ([*DAYS[:3], "2021-01-04,1,2"], {}, "x.csv, line 5: 3 columns, but the first row has 2"),
    "short": (DAYS[:2], {}, "x.csv has 2 rows of data; a series needs at least 3"),
    "only names": ([], {}, "x.csv has a header but no rows"),
    "no dates": (["one,1", "two,2"], {}, "x.csv has no column of dates like 2024-01-31; it has 'date', 'a'"),
    "no numbers": (["2021-01-01,x", "2021-01-02,y"], {}, "x.csv has no column of numbers; it has 'date', 'a'"),
    "damaged": ([*DAYS[:3], '2021-01-04,"4'], {}, "x.csv, the row from line 5 on: damaged CSV"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_what_will_not_do_is_named_with_its_place(load, name):
    rows, options, message = BAD[name]
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - the message is compared below
        load("date,a\n" + "".join(f"{row}\n" for row in rows), **options)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("file:x.csv:date,c", "x.csv has no column 'c'; it has 'date', 'a', 'b', 'kind'"),
        ("file:x.csv:date,9", "x.csv has no column '9'"),
        ("file:x.csv:date," + "9" * 5000, "x.csv has no column '9"),
        ("file:x.csv:date", "name the date column, then columns of numbers, each once"),
        ("file:x.csv:kind,a", "line 2, column 'kind': 'x' is not a date; write"),
        ("file:nowhere.csv", "cannot read nowhere.csv"),
        ("file:nowhere.csv:date,a", "cannot read nowhere.csv"),
        ("file:.", ". is not a file"),
        ("elnino:x", "elnino takes no argument"),
        ("elnin", "unknown source of series 'elnin'; did you mean 'elnino'?"),
        ("x.csv", "x.csv is a file or folder: write file:x.csv"),
    ],
)
def test_a_source_that_will_not_do_is_named(load, spec, message):
    load(ROWS)
    with pytest.raises(ValueError) as caught:  # noqa: PT011
        load_series(spec)
    assert message in str(caught.value)


def hourly(count=2000):
    """Two variables: a wave of a day and one of half a year, each with noise."""
    rng, hours = np.random.default_rng(0), np.arange(count)
    dates = np.datetime64("2021-01-01", "h") + hours
    a = 10 + 3 * np.sin(2 * np.pi * hours / 24) + rng.normal(0, 0.1, count)
    b = -5 + np.cos(4 * np.pi * hours / 8766) + rng.normal(0, 0.2, count)
    lines = (f"{date},{x},{y}\n" for date, x, y in zip(dates, a, b, strict=True))
    return regular(parse("made", "t,a,b\n" + "".join(lines)), "made")


def test_parts_follow_one_another_and_too_short_ones_are_named():
    series, size = hourly(100), {"history": 10, "horizon": 5}
    fractions = {"validation_fraction": 0.1, "test_fraction": 0.2}
    parts = cut_in_time(series, **size, **fractions)
    assert parts == {"train": (0, 70), "validation": (70, 80), "test": (80, 100)}
    for change, message in (
        ({"horizon": 11}, "the validation part of made has 10 of its 100 steps, but a horizon of 11 needs 11"),
        (
            {"history": 66},
            "the train part of made has 70 of its 100 steps, but a history of 66 and a horizon of 5 need 71",
        ),
        ({"test_fraction": 0.95}, "leave nothing to train on"),
        ({"test_fraction": 0.001}, "the test part of made has 0"),
        ({"validation_fraction": 1.0}, "validation_fraction is 1.0"),
    ):
        with pytest.raises(ValueError, match=message):
            cut_in_time(series, **{**size, **fractions, **change})


def test_the_season_is_fitted_on_the_training_part_alone_and_written_and_read():
    series = hourly()
    scaling = fit_scaling(series, 1500)
    np.testing.assert_allclose(scaling.scale, [0.1, 0.2], rtol=0.1)
    np.testing.assert_allclose(scaling.season_mean(series.dates[:1500]).mean(axis=0), series.values[:1500].mean(axis=0))
    later = hourly()
    later.values[1500:] += 99
    assert fit_scaling(later, 1500) == scaling
    assert Scaling.from_json(scaling.to_json()) == scaling
    assert scaling.slot_mean(series.dates[:24]).shape == (24, 2)
    constant = hourly(100)
    constant.values[:50, 0] = 3
    with pytest.raises(ValueError, match="column 'a' is constant in the training part"):
        fit_scaling(constant, 50)


def test_windows_are_all_whose_horizon_lies_in_the_part():
    series = hourly(200)
    scaling = fit_scaling(series, 100)
    inputs = scaling.inputs(series)
    assert inputs.shape == (200, 2 + scaling.features)
    for start, stop, first, count in ((0, 100, 0, 87), (100, 120, 90, 17)):
        windows = scaling.windows(series, 10, 4, start, stop)
        assert {len(each) for each in windows.values()} == {count}
        np.testing.assert_array_equal(windows["history"][0], inputs[first : first + 10])
        np.testing.assert_array_equal(windows["future"][-1], inputs[stop - 4 : stop, :2])
        np.testing.assert_array_equal(windows["history"][-1], inputs[stop - 14 : stop - 4])


def test_a_series_of_other_columns_or_steps_does_not_fit(load):
    scaling = fit_scaling(hourly(), 1500)
    with pytest.raises(ValueError, match=r"file:x\.csv:date,a has no column 'b', which the model reads; it has a"):
        load(ROWS, ":date,a", scaling=scaling)
    with pytest.raises(ValueError, match="has steps of 1 day, but the model was trained on steps of 1 hour"):
        load(ROWS, scaling=scaling)


def test_el_nino_is_what_it_is():
    series = load_series("elnino")
    assert (len(series), series.unit, str(series.step)) == (732, "°C", "1 month")
    assert (written_dates(series.dates[[0, -1]]), series.values[0, 0]) == (["1950-01-01", "2010-12-01"], 23.11)


def test_a_model_reads_its_own_columns_alone(load):
    scaling = fit_scaling(load(ROWS.replace("kind", "a b"), ":date,b,a"), 4)
    other = "note,b,when,c,a\n" + "".join(f"n/a,{day}.5,2022-02-0{day},,{day}\n" for day in range(1, 5))
    series = load(other, scaling=scaling)
    assert (series.names, series.values[1].tolist()) == (("b", "a"), [2.5, 2])
    assert read_series("it", other, scaling).sha256 == series.sha256
    with pytest.raises(ValueError, match="it has no column 'b'; it has 'note', 'x'"):
        read_series("it", other.replace(",b", ",x"), scaling)
