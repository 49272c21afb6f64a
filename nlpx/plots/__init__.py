"""Plots of runs. matplotlib is imported only when something is drawn."""

from nlpx.plots.by_length import plot_by_length
from nlpx.plots.captions import plot_captions, plot_looks
from nlpx.plots.confusion import plot_confusion
from nlpx.plots.curves import plot_losses
from nlpx.plots.forecasts import plot_error_by_horizon, plot_forecasts
from nlpx.plots.heatmap import plot_attention
from nlpx.plots.places import plot_places
from nlpx.plots.predicted import plot_predicted
from nlpx.plots.regions import plot_regions

__all__ = [
    "plot_attention",
    "plot_by_length",
    "plot_captions",
    "plot_confusion",
    "plot_error_by_horizon",
    "plot_forecasts",
    "plot_looks",
    "plot_losses",
    "plot_places",
    "plot_predicted",
    "plot_regions",
]
