"""How a chart of the report is drawn: the same SVG for the same figures, narrow, in the colours of its page."""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

INK = "#010203"  # stands for the page's text colour until it is replaced
GRID = "#8a8f98"
GAP = "\N{NO-BREAK SPACE}"  # SVG drops an ordinary space at the end of a text
BEFORE = "#d97706"
AFTER = "#0d9488"
BAD = "#dc2626"
WIDTH_INCHES = 5.2
ROW_INCHES = 0.44
STYLE: Any = {  # its stubs know each key; ours is an ordinary dictionary
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "font.size": 9.5,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": GRID,
    "xtick.color": INK,
    "ytick.color": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.spines.left": False,
}
# Where a chart stands alone as an image it has no page's colour: this grey is read on dark and on light.
ALONE = "color:#7b8494;font-family:sans-serif"


@dataclass(frozen=True)
class Chart:
    """One chart.

    Attributes:
        title: its heading.
        svg: an <svg> element to be put into a page as it is.
        text: what it shows, for those who cannot see it; also its label in the element.
    """

    title: str
    svg: str
    text: str

    def as_markdown(self) -> str:
        """The chart as an image within a page of markdown."""
        image = self.svg.replace("<svg ", f'<svg style="{ALONE}" xmlns="http://www.w3.org/2000/svg" ', 1)
        coded = base64.b64encode(image.encode()).decode()
        text = re.sub(r"[\[\]\n]", " ", self.text)
        return f"\n### {self.title}\n\n![{text}](data:image/svg+xml;base64,{coded})\n"


def canvas(rows: float) -> tuple[Figure, Axes]:
    """A figure as high as so many rows want, without a ground of its own."""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(WIDTH_INCHES, 0.8 + ROW_INCHES * rows), layout="constrained")
        FigureCanvasSVG(figure)
        axes = figure.add_subplot()
        axes.patch.set_visible(False)
        figure.patch.set_visible(False)
    return figure, axes


def name_rows(axes: Axes, names: Sequence[str]) -> None:
    """Label the rows from top to bottom, with lines to read along."""
    axes.set_yticks(range(len(names)), names)
    axes.tick_params(axis="y", length=0)
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.grid(axis="x", color=GRID, alpha=0.3, linewidth=0.6)
    axes.set_axisbelow(True)


def log_axis(axes: Axes, label: str) -> None:
    """A horizontal log scale with figures instead of powers."""
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(numticks=7))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: figure_text(value)))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_xlabel(label)


def figure_text(value: float) -> str:
    """Three digits."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"  # noqa: PLR2004 - three digits


def shortened(statement: str, length: int = 28) -> str:
    """What fits beside the bars."""
    words = " ".join(statement.split())
    return words if len(words) <= length else words[: length - 1] + "…"


def finish(figure: Figure, name: str, title: str, text: str) -> Chart:
    """The figure as an element for a page that holds several: its ids begin with `name`, and nothing in it is random."""
    drawn = io.StringIO()
    with mpl.rc_context({**STYLE, "svg.hashsalt": name}):
        figure.savefig(drawn, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    whole = drawn.getvalue()
    element = whole[whole.index("<svg") :].replace(INK, "currentColor")
    element = re.sub(r'\bid="', f'id="{name}-', element)
    element = re.sub(r"url\(#", f"url(#{name}-", element)
    element = re.sub(r'xlink:href="#', f'xlink:href="#{name}-', element)
    # The page decides on the font; the size stays.
    element = re.sub(r"font: ([\d.]+px)[^;\"]*", r"font-size: \1", element)
    element = re.sub(r'<svg ([^>]*?)width="[^"]*"', r"<svg \1", element, count=1)
    element = re.sub(r'<svg ([^>]*?)height="[^"]*"', r"<svg \1", element, count=1)
    element = re.sub(r"\s+xmlns=\"[^\"]*\"", "", element, count=1)
    return Chart(title, element.replace("<svg ", f'<svg role="img" aria-label="{_attribute(text)}" ', 1), text)


def _attribute(text: str) -> str:
    return text.replace("&", "&amp;").replace('"', "&quot;").replace("<", "&lt;")
