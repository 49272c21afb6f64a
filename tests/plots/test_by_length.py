import matplotlib.pyplot as plt
import pytest

from nlpx.plots import plot_by_length

GROUPS = {
    "rnn": [{"mean": 2.5, "exact_match": 0.5, "bleu": 60.0}, {"mean": 7.0, "exact_match": 0.25, "bleu": 30.0}],
    "transformer": [{"mean": 2.5, "exact_match": 1.0, "bleu": 90.0}],
}


@pytest.mark.parametrize(
    ("value", "label", "rnn"),
    [("exact_match", "exact matches (% of translations)", [50, 25]), ("bleu", "BLEU (0 to 100)", [60, 30])],
)
def test_every_model_has_its_line(monkeypatch, tmp_path, value, label, rnn):
    seen = {}
    close = plt.close

    def look(figure):
        (axes,) = figure.axes
        lines = {line.get_label(): (list(line.get_xdata()), list(line.get_ydata())) for line in axes.lines}
        seen.update(lines=lines, x=axes.get_xlabel(), y=axes.get_ylabel(), legend=axes.get_legend() is not None)
        close(figure)

    monkeypatch.setattr(plt, "close", look)
    path = tmp_path / "new" / "by.png"
    plot_by_length(GROUPS, path, value)
    assert path.read_bytes().startswith(b"\x89PNG\r\n\x1a\n")
    assert seen["lines"].keys() == GROUPS.keys()
    assert seen["lines"]["rnn"] == ([2.5, 7.0], rnn)
    assert (seen["x"], seen["y"], seen["legend"]) == ("source length (tokens, mean of each group)", label, True)


def test_another_value_raises(tmp_path):
    with pytest.raises(ValueError, match="did you mean 'bleu'"):
        plot_by_length(GROUPS, tmp_path / "by.png", "blue")
