"""Pictures of real beside generated rows, as PNG files in memory.

Notation: `R` rows, `S` samples a class, `C` classes, `N` features.

matplotlib is imported where a figure is made and nowhere else: most processes never draw. Figures own their
canvas, so that no global state of matplotlib is read or left behind.
"""

from io import BytesIO
from math import isqrt
from typing import TYPE_CHECKING

import torch
from jaxtyping import Float
from jaxtyping import Float64
from torch import Tensor

from bmtune.born import Chain
from bmtune.born import Cores
from bmtune.born import log_weights
from bmtune.config.root import EvaluationConfig
from bmtune.data import Split
from bmtune.evaluation.likelihood import embedded_chunks
from bmtune.evaluation.samples import draw_samples

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SMALLEST_IMAGE = 49
"""Features from which a square number of them is taken for an image: 7 by 7 pixels."""
POINTS, IMAGES, CURVES = 400, 6, 25
"""Rows a class in a scatter plot, a grid of images and a plot of series."""
MOST_CLASSES = 10
"""Classes that a grid of images or a plot of series shows."""
GRID = 150
"""Points a side at which decision regions are evaluated."""

# The palette of Okabe and Ito (https://jfly.uni-koeln.de/color/), which colour-blind readers can tell apart.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#F0E442", "#000000")
MARKERS = ("o", "^", "s", "D", "v", "P", "X", "*")


def picture(chain: Chain, cores: Cores, split: Split, config: EvaluationConfig, *, seed: int) -> bytes:
    """Real rows of every class beside generated ones, as a PNG.

    Two features are a scatter plot over the regions of p(c|x); a square number of at least 49 features are grids
    of images; any others are curves over the features.

    Args:
        chain: Embedding and shape.
        cores: The cores.
        split: Real rows, on any device.
        config: How samples are drawn; a picture needs fewer than `num_samples` of them.
        seed: Determines which rows are shown and which are drawn.
    """
    side = isqrt(chain.num_sites)
    is_image = chain.num_sites >= SMALLEST_IMAGE and side * side == chain.num_sites
    most = POINTS if chain.num_sites == 2 else IMAGES if is_image else CURVES
    fewer = config.model_copy(update={"num_samples": min(config.num_samples, most)})
    drawn = draw_samples(chain, cores, fewer, seed).double().cpu()
    real = _some_rows(split, chain.num_classes, most, seed)
    made = list(drawn.unbind(1))
    if chain.num_sites == 2:
        return _png(_scatter(chain, _class_map(chain, cores), real, made))
    interval = chain.embedding.data_interval
    return _png(_images(interval, side, real, made) if is_image else _curves(interval, real, made))


def _some_rows(split: Split, num_classes: int, most: int, seed: int) -> list[Float64[Tensor, "rows N"]]:
    """At most `most` rows of each class, chosen at random."""
    x, y = split.x.double().cpu(), split.y.cpu()
    shuffled = torch.randperm(len(y), generator=torch.Generator().manual_seed(seed))
    x, y = x[shuffled], y[shuffled]
    return [x[y == label][:most] for label in range(num_classes)]


@torch.no_grad()
def _class_map(chain: Chain, cores: Cores) -> Float[Tensor, "GRID GRID C"]:
    """p(c|x) on a grid over the interval: first axis the second feature, second axis the first."""
    low, high = chain.embedding.data_interval
    ticks = torch.linspace(low, high, GRID, dtype=torch.float64)
    second, first = torch.meshgrid(ticks, ticks, indexing="ij")
    points = torch.stack((first, second), -1).flatten(0, 1)
    everywhere = Split(x=points, y=torch.zeros(len(points), dtype=torch.int64))
    weights = torch.cat([log_weights(cores, phi) for phi, _ in embedded_chunks(chain, cores, everywhere)], 1)
    shares = weights.double().softmax(0).cpu()
    # Where every class has weight 0 there is no p(c|x): such points are coloured as undecided.
    grid: Tensor = shares.nan_to_num(1 / chain.num_classes).T.unflatten(0, (GRID, GRID))
    return grid


