import matplotlib.pyplot as plt
import pytest

from nlpx.errors import InputError
from nlpx.plots import plot_places


@pytest.mark.parametrize(("count", "rows"), [(5, 1), (61, 3), (70, 3)])
def test_every_word_has_two_bars(monkeypatch, tmp_path, count, rows):
    seen, close = [], plt.close

    def look(figure):
        for axes in figure.axes:
            words = [label.get_text() for label in axes.get_xticklabels()]
            seen.append((words, [[bar.get_height() for bar in bars] for bars in axes.containers]))
        assert "$5?" in figure.get_suptitle()
        close(figure)

    monkeypatch.setattr(plt, "close", look)
    words = [f"w{n}" for n in range(count - 1)] + ["$5_x$"]
    start, end = ([n / count for n in range(count)], [(n % 7) / 7 for n in range(count)])
    path = tmp_path / "new" / "places.png"
    plot_places(start, end, words, path, "What costs $5?")
    assert path.read_bytes().startswith(b"\x89PNG\r\n\x1a\n")
    lengths = [len(row) for row, _ in seen]
    assert len(lengths) == rows
    assert lengths[0] - lengths[-1] < rows  # no word is left to a row of its own
    assert [word for row, _ in seen for word in row] == words
    for number, values in enumerate((start, end)):
        assert [height for _, bars in seen for height in bars[number]] == pytest.approx(values)


def test_what_does_not_fit_raises(tmp_path):
    for start, end, words in (([0.1], [0.1, 0.2], ["a"]), ([], [], [])):
        with pytest.raises(ValueError, match="give one of each"):
            plot_places(start, end, words, tmp_path / "places.png")


def test_a_place_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match=r"cannot write .*places.png: .*; give another path for the picture"):
        plot_places([0.1], [0.2], ["a"], tmp_path / "file" / "places.png")
