import matplotlib.pyplot as plt
import numpy as np
import pytest

from nlpx.plots import plot_attention

PNG = b"\x89PNG\r\n\x1a\n"
WEIGHTS = np.array([[0.7, 0.2, 0.1], [0.0, 0.5, 0.5]])


def test_words_and_weights_stand_where_they_belong(monkeypatch, tmp_path):
    seen = {}
    close = plt.close

    def look(figure):
        axes, bar = figure.axes
        (image,) = axes.images
        seen.update(
            x=[label.get_text() for label in axes.get_xticklabels()],
            y=[label.get_text() for label in axes.get_yticklabels()],
            array=np.array(image.get_array()),
            limits=image.get_clim(),
            top=axes.xaxis.get_ticks_position(),
            first_row_above=axes.yaxis.get_inverted(),
            title=axes.get_title(),
            bar=bar.get_ylabel(),
        )
        close(figure)

    monkeypatch.setattr(plt, "close", look)
    path = tmp_path / "new" / "attention.png"
    plot_attention(WEIGHTS, ["le", "$5", "$6"], ["the", "<eos>"], path, title="one $head$")
    assert path.read_bytes().startswith(PNG)
    np.testing.assert_allclose(seen.pop("array"), WEIGHTS, atol=1e-6)
    assert seen == {
        "x": ["le", "$5", "$6"],
        "y": ["the", "<eos>"],
        "limits": (0, 1),
        "top": "top",
        "first_row_above": True,
        "title": "one $head$",
        "bar": "attention weight",
    }
    assert plt.get_fignums() == []


def test_the_picture_grows_with_the_words(tmp_path):
    shapes = []
    for t, s in ((2, 3), (2, 43), (42, 3)):
        plot_attention(np.full((t, s), 1 / s), ["word"] * s, ["word"] * t, tmp_path / "a.png")
        shapes.append(np.array(plt.imread(tmp_path / "a.png").shape[:2]))
    pixels_a_word = (shapes[1] - shapes[0])[1] / 40, (shapes[2] - shapes[0])[0] / 40
    assert min(pixels_a_word) > 25  # a line of text of 10 points is 17 high


@pytest.mark.thorough(but=["9001*"])
@pytest.mark.parametrize(("t", "s"), [pytest.param(2, 3001, marks=pytest.mark.slow), (9001, 2), (100, 100)])
def test_a_picture_of_many_words_is_bounded_and_shows_every_nth_and_every_weight(monkeypatch, tmp_path, t, s):
    weights = np.zeros((t, s))
    weights[np.arange(t), np.arange(t) % s] = weights[-1, -1] = 1
    seen = {}
    close = plt.close

    def look(figure):
        axes = figure.axes[0]
        figure.canvas.draw()
        image = np.array(axes.images[0].get_array())
        seen.update(x=axes.get_xticklabels(), y=axes.get_yticklabels(), image=image, limits=axes.axis())
        seen["heights"] = [text.get_window_extent().height for text in seen["y"]]
        seen["room"] = axes.bbox.height / len(seen["y"])
        close(figure)

    monkeypatch.setattr(plt, "close", look)
    plot_attention(weights, [f"s{i}" for i in range(s)], [40 * "t"] * t, tmp_path / "a.png")
    assert max(plt.imread(tmp_path / "a.png").shape) <= 4000
    assert (seen["image"].max(axis=1) == 1).all()
    assert seen["image"][-1, -1] == 1
    assert max(seen["image"].shape) < 3000  # a pixel each at least
    assert seen["limits"] == (-0.5, s - 0.5, t - 0.5, -0.5)
    assert all(text.get_text() == f"s{text.get_position()[0]}" for text in seen["x"])
    assert all(text.get_text() == 31 * "t" + "…" for text in seen["y"])
    assert max(seen["heights"]) <= seen["room"]
    assert len(seen["x"]) >= min(s, 50)


@pytest.mark.parametrize(("source", "target"), [(["a", "b"], ["c", "d"]), (["a", "b", "c"], ["d"])])
def test_words_of_another_number_raise(source, target, tmp_path):
    with pytest.raises(ValueError, match=r"shape \(2, 3\) do not fit"):
        plot_attention(WEIGHTS, source, target, tmp_path / "a.png")