def _scatter(chain: Chain, shares: Tensor, real: list[Tensor], made: list[Tensor]) -> "Figure":
    from matplotlib.colors import to_rgb

    low, high = chain.embedding.data_interval
    figure = _figure(9.0, 5.2)
    colours = torch.tensor([to_rgb(COLOURS[label % len(COLOURS)]) for label in range(len(real))], dtype=torch.float64)
    # Paler than the points, which must stand out against them.
    regions = 1 - 0.3 * (1 - shares @ colours)
    left, right = figure.subplots(1, 2, sharex=True, sharey=True)
    margin = 0.02 * (high - low)
    for axes, title, rows in ((left, "real rows", real), (right, "generated rows", made)):
        axes.imshow(regions.numpy(), origin="lower", extent=(low, high, low, high), interpolation="bilinear")
        for label, points in enumerate(rows):
            axes.scatter(
                points[:, 0].numpy(),
                points[:, 1].numpy(),
                s=11,
                color=COLOURS[label % len(COLOURS)],
                marker=MARKERS[label % len(MARKERS)],
                linewidths=0.3,
                edgecolors="white",
                label=f"class {label}",
            )
        axes.set(xlim=(low - margin, high + margin), ylim=(low - margin, high + margin), aspect="equal")
        axes.locator_params(nbins=5)
        axes.set_xlabel("feature 1", fontsize=11)
        axes.set_title(title, fontsize=13)
    left.set_ylabel("feature 2", fontsize=11)
    handles, labels = left.get_legend_handles_labels()
    figure.legend(
        handles,
        labels,
        title="points: rows; background: p(c|x)",
        loc="outside lower center",
        ncols=min(len(labels), 6),
        fontsize=11,
        title_fontsize=10,
        markerscale=2,
        frameon=False,
    )
    return figure


def _images(interval: tuple[float, float], side: int, real: list[Tensor], made: list[Tensor]) -> "Figure":
    shown = min(len(real), MOST_CLASSES)
    figure = _figure(2 * 0.62 * IMAGES + 1.3, 0.62 * shown + 0.8)
    left, right = figure.subplots(1, 2)
    for axes, title, rows in ((left, "real rows", real), (right, "generated rows", made)):
        mosaic = torch.cat([_strip(images, side, interval) for images in rows[:shown]])
        axes.imshow(mosaic.numpy(), cmap="gray", vmin=interval[0], vmax=interval[1], interpolation="nearest")
        axes.set_title(_titled(title, shown, len(real)), fontsize=13)
        axes.set_xticks([])
        middles = [(side + 1) * label + (side - 1) / 2 for label in range(shown)]
        axes.set_yticks(middles, [f"class {label}" for label in range(shown)] if axes is left else [], fontsize=11)
        axes.tick_params(length=0)
        axes.spines[:].set_visible(False)
    return figure


def _strip(rows: Tensor, side: int, interval: tuple[float, float]) -> Tensor:
    """`IMAGES` images side by side, (side + 1, IMAGES * (side + 1)), white between them and where there is none."""
    padded = torch.full((IMAGES, side + 1, side + 1), interval[1], dtype=torch.float64)
    padded[: len(rows), :side, :side] = rows[:IMAGES].unflatten(1, (side, side))
    return padded.movedim(0, 1).flatten(1)


def _curves(interval: tuple[float, float], real: list[Tensor], made: list[Tensor]) -> "Figure":
    shown = min(len(real), MOST_CLASSES)
    num_features = real[0].shape[1]
    figure = _figure(9.0, 1.3 + 1.25 * shown)
    grid = figure.subplots(shown, 2, sharex=True, sharey=True, squeeze=False)
    features = range(1, num_features + 1)
    # Few features are table columns and not a series: each is marked.
    marker = "o" if num_features <= 20 else ""
    margin = 0.05 * (interval[1] - interval[0])
    for label in range(shown):
        for axes, rows in zip(grid[label], (real[label], made[label]), strict=True):
            colour = COLOURS[label % len(COLOURS)]
            axes.plot(features, rows.T.numpy(), color=colour, alpha=0.35, lw=0.9, marker=marker, ms=3)
            if len(rows):
                axes.plot(features, rows.mean(0).numpy(), color="black", lw=1.6, ls="--", label="mean of the rows")
            axes.set_ylim(interval[0] - margin, interval[1] + margin)
            axes.grid(alpha=0.3, lw=0.5)
        grid[label][0].set_ylabel(f"class {label}", fontsize=11)
    for axes, title in zip(grid[0], ("real rows", "generated rows"), strict=True):
        axes.set_title(_titled(title, shown, len(real)), fontsize=13)
    for axes in grid[-1]:
        _number_features(axes, num_features)
    grid[0][0].legend(loc="best", fontsize=9, frameon=True, framealpha=0.8)
    return figure


def _number_features(axes: "Axes", num_features: int) -> None:
    axes.set_xlabel("feature", fontsize=11)
    if num_features <= 20:
        axes.set_xticks(range(1, num_features + 1))


def _titled(title: str, shown: int, num_classes: int) -> str:
    return title if shown == num_classes else f"{title} (first {shown} of {num_classes} classes)"


def _figure(width: float, height: float) -> "Figure":
    """An empty figure of this size in inches, with a canvas of its own."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def _png(figure: "Figure") -> bytes:
    buffer = BytesIO()
    # Without the library's name and version: equal pictures are equal bytes.
    figure.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()
