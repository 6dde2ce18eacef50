"""The panel of growth: a chart for each figure over the last days, and a table of them all."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date

from django.template.defaultfilters import filesizeformat

from overview.figures import recent
from overview.models import DailyFigures
from overview.panels.chart import Chart, draw

WINDOWS = (14, 30)


@dataclass(frozen=True, slots=True)
class Series:
    """A field of DailyFigures, and how it is written for people."""

    title: str
    field: str
    text: Callable[[int], str] = "{:,}".format


CONNECTOR_SERIES = (
    Series("Connectors", "connectors"),
    Series("Keys", "keys"),
    Series("Stored", "bytes", filesizeformat),
)
CHAT_SERIES = (
    Series("Conversations", "conversations"),
    Series("Messages", "messages"),
    Series("Turns a day", "turns"),
)


@dataclass(frozen=True, slots=True)
class LabelledChart:
    """A chart and what it says in words. `chart` is None where no day has a figure."""

    title: str
    summary: str
    now: str
    lowest: str = ""
    highest: str = ""
    chart: Chart | None = None


@dataclass(frozen=True, slots=True)
class Growth:
    """The panel. `rows` are the days, newest first, with a cell for each chart."""

    days: int
    charts: list[LabelledChart]
    rows: list[tuple[date, list[str]]]
    recorded_days: int


def window(text: str | None) -> int:
    """Return the number of days that a query asks for if WINDOWS has it, else the first of them."""
    return next((days for days in WINDOWS if str(days) == text), WINDOWS[0])


def growth(series: tuple[Series, ...], days: int, now: DailyFigures) -> Growth:
    """Return the panel for some figures.

    Args:
        now: today's, as figures_now returns them.
    """
    figures = recent(days, now)
    rows = [(day.date, [_cell(one, day) for one in series]) for day in reversed(figures)]
    return Growth(days, [_labelled(one, figures, days) for one in series], rows, len(figures) - 1)


def _cell(series: Series, day: DailyFigures) -> str:
    figure = getattr(day, series.field)
    return "-" if figure is None else series.text(figure)


def _labelled(series: Series, figures: list[DailyFigures], days: int) -> LabelledChart:
    chart = draw([(day.date, getattr(day, series.field)) for day in figures], days)
    now = _cell(series, figures[-1])
    if chart is None:
        return LabelledChart(series.title, f"{series.title}: not known", now)
    lowest, highest = series.text(chart.lowest), series.text(chart.highest)
    summary = f"{series.title}: between {lowest} and {highest} in {days} days, now {now}"
    return LabelledChart(series.title, summary, now, lowest, highest, chart)
