import matplotlib
import numpy as np
import pytest

from nlpx.plots import plot_captions, plot_looks

matplotlib.use("agg")
import matplotlib.pyplot as plt

PNG = b"\x89PNG\r\n\x1a\n"
PICTURES = np.random.default_rng(0).integers(0, 255, (6, 8, 8, 1)).astype(np.uint8)
LONG = "a three above and right of an eight, above and left of a $seven$ and $more besides"


@pytest.fixture
def drawn(monkeypatch):
    """Runs a plot and gives the figure, drawn but not closed."""
    kept = []
    monkeypatch.setattr(plt, "close", kept.append)

    def draw(plot, *arguments, **options):
        plot(*arguments, **options)
        figure = kept.pop()
        figure.canvas.draw()
        return figure

    yield draw
    monkeypatch.undo()
    plt.close("all")


def test_right_and_wrong_captions_are_marked(drawn, tmp_path):
    captions = ["a one"] * 5 + [LONG]
    references = ["a one"] * 4 + ["a two", LONG + "!"]
    figure = drawn(plot_captions, PICTURES, captions, references, tmp_path / "new" / "sheet.png")
    assert (tmp_path / "new" / "sheet.png").read_bytes().startswith(PNG)
    assert figure.get_suptitle() == "4 of 6 captions are right"
    shown = [axes for axes in figure.axes if axes.axison]
    assert len(shown) == 6
    colors = [axes.spines["top"].get_edgecolor() for axes in shown]
    assert colors[0] == colors[3] != colors[4] == colors[5]
    assert shown[0].get_xlabel() == "a one"
    assert shown[4].get_xlabel() == "said: a one\ntrue: a two"


def test_no_caption_lies_over_a_picture_or_another(drawn, tmp_path):
    figure = drawn(plot_captions, PICTURES, [LONG] * 6, [LONG + " now"] * 6, tmp_path / "sheet.png")
    renderer = figure.canvas.get_renderer()
    shown = [axes for axes in figure.axes if axes.axison]
    labels = [axes.xaxis.label.get_window_extent(renderer) for axes in shown]
    panels = [axes.patch.get_window_extent(renderer) for axes in shown]
    for number, label in enumerate(labels):
        assert figure.bbox.x0 <= label.x0
        assert label.x1 <= figure.bbox.x1
        assert label.y0 >= figure.bbox.y0
        assert not any(label.overlaps(other) for other in labels[:number] + panels)


def test_attention_stands_over_its_place(drawn, tmp_path):
    weights = np.zeros((7, 2, 2))
    weights[np.arange(7), np.arange(7) % 2, 1] = 0.5
    figure = drawn(plot_looks, PICTURES[0], ["a"] * 6 + ["$x$ costs $"], weights, tmp_path / "looks.png")
    assert (tmp_path / "looks.png").read_bytes().startswith(PNG)
    shown = [axes for axes in figure.axes if axes.axison and axes.images]
    assert [axes.get_title() for axes in shown] == ["a"] * 6 + ["$x$ costs $"]
    picture, overlay = shown[1].images
    assert picture.get_extent() == overlay.get_extent()
    np.testing.assert_array_equal(overlay.get_array(), weights[1])
    assert "attention" in figure.get_suptitle()
    assert any(axes.get_ylabel() == "attention weight" for axes in figure.axes)


def test_what_does_not_fit_is_named(tmp_path):
    with pytest.raises(ValueError, match="6 pictures, 1 captions and 6 references make no sheet"):
        plot_captions(PICTURES, ["a"], ["a"] * 6, tmp_path / "x.png")
    with pytest.raises(ValueError, match=r"attention weights of shape \(2, 2, 2\) do not fit 1 words"):
        plot_looks(PICTURES[0], ["a"], np.zeros((2, 2, 2)), tmp_path / "x.png")
    assert not list(tmp_path.iterdir())
