import dataclasses

import numpy as np
import pytest
from sklearn.datasets import load_diabetes, load_iris
from sklearn.preprocessing import StandardScaler

from nlpx.data import load_table, read_rows
from nlpx.errors import InputError


@pytest.fixture
def write(tmp_path):
    def written(rows, header="size,weight,kind", name="a.csv"):
        path = tmp_path / name
        path.write_text("".join(",".join(map(str, row)) + "\n" for row in ([header.split(","), *rows])))
        return f"file:{path}"

    return written


def some(count=30, target=lambda number: "abc"[number % 3]):
    rng = np.random.default_rng(0)
    return [(round(rng.normal(), 3), 7, target(number)) for number in range(count)]


def whole(table):
    return np.concatenate([np.c_[each.features, each.target] for each in (table.train, table.validation, table.test)])


def in_order(rows):
    return rows[np.lexsort(rows.T)]


def test_iris_in_three_parts_of_equal_shares():
    table, own = load_table("iris"), load_iris()
    np.testing.assert_array_equal(in_order(whole(table)), in_order(np.c_[own.data, own.target]))
    for part, each in (("train", 32), ("validation", 8), ("test", 10)):
        assert np.bincount(getattr(table, part).target).tolist() == [each] * 3
    assert table.labels == ("setosa", "versicolor", "virginica")
    assert table.features[2:] == ("petal length (cm)", "petal width (cm)")
    assert table.plane == (2, 3)


def test_a_seed_decides_the_parts():
    again, other = load_table("iris"), load_table("iris", seed=1)
    assert again.sha256 == load_table("iris", seed=0).sha256 != other.sha256
    assert not np.array_equal(again.test.features, other.test.features)
    np.testing.assert_array_equal(in_order(whole(again)), in_order(whole(other)))


@pytest.mark.parametrize("spec", ["iris", "diabetes"])
def test_only_the_training_rows_decide_the_scales(spec):
    table = load_table(spec)
    scaler = StandardScaler().fit(table.train.features)
    for part in ("train", "validation", "test"):
        columns, rows = table.columns(part), getattr(table, part)
        np.testing.assert_allclose(columns["features"], scaler.transform(rows.features), atol=1e-5)
        if table.labels:
            np.testing.assert_array_equal(columns["target"], rows.target)
        else:
            target = (rows.target - table.train.target.mean()) / table.train.target.std()
            np.testing.assert_allclose(columns["target"], target, atol=1e-5)


def test_large_numbers_keep_their_digits_and_a_constant_column_is_zero(write):
    rows = [(1_700_000_000 + number, 0.1, "ab"[number % 2]) for number in range(20)]
    features = load_table(write(rows)).columns("train")["features"]
    assert len(np.unique(features[:, 0])) == len(features)
    assert np.abs(features[:, 1]).max() < 1e-6


def test_pixels_share_one_deviation():
    table = load_table("digits")
    features = table.columns("train")["features"]
    assert len(set(table.scales.spread)) == 1
    assert features.std() == pytest.approx(1, abs=1e-3)
    np.testing.assert_allclose(features.mean(axis=0), 0, atol=1e-5)
    assert len(set(load_table("digits", scale="each").scales.spread)) > 9


def test_diabetes_has_a_number_and_its_own_units():
    table = load_table("diabetes")
    assert table.labels == ()
    assert table.plane is None
    own = load_diabetes(scaled=False)
    assert sorted(whole(table)[:, -1]) == sorted(own.target)
    assert whole(table)[:, 0].max() == own.data[:, 0].max() == 79  # years


@pytest.mark.parametrize(
    ("target", "labels"),
    [
        (lambda number: "abc"[number % 3], ("a", "b", "c")),
        (lambda number: number % 3 * 5, ("0", "5", "10")),  # not "0", "10", "5"
        (lambda number: ("1", "1.0", "2")[number % 3], ("1", "2")),
        (lambda number: number, ()),
        (lambda number: number % 3 + 0.5, ()),
    ],
)
def test_the_target_says_whether_it_is_a_label(write, target, labels):
    assert load_table(write(some(target=target))).labels == labels


def test_or_one_says_so(write):
    spec = write(some(target=lambda number: number % 3))
    assert load_table(spec, target="number").labels == ()
    spec = write(some(target=lambda number: number % 3 + 0.5))
    assert load_table(spec, target="labels").labels == ("0.5", "1.5", "2.5")


def test_columns_may_be_left_out(write):
    table = load_table(write(some()), skip="weight")
    assert table.features == ("size",)
    with pytest.raises(InputError, match="has no feature 'height'; it has size, weight"):
        load_table(write(some()), skip="height")
    with pytest.raises(InputError, match="no feature left"):
        load_table(write(some()), skip="size, weight")


def test_test_rows_of_their_own(write):
    test = write([(1, 2, "b"), (3, 4, "a")], name="test.csv")
    table = load_table(write(some()), test=test)
    assert table.test.target.tolist() == [1, 0]
    assert len(table.train) + len(table.validation) == 30


def test_other_rows_are_found_by_name(write):
    table = load_table(write(some()))
    about = (table.features, table.target, table.labels)
    rows = read_rows(write([("b", 1, 9, 2)], "kind,weight,age,size", "other.csv"), *about)
    assert rows.features.tolist() == [[2, 1]]
    assert rows.target.tolist() == [1]
    for header, row, message in (
        ("kind,weight,age", ("b", 1, 2), "has no feature 'size'; it has weight, age"),
        ("size,weight,kind", (1, 2, "z"), "the model has no label 'z', .* its labels are a, b, c"),
        ("1,2,3,a", (1, 2, 3, "a"), "has 3 columns besides the target, but the model reads 2: size, weight"),
    ):
        with pytest.raises(InputError, match=message):
            read_rows(write([row], header, "other.csv"), *about)


BAD = {
    "too few rows": (some(9), "has 9 rows; give at least 10"),
    "a constant label": (some(target=lambda _: "a"), "the target 'kind' .* is a in all 30 rows"),
    "a constant number": (some(target=lambda _: 2.5), "the target 'kind' .* is 2.5 in all 30 rows"),
    "a rare label": ([*some(), (1, 2, "d")], "only 1 of 31 rows have 'd' as their 'kind'"),
    "no target": ([*some(), (1, 2, "")], "line 32, column 'kind': an empty cell is no target"),
    "NaN": ([*some(), ("nan", 2, "a")], "line 32, column 'size': 'nan' is no number"),
}


@pytest.mark.parametrize("name", BAD)
def test_rows_that_will_not_do_are_named(write, name):
    rows, message = BAD[name]
    with pytest.raises(InputError, match=message) as error:
        load_table(write(rows))
    assert "\n" not in str(error.value)


def test_a_text_target_is_no_number(write):
    with pytest.raises(InputError, match="line 2, column 'kind': 'a' is no number"):
        load_table(write(some()), target="number")
    with pytest.raises(InputError, match="the target 'species' of iris is text"):
        load_table("iris", target="number")


@pytest.mark.parametrize(
    ("spec", "message"),
    [("irs", "unknown table 'irs'; did you mean 'iris'"), ("iris:x", "unknown table"), ("file:", "file")],
)
def test_an_unknown_source_is_named(spec, message):
    with pytest.raises(InputError, match=message):
        load_table(spec)


def test_nothing_of_it_changes():
    with pytest.raises(dataclasses.FrozenInstanceError):
        load_table("iris").name = "other"
