"""Draw a small line chart, as the numbers of an SVG."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from itertools import groupby

WIDTH, HEIGHT, MARGIN = 240, 60, 5

Series = Sequence[tuple[date, int | None]]  # oldest first


@dataclass(frozen=True, slots=True)
class Chart:
    """A line through the days that have a figure; it is broken where days have none.

    `lines` are the points of polylines, `last` is the newest point, and `days_known` counts the
    days that have a figure.
    """

    lines: tuple[str, ...]
    last: tuple[float, float]
    lowest: int
    highest: int
    days_known: int
    width: int = WIDTH
    height: int = HEIGHT


def draw(series: Series, days: int) -> Chart | None:
    """Return the chart of a series, or None if no day has a figure.

    Args:
        series: days and their figures; the last day is at the right end.
        days: the width of the chart.
    """
    known = [(day, figure) for day, figure in series if figure is not None]
    if not known:
        return None
    figures = [figure for _, figure in known]
    first_day = series[-1][0] - timedelta(days=days - 1)
    lowest, highest = min(figures), max(figures)

    def point(day: date, figure: int) -> tuple[float, float]:
        across = (day - first_day).days / max(days - 1, 1)
        up = (figure - lowest) / (highest - lowest) if highest > lowest else 0.5
        x = MARGIN + across * (WIDTH - 2 * MARGIN)
        return round(x, 1), round(HEIGHT - MARGIN - up * (HEIGHT - 2 * MARGIN), 1)

    # For consecutive days the day minus its position is the same, so each run is one group.
    runs = groupby(enumerate(known), lambda item: item[1][0] - timedelta(days=item[0]))
    lines = (_polyline([point(*known_day) for _, known_day in run]) for _, run in runs)
    return Chart(tuple(lines), point(*known[-1]), lowest, highest, len(known))


def _polyline(points: list[tuple[float, float]]) -> str:
    if len(points) == 1:
        points *= 2  # browsers draw a line of no length as a dot, and a single point not at all
    return " ".join(f"{x},{y}" for x, y in points)
