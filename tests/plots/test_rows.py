import matplotlib.pyplot as plt
import numpy as np
import pytest

from nlpx.plots import plot_by_length, plot_predicted, plot_regions

PNG = b"\x89PNG\r\n\x1a\n"


@pytest.fixture
def seen(monkeypatch):
    """The axes of the pictures that are drawn."""
    found, close = [], plt.close
    monkeypatch.setattr(plt, "close", lambda figure: (found.extend(figure.axes), close(figure)))
    return found


def test_regions(seen, tmp_path):
    points = np.array([[0.0, 0.0], [4.0, 1.0], [1.0, 2.0]])
    path = tmp_path / "new" / "regions.png"
    plot_regions(
        lambda places: (places[:, 0] > 2).astype(int),
        points,
        np.array([0, 1, 1]),
        np.array([0, 1, 0]),
        path,
        features=("length ($cm)", "width"),
        labels=["small", "large"],
        title="title",
    )
    assert path.read_bytes().startswith(PNG)
    (axes,) = seen
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("length ($cm)", "width")
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["small", "large", "wrong"]
    mesh, *_, wrong = axes.collections
    shades = mesh.get_array()
    assert (shades[:, 0] == 0).all()
    assert (shades[:, -1] == 1).all()
    assert wrong.get_offsets().tolist() == [[1, 2]]


def test_predicted(seen, tmp_path):
    path = tmp_path / "predicted.png"
    plot_predicted(np.array([1.0, 2.0]), {"network": np.array([1.5, 2.5])}, path, name="cost ($)")
    assert path.read_bytes().startswith(PNG)
    (axes,) = seen
    assert axes.get_xlabel() == "cost ($), true"
    (points,) = axes.collections
    assert points.get_offsets().tolist() == [[1, 1.5], [2, 2.5]]
    assert axes.lines[0].get_xdata().tolist() == [1, 2.5]


def test_the_trained_length_is_marked(seen, tmp_path):
    groups = {"lstm": [{"mean": 16, "accuracy": 0.9}, {"mean": 32, "accuracy": 1.0}]}
    plot_by_length(groups, tmp_path / "by.png", "accuracy", length="brackets", trained=32, floor=40, title="title")
    (axes,) = seen
    line, mark = axes.lines
    assert line.get_ydata().tolist() == [90, 100]
    assert list(mark.get_xdata()) == [32, 32]
    assert mark.get_label() == "trained at 32"
    assert (axes.get_xlabel(), axes.get_ylim()[0], axes.get_title()) == ("brackets", 40, "title")
