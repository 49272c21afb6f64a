import numpy as np
from sklearn.datasets import load_diabetes, load_iris
from sklearn.linear_model import RidgeCV

from nlpx.metrics import baselines, iris_rule


def test_labels():
    iris = load_iris()
    methods = baselines(iris.data, iris.target, labels=True)
    accuracy = {name: np.mean(method(iris.data) == iris.target) for name, method in methods.items()}
    assert accuracy == {"logistic regression": accuracy["logistic regression"], "most frequent label": 1 / 3}
    assert accuracy["logistic regression"] > 0.96


def test_numbers():
    diabetes = load_diabetes()
    methods = baselines(diabetes.data, diabetes.target, labels=False)
    assert methods.keys() == {"ridge regression", "always the mean"}
    np.testing.assert_allclose(methods["always the mean"](diabetes.data), diabetes.target.mean())
    standard = (diabetes.data - diabetes.data.mean(axis=0)) / diabetes.data.std(axis=0)
    ridge = RidgeCV(alphas=np.logspace(-2, 4, 25)).fit(standard, diabetes.target)
    np.testing.assert_allclose(methods["ridge regression"](diabetes.data), ridge.predict(standard))


def test_the_rule_knows_irises():
    iris = load_iris()
    assert (iris_rule(iris.data) == iris.target).mean() > 0.95
    np.testing.assert_array_equal(
        iris_rule(np.array([[5, 3, 1.4, 0.2], [6, 3, 4.5, 1.5], [6, 3, 5.5, 2.0]])), [0, 1, 2]
    )
