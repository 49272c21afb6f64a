"""Pictures of runs. matplotlib is imported where a picture is drawn."""

from nlpx.plots.curves import plot_losses

__all__ = ["plot_losses"]
