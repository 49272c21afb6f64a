"""Forecasts drawn over the truth, and errors by steps ahead."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from nlpx.plots.figure import png

PANELS = 6
"""Most variables drawn, the first ones."""
STEPS = 150
"""Most steps drawn, the last ones: more would blur."""
COLUMNS = 3


def _labelled(name: str, unit: str) -> str:
    return f"{name} ({unit or 'units of the data'})"


def plot_forecasts(
    dates: np.ndarray,
    variables: Mapping[str, tuple[np.ndarray, np.ndarray]],
    levels: tuple[float, ...],
    path: Path,
    *,
    unit: str = "",
) -> None:
    """Draw the truth and, over it, forecasts that each start where the one before ends, and write a PNG.

    A forecast is the median and a band for each pair of quantiles, from the outermost inwards. One panel per variable.

    Args:
      dates: (n,) datetime64.
      variables: name -> the truth, (n,), and the quantiles from each origin, (w, h, q). Row 0 forecasts from date 0 on.
      levels: the levels of the quantiles, rising.
      unit: the unit of all variables; "" if unknown.
    """
    shown = dict(list(variables.items())[:PANELS])
    with png(path, 9, 1.2 + 2.3 * len(shown)) as figure:
        panels = figure.subplots(len(shown), 1, sharex=True, squeeze=False)[:, 0]
        for axes, (name, (truth, quantiles)) in zip(panels, shown.items(), strict=True):
            origins, horizon = quantiles.shape[:2]
            whole = max(1, min(STEPS, len(dates)) // horizon)
            rows = range(max(0, origins - 1 - (whole - 1) * horizon), origins, horizon)
            axes.plot(dates[rows[0] :], truth[rows[0] :], color="black", linewidth=1, label="observed")
            for row in rows:
                at = dates[row : row + horizon]
                first = row == rows[0]
                for inner in range(len(levels) // 2):
                    low, high = quantiles[row, :, inner], quantiles[row, :, -1 - inner]
                    label = f"quantiles {levels[inner]:g} to {levels[-1 - inner]:g}" if first else None
                    axes.fill_between(at, low, high, color="C0", alpha=0.25, linewidth=0, label=label)
                median = quantiles[row, :, levels.index(0.5)]
                style = {"color": "C0", "linewidth": 1.2, "marker": "o", "markersize": 2}
                axes.plot(at, median, label="median" if first else None, **style)
            axes.set_ylabel(_labelled(name, unit), parse_math=False)
            axes.grid(alpha=0.3)
        panels[0].set_title(f"Forecasts {horizon} steps ahead, each from the step before its first dot")
        panels[-1].set_xlabel("date")
        handles, labels = panels[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=len(labels), fontsize="small")


def plot_error_by_horizon(
    errors: Mapping[str, Mapping[str, Mapping[str, float]]], path: Path, step: str, unit: str = ""
) -> None:
    """Draw the mean absolute error by steps ahead, a line for the model and one per baseline, and write a PNG. One
    panel per variable.

    Args:
      errors: variable -> method -> steps ahead (such as "1") -> error; "mean" is not drawn.
      step: the distance between steps, such as "1 day".
      unit: the unit of all variables; "" if unknown.
    """
    shown = dict(list(errors.items())[:PANELS])
    columns = min(COLUMNS, len(shown)) if len(shown) != 4 else 2
    rows = -(-len(shown) // columns)
    with png(path, max(7, 4.2 * columns), 0.8 + 3.4 * rows) as figure:
        panels = figure.subplots(rows, columns, squeeze=False).ravel()
        for axes, (name, by_who) in zip(panels, shown.items(), strict=False):
            for who, by_step in by_who.items():
                points = [(int(ahead), error) for ahead, error in by_step.items() if ahead != "mean"]
                style = {"linewidth": 2} if who == "model" else {"linestyle": "--", "linewidth": 1.2}
                axes.plot(*zip(*points, strict=True), marker="o", markersize=4, label=who, **style)
            axes.set_ylim(bottom=0)
            axes.xaxis.get_major_locator().set_params(integer=True)
            axes.set_xlabel(f"steps ahead (of {step})")
            axes.set_ylabel("mean absolute error" + (f" ({unit})" if unit else " (units of the data)"))
            axes.set_title(name, parse_math=False)
            axes.grid(alpha=0.3)
        for axes in panels[len(shown) :]:
            axes.remove()
        handles, labels = panels[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=len(labels), fontsize="small")
