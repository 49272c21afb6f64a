import matplotlib.pyplot as plt
import pytest

from nlpx.plots import plot_losses

RUNS = {
    "lstm": [
        {"step": 1, "seconds": 0.5, "split": "train", "loss": 3.0},
        {"step": 2, "seconds": 1.5, "split": "train", "loss": 2.0},
        {"step": 2, "seconds": 1.5, "split": "validation", "loss": 2.5, "bits": 9.0},
    ],
    "empty": [],
    "transformer": [{"step": 4, "seconds": 4.0, "split": "validation", "loss": 1.0}],
}


@pytest.fixture
def drawn(monkeypatch, tmp_path):
    """Draws, and returns the file and what stood on the axes when it was saved."""

    def draw(runs, **options):
        seen = {}
        close = plt.close

        def look(figure):
            (axes,) = figure.axes
            lines = {line.get_label(): (list(line.get_xdata()), list(line.get_ydata())) for line in axes.lines}
            seen.update(lines=lines, x=axes.get_xlabel(), y=axes.get_ylabel())
            close(figure)

        monkeypatch.setattr(plt, "close", look)
        path = tmp_path / "new" / "folder" / "losses.png"
        plot_losses(runs, path, **options)
        return path, seen

    return draw


@pytest.mark.parametrize(
    ("x", "label", "points"),
    [("step", "step", [1, 2]), ("seconds", "seconds of training, compiling included", [0.5, 1.5])],
)
def test_every_run_has_its_curves(drawn, x, label, points):
    path, seen = drawn(RUNS, x=x)
    assert path.read_bytes().startswith(b"\x89PNG\r\n\x1a\n")
    assert plt.imread(path).std() > 0
    assert (seen["x"], seen["y"]) == (label, "nats per token")
    assert set(seen["lines"]) == {"lstm, training", "lstm, validation", "transformer, validation"}
    assert seen["lines"]["lstm, training"] == (points, [3.0, 2.0])
    assert seen["lines"]["transformer, validation"] == ([4], [1.0])
    assert plt.get_fignums() == []


def test_another_figure_is_drawn_of_the_records_that_have_it(drawn):
    _, seen = drawn(RUNS, value="bits", unit="bits per character")
    assert seen["lines"] == {"lstm, validation": ([2], [9.0])}
    assert seen["y"] == "bits per character"
