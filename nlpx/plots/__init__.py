"""Pictures of runs. matplotlib is imported where a picture is drawn."""

from nlpx.plots.by_length import plot_by_length
from nlpx.plots.captions import plot_captions, plot_looks
from nlpx.plots.confusion import plot_confusion
from nlpx.plots.curves import plot_losses
from nlpx.plots.heatmap import plot_attention

__all__ = ["plot_attention", "plot_by_length", "plot_captions", "plot_confusion", "plot_looks", "plot_losses"]
