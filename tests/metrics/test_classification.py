import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics

from nlpx.metrics import classification_metrics


@st.composite
def predicted(draw):
    """The number of labels, targets and predictions; some labels are in neither."""
    n = draw(st.integers(2, 6))
    pairs = draw(st.lists(st.tuples(st.integers(0, n - 1), st.integers(0, n - 1)), min_size=1, max_size=40))
    return n, [target for target, _ in pairs], [prediction for _, prediction in pairs]


@given(predicted())
def test_agrees_with_scikit_learn(drawn):
    n, targets, predictions = drawn
    labels = [f"label {i}" for i in range(n)]
    figures = classification_metrics(targets, predictions, labels)
    options = {"labels": range(n), "zero_division": 0}
    expected = metrics.precision_recall_fscore_support(targets, predictions, **options)
    assert figures["accuracy"] == pytest.approx(metrics.accuracy_score(targets, predictions))
    assert figures["macro_f1"] == pytest.approx(metrics.f1_score(targets, predictions, average="macro", **options))
    assert [row["label"] for row in figures["per_class"]] == labels
    for name, values in zip(("precision", "recall", "f1", "count"), expected, strict=True):
        np.testing.assert_allclose([row[name] for row in figures["per_class"]], values, rtol=1e-12)
    assert figures["confusion"] == metrics.confusion_matrix(targets, predictions, labels=range(n)).tolist()


def test_rows_are_true_labels_and_a_label_never_seen_counts_as_zero():
    figures = classification_metrics([0, 0, 0, 1], [0, 0, 1, 1], ["a", "b", "c"])
    assert figures["confusion"] == [[2, 1, 0], [0, 1, 0], [0, 0, 0]]
    assert figures["accuracy"] == 3 / 4
    assert figures["macro_f1"] == pytest.approx((4 / 5 + 2 / 3 + 0) / 3)
    assert figures["per_class"][0] == {"label": "a", "precision": 1, "recall": 2 / 3, "f1": 4 / 5, "count": 3}
    assert figures["per_class"][2] == {"label": "c", "precision": 0, "recall": 0, "f1": 0, "count": 0}


@pytest.mark.parametrize(
    ("targets", "predictions", "message"),
    [
        ([0, 1], [0], "1 predictions for 2 targets"),
        ([], [], "no prediction to score"),
        ([0, 2], [0, 1], "a target is 2, outside the 2 labels: give numbers from 0 to 1"),
        ([0, 1], [0, -1], "a prediction is -1, outside the 2 labels"),
    ],
)
def test_what_cannot_be_scored_raises(targets, predictions, message):
    with pytest.raises(ValueError, match=message):
        classification_metrics(targets, predictions, ["a", "b"])
