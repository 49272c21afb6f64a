import itertools

import matplotlib.pyplot as plt
import numpy as np
import pytest

from nlpx.plots import plot_confusion

pytestmark = pytest.mark.thorough

COUNTS = [[30, 10, 0], [1, 4, 0], [0, 0, 0]]


@pytest.fixture
def drawn(monkeypatch, tmp_path):
    """Draws, and returns the file and what `look` saw in the figure when it was saved."""

    def draw(look, counts, labels, **options):
        seen = []
        close = plt.close

        def look_and_close(figure):
            seen.append(look(figure))
            close(figure)

        with monkeypatch.context() as patch:
            patch.setattr(plt, "close", look_and_close)
            path = tmp_path / "new" / "confusion.png"
            plot_confusion(counts, labels, path, **options)
        return path, seen[0]

    return draw


def test_counts_and_shares_stand_where_they_belong(drawn):
    def look(figure):
        axes, bar = figure.axes
        (image,) = axes.images
        return {
            "x": (axes.get_xlabel(), [label.get_text() for label in axes.get_xticklabels()]),
            "y": (axes.get_ylabel(), [label.get_text() for label in axes.get_yticklabels()]),
            "shares": np.array(image.get_array()).tolist(),
            "limits": image.get_clim(),
            "first_row_above": axes.yaxis.get_inverted(),
            "counts": {text.get_position(): text.get_text() for text in axes.texts},
            "title": axes.get_title(),
            "bar": bar.get_ylabel(),
        }

    labels = ["good", "$5", "$6"]
    path, seen = drawn(look, COUNTS, labels, title="one $run$")
    assert path.read_bytes().startswith(b"\x89PNG\r\n\x1a\n")
    assert seen == {
        "x": ("predicted", labels),
        "y": ("true", labels),
        "shares": [[0.75, 0.25, 0], [0.2, 0.8, 0], [0, 0, 0]],
        "limits": (0, 1),
        "first_row_above": True,
        "counts": {(j, i): str(COUNTS[i][j]) for i, j in np.ndindex(3, 3)},
        "title": "one $run$",
        "bar": "share of the true label",
    }
    assert plt.get_fignums() == []


@pytest.mark.parametrize("n", [2, 7, 20, pytest.param(30, marks=pytest.mark.slow)])
def test_nothing_overlaps(drawn, n):
    """Counts stay inside their cells, and no words lie over others."""

    def look(figure):
        axes, bar = figure.axes
        figure.canvas.draw()
        rows, columns, counts = axes.get_yticklabels(), axes.get_xticklabels(), axes.texts
        around = [axes.title, axes.xaxis.label, axes.yaxis.label, bar.yaxis.label, *rows, *bar.get_yticklabels()]
        boxes = [axes.bbox, bar.bbox, *(text.get_window_extent() for text in around)]
        assert not any(a.overlaps(b) for a, b in itertools.combinations(boxes, 2))
        assert not any(a.get_window_extent().overlaps(b) for a, b in itertools.product(columns, boxes))
        cell, line = axes.bbox.width / n, rows[0].get_window_extent().height
        assert cell * np.sin(np.radians(columns[0].get_rotation())) > line  # between the lines of neighbouring columns
        assert len(counts) == n * n
        assert max(max(text.get_window_extent().size) for text in counts) < cell

    counts = np.full((n, n), 7) + 99_990 * np.eye(n, dtype=int)
    drawn(look, counts, ["the label " * 2] * n, title="a title " * 3)


def test_the_picture_of_many_labels_is_bounded(drawn):
    path, texts = drawn(lambda figure: len(figure.axes[0].texts), np.eye(300, dtype=int), ["label"] * 300)
    assert max(plt.imread(path).shape) <= 4000
    assert texts == 0


def test_a_count_too_long_for_its_cell_is_left_out(drawn):
    counts = np.ones((30, 30), int)
    counts[0, 1] = 10**9
    _, texts = drawn(lambda figure: [text.get_text() for text in figure.axes[0].texts], counts, ["label"] * 30)
    assert texts == ["1"] * 899


@pytest.mark.parametrize(
    ("counts", "labels", "message"),
    [
        (COUNTS, ["a", "b"], r"shape \(3, 3\) does not fit 2 labels"),
        (COUNTS[:2], ["a", "b"], r"shape \(2, 3\) does not fit 2 labels"),
        ([], [], "does not fit 0 labels"),
        ([[0.5, 0.5], [0.0, 1.0]], ["a", "b"], "has to be counts, whole numbers, not float64"),
    ],
)
def test_what_is_no_confusion_of_these_labels_raises(counts, labels, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        plot_confusion(counts, labels, tmp_path / "a.png")
