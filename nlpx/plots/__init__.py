"""Pictures of runs. matplotlib is imported where a picture is drawn."""

from nlpx.plots.by_length import plot_by_length
from nlpx.plots.confusion import plot_confusion
from nlpx.plots.curves import plot_losses
from nlpx.plots.heatmap import plot_attention
from nlpx.plots.places import plot_places

__all__ = ["plot_attention", "plot_by_length", "plot_confusion", "plot_losses", "plot_places"]
