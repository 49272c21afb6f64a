"""What simple methods predict of the same rows: what a network has to be better than."""

from collections.abc import Callable

import numpy as np
from jaxtyping import Float64, Num

from nlpx.errors import needs

Predict = Callable[[np.ndarray], np.ndarray]
"""From features (rows, features) to a target a row."""


def baselines(
    features: Float64[np.ndarray, "rows features"], target: Num[np.ndarray, "rows"], *, labels: bool
) -> dict[str, Predict]:
    """Methods of scikit-learn, fitted to these rows, by name.

    Args:
      labels: whether the target is the number of a label. Then these are the most frequent label and logistic
        regression; else the mean and ridge regression, whose penalty is chosen by leaving out each row once.

    Raises:
      InputError: scikit-learn is missing.
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
    """A botanist's rule on petals, for the four columns of Fisher's irises (1936, doi
    10.1111/j.1469-1809.1936.tb02137.x): short ones are a setosa's (0); of the others, those less than 4.9 cm long and
    1.7 cm wide are a versicolor's (1), the larger a virginica's (2)."""
    length, width = features[:, 2], features[:, 3]
    return np.where(length < 2.5, 0, np.where((length < 4.9) & (width < 1.7), 1, 2))
