import dataclasses

import jax.numpy as jnp
import numpy as np
import pytest
from laws import random_variables

from nlpx.config import ClassifierConfig, FeedForwardConfig
from nlpx.predict import RowPredictor
from nlpx.train import Trained

NAMES = ("size", "weight")
SCALES = {"center": [2020.0, 3.0], "spread": [0.5, 2.0]}
OF_A_NUMBER = {**SCALES, "target_center": [100.0], "target_spread": [20.0]}


@pytest.fixture(scope="module", params=["labels", "number"])
def trained(request):
    labels, scales = (("a", "b", "c"), SCALES) if request.param == "labels" else ((), OF_A_NUMBER)
    model = FeedForwardConfig(layers=1, width=8).build(NAMES, labels=labels, target="y", scales=scales)
    params = random_variables(model.init, *model.example_inputs())["params"]
    return Trained(model, params, None, {}, 0)


def test_rows_are_read_in_their_own_units(trained):
    rows = np.array([[2020.0, 3.0], [2021.0, -1.0], [2019.5, 5.0]])
    predictor = RowPredictor(trained, batch_size=2)
    out = np.asarray(trained.apply(jnp.array([[0.0, 0.0], [2.0, -2.0], [-1.0, 1.0]])), np.float64)
    if trained.model.labels:
        expected = np.exp(out) / np.exp(out).sum(axis=1, keepdims=True)
        np.testing.assert_array_equal(predictor.targets(rows), out.argmax(axis=1))
    else:
        expected = 100 + 20 * out[:, 0]
    np.testing.assert_allclose(predictor.outputs(rows), expected, rtol=1e-5)


def test_answers(trained):
    predictor = RowPredictor(trained)
    (answer,) = predictor(["2021,-1"])
    assert predictor(["2021;-1", "2021\t-1", "2021 -1", " 2021 , -1.0 "]) == [answer] * 4
    found = predictor.outputs(np.array([[2021.0, -1.0]]))[0]
    if trained.model.labels:
        label, *shares = answer.split("\t")
        assert shares[0] == f"{label} {found.max():.4f}"
        assert {share.split(" ")[0] for share in shares} == {"a", "b", "c"}
    else:
        assert float(answer) == pytest.approx(found, rel=1e-5)


def test_over_two_features_the_others_are_at_their_mean(trained):
    predictor = RowPredictor(trained)
    points = np.array([[5.0, 2021.0], [1.0, 2019.0]])
    np.testing.assert_array_equal(predictor.over((1, 0))(points), predictor.targets(points[:, ::-1]))


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("1", "1 values, but the model reads 2: size, weight"),
        ("1,2,3", "3 values, but the model reads 2"),
        ("1,x", r"value 2 \(weight\) is 'x', no finite number"),
        ("1,", r"value 2 \(weight\) is nothing, no finite number"),
        ("nan,1", r"value 1 \(size\) is 'nan'"),
    ],
)
def test_what_is_no_row_is_named(trained, line, message):
    with pytest.raises(ValueError, match=message):
        RowPredictor(trained)([line])


def test_a_model_of_texts_is_refused(trained):
    other = ClassifierConfig("gru", layers=1, width=8).build(9, labels=["a", "b"])
    with pytest.raises(ValueError, match="a Classifier reads no rows"):
        RowPredictor(dataclasses.replace(trained, model=other))
