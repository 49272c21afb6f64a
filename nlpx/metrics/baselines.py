"""Baselines: simple methods on the same rows, which a network has to beat."""

from collections.abc import Callable

import numpy as np
from jaxtyping import Float64, Num

from nlpx.errors import needs

Predict = Callable[[np.ndarray], np.ndarray]
"""Takes features (rows, features) and returns one target per row."""


def baselines(
    features: Float64[np.ndarray, "rows features"], target: Num[np.ndarray, " rows"], *, labels: bool
) -> dict[str, Predict]:
    """Fit methods of scikit-learn to these rows; return their predictions as functions, by name.

    Args:
      labels: whether the target is a label's index. If so, the methods are the most frequent label and logistic
        regression; else the mean and ridge regression, with its penalty chosen by leave-one-out.

    Raises:
      InputError: scikit-learn is not installed.
    """
    with needs("a baseline"):
        from sklearn import dummy, linear_model
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import StandardScaler
    if labels:
        methods = {
            "logistic regression": make_pipeline(StandardScaler(), linear_model.LogisticRegression(max_iter=5000)),
            "most frequent label": dummy.DummyClassifier(strategy="most_frequent"),
        }
    else:
        ridge = linear_model.RidgeCV(alphas=np.logspace(-2, 4, 25))
        methods = {
            "ridge regression": make_pipeline(StandardScaler(), ridge),
            "always the mean": dummy.DummyRegressor(),
        }
    return {name: method.fit(features, target).predict for name, method in methods.items()}


def iris_rule(features: Float64[np.ndarray, "rows 4"]) -> np.ndarray:
    """Classify Fisher's irises (1936, doi 10.1111/j.1469-1809.1936.tb02137.x), four columns, by a rule on their petals.

    Petals shorter than 2.5 cm are setosa (0); of the others, those shorter than 4.9 cm and narrower than 1.7 cm are
    versicolor (1), the rest virginica (2).
    """
    length, width = features[:, 2], features[:, 3]
    return np.where(length < 2.5, 0, np.where((length < 4.9) & (width < 1.7), 1, 2))
