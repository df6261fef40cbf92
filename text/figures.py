"""The pictures of a text audit, each a PNG in bytes."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import numpy as np

from evaluation.reports.figure import count_powers, label_text, load_pyplot
from text.audit import DUPLICATE, Audit

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

NOW, MATCHED, QUIET, ALARM = "#1f6f8b", "#0a6b3d", "#9aa8b8", "#b23a2e"
NAMED = 30  # classes whose names fit beside a confusion matrix


def draw_entropy(audit: Audit) -> bytes:
    """Histogram of the teacher's entropies at the temperature in use and at the matched one, with the gate."""
    figure, axis = _new(5.4, 2.9)
    bins = np.linspace(0, 1, 41)
    for gating, colour, name in ((audit.matched, MATCHED, "matched"), (audit.gating, NOW, "in use")):
        if gating is not None:
            axis.hist(gating.entropy.numpy(), bins.tolist(), color=colour, alpha=0.6,
                      label=f"tau {gating.temperature:.3g}, {name}")
    axis.set(xlabel="normalised entropy of p_t (0 = sure, 1 = no idea)", ylabel="images", xlim=(0, 1))
    gate = axis.twinx()
    gate.plot(bins, 1 - bins**2, color=ALARM, linewidth=1.2, linestyle="--", label="distillation weight")
    gate.set(ylim=(0, 1.05), ylabel="1 - h²")
    gate.spines[["top"]].set_visible(False)
    handles = [part for each in (axis, gate) for part in each.get_legend_handles_labels()[0]]
    _put_legend(axis, handles)
    return _finish(figure)


def draw_sweep(audit: Audit) -> bytes:
    """Mean entropy and closed gates against temperature."""
    figure, axis = _new(5.4, 2.9)
    taus = [gating.temperature for gating in audit.sweep]
    axis.plot(taus, [gating.mean for gating in audit.sweep], color=NOW, label="mean entropy")
    axis.plot(taus, [gating.closed for gating in audit.sweep], color=ALARM, label="share of closed gates")
    axis.plot(taus, [gating.open for gating in audit.sweep], color=QUIET, label="share of open gates")
    axis.axvline(audit.gating.temperature, color=NOW, linewidth=0.9, linestyle=":")
    axis.annotate(" in use", (audit.gating.temperature, 1.06), fontsize=8, color=NOW)
    if audit.matched is not None and taus[0] <= audit.matched.temperature <= taus[-1]:
        axis.axvline(audit.matched.temperature, color=MATCHED, linewidth=0.9, linestyle=":")
        axis.annotate(f" entropy {audit.target:g}", (audit.matched.temperature, 0.9), fontsize=8, color=MATCHED)
    axis.set(xscale="log", xlabel="tau", ylim=(-0.02, 1.15), xlim=(taus[0], taus[-1]))
    count_powers(axis.xaxis)
    _put_legend(axis, axis.get_legend_handles_labels()[0])
    return _finish(figure)


def draw_uses(audit: Audit) -> bytes:
    """How many images each row is the nearest of, in falling order."""
    figure, axis = _new(5.4, 2.7)
    uses = audit.uses.sort(descending=True).values.numpy()
    axis.bar(np.arange(len(uses)), uses, width=1.0, color=NOW)
    fair = audit.images / len(uses)
    axis.axhline(fair, color=QUIET, linewidth=1, linestyle="--")
    axis.annotate(f"even use: {fair:.1f}", (len(uses) - 0.5, fair), fontsize=8, color="#566274", ha="right",
                  va="bottom")
    axis.set(xlabel="rows, most used first", ylabel="images", xlim=(-0.5, len(uses) - 0.5))
    return _finish(figure)


def draw_cosines(audit: Audit) -> bytes:
    """How like its nearest other row each row is."""
    figure, axis = _new(5.4, 2.7)
    values = [pair.cosine for pair in audit.neighbours]
    low = min([*values, 0.9])
    axis.hist(values, np.linspace(low, 1, 41).tolist(), color=NOW)
    axis.axvline(DUPLICATE, color=ALARM, linewidth=1, linestyle="--")
    axis.annotate("indistinguishable", (DUPLICATE, 1.02), xycoords=("data", "axes fraction"), fontsize=8, color=ALARM,
                  ha="center")
    axis.set(xlabel="cosine with the nearest other row", ylabel="rows", xlim=(low, 1))
    return _finish(figure)


def draw_teacher_confusion(audit: Audit) -> bytes:
    """Share of each class's images (line) that the teacher gives to each class (column)."""
    assert audit.accuracy is not None  # only labelled images are drawn
    counts = audit.accuracy.confusion.double()
    shares = (counts / counts.sum(dim=1, keepdim=True).clamp_min(1)).numpy()
    few = len(shares) <= NAMED
    side = 3.0 + 0.16 * len(shares) if few else 7.2
    figure, axis = _new(side + 1, side)
    image = axis.imshow(shares, cmap="Blues", vmin=0, vmax=1, interpolation="nearest")
    axis.set(xlabel="guess", ylabel="class")
    if few:
        places = range(len(shares))
        names = [label_text(name) for name in audit.names]
        axis.set_xticks(places, names, rotation=60, ha="right", rotation_mode="anchor", fontsize=8)
        axis.set_yticks(places, names, fontsize=8)
    figure.colorbar(image, ax=axis, shrink=0.7, label="share of the class's images")
    return _finish(figure)


def _put_legend(axis: Axes, handles: list) -> None:
    """Above the panel, where no curve runs."""
    axis.legend(handles=handles, fontsize=8, frameon=False, loc="lower left", bbox_to_anchor=(-0.02, 1.0),
                ncol=len(handles), handlelength=1.4, columnspacing=1.2)


def _new(width: float, height: float) -> tuple[Figure, Axes]:
    figure, axis = load_pyplot().subplots(figsize=(width, height))
    axis.spines[["top", "right"]].set_visible(False)
    return figure, axis


def _finish(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, dpi=130, bbox_inches="tight")
    load_pyplot().close(figure)
    return buffer.getvalue()
