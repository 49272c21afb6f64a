import math

import numpy as np
import pytest
from sklearn import metrics

from nlpx.metrics import regression_metrics


def test_agrees_with_scikit_learn():
    rng = np.random.default_rng(0)
    target = rng.normal(size=50) * 30 + 100
    found = target + rng.normal(size=50) * 10
    assert regression_metrics(target, found) == {
        "rmse": pytest.approx(metrics.root_mean_squared_error(target, found)),
        "mean_absolute_error": pytest.approx(metrics.mean_absolute_error(target, found)),
        "r2": pytest.approx(metrics.r2_score(target, found)),
    }


def test_targets_that_are_all_the_same_have_no_variance_to_explain():
    assert math.isnan(regression_metrics([2.0, 2.0], [1.0, 2.0])["r2"])


def test_what_cannot_be_scored():
    with pytest.raises(ValueError, match="2 predictions for 1 targets"):
        regression_metrics([1.0], [1.0, 2.0])
    with pytest.raises(ValueError, match="no prediction to score"):
        regression_metrics([], [])
