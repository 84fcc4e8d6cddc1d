"""Panels by kind. A dashboard is a table of calls to these; whatever all panels share is set here."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, TypedDict, TypeVar, Unpack

from grafana_foundation_sdk.builders import bargauge, common, prometheus, stat, statetimeline, table, timeseries
from grafana_foundation_sdk.builders import dashboard as build
from grafana_foundation_sdk.models import common as kinds
from grafana_foundation_sdk.models import dashboard as model
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

from worker.core.outcome import Outcome, Verdict

GREEN, YELLOW, AMBER, RED, GREY, BLUE = "green", "yellow", "orange", "red", "#8e8e8e", "blue"
DATASOURCE = model.DataSourceRef(type_val="prometheus", uid="${datasource}")

Panel = stat.Panel | timeseries.Panel | statetimeline.Panel | table.Panel | bargauge.Panel
P = TypeVar("P", stat.Panel, timeseries.Panel, statetimeline.Panel, table.Panel, bargauge.Panel)
Steps = Sequence[tuple[float | None, str]]
Words = Mapping[str, tuple[str, str]]

PLAIN: Steps = [(None, BLUE)]
WORSE_ABOVE_0: Steps = [(None, GREEN), (1, RED)]
UNSURE_ABOVE_0: Steps = [(None, GREEN), (1, GREY)]


def among(outcomes: Sequence[Outcome]) -> str:
    return f"/^({'|'.join(outcomes)})$/"


#: Series that are named after an outcome have its verdict's colour; `shades` tells those of one colour apart.
OUTCOMES = {
    among([outcome for outcome in Outcome if outcome.verdict is verdict]): colour
    for verdict, colour in ((Verdict.UP, GREEN), (Verdict.DOWN, RED), (Verdict.UNKNOWN, GREY))
} | {among([Outcome.SLOW]): YELLOW}


class Query(NamedTuple):
    expr: str
    legend: str = "__auto"


class Look(TypedDict, total=False):
    """What can be said of a panel of any kind.

    `steps` are thresholds, `words` what values are called (text and colour), `colours` those of series by their names
    (a regular expression), `empty` what is shown where there is nothing, `every` the least step of a query, `link` the
    title and URL that a click on a value offers.
    """

    unit: str
    w: int
    h: int
    low: float
    high: float
    decimals: int
    steps: Steps
    words: Words
    colours: Mapping[str, str]
    empty: str
    every: str
    link: tuple[str, str]


def one(title: str, text: str, *queries: Query | str, name: bool = False, **look: Unpack[Look]) -> stat.Panel:
    """One figure as it is now, for each series; with `name` the series' name is what is shown."""
    shown = kinds.BigValueTextMode.NAME if name else kinds.BigValueTextMode.AUTO
    coloured = kinds.BigValueColorMode.BACKGROUND if "words" in look else kinds.BigValueColorMode.VALUE
    panel = stat.Panel().text_mode(shown).color_mode(coloured).graph_mode(kinds.BigValueGraphMode.NONE)
    panel = panel.reduce_options(_last()).orientation(kinds.VizOrientation.AUTO)
    return _ask(_dress(panel, title, text, {"w": 4, "h": 4, **look}), queries, now=True)


def bars(title: str, text: str, *queries: Query | str, **look: Unpack[Look]) -> bargauge.Panel:
    """A bar for each series as it is now."""
    panel = bargauge.Panel().orientation(kinds.VizOrientation.HORIZONTAL).reduce_options(_last())
    panel = panel.display_mode(kinds.BarGaugeDisplayMode.BASIC).show_unfilled(True)
    return _ask(_dress(panel, title, text, look), queries, now=True)


def graph(
    title: str,
    text: str,
    *queries: Query | str,
    stacked: bool = False,
    stepped: bool = False,
    apart: Sequence[str] = (),
    **look: Unpack[Look],
) -> timeseries.Panel:
    """Lines over time, or areas upon each other but for the series named in `apart`; `steps` are drawn as lines.

    The axis reaches from `low` (0) to `high` at least.
    """
    legend = common.VizLegendOptions().show_legend(True).placement(kinds.LegendPlacement.BOTTOM)
    legend = legend.display_mode(kinds.LegendDisplayMode.TABLE).calcs(["lastNotNull", "max"])
    tooltip = common.VizTooltipOptions().mode(kinds.TooltipDisplayMode.MULTI).sort(kinds.SortOrder.DESCENDING)
    panel = timeseries.Panel().legend(legend).tooltip(tooltip).fill_opacity(40 if stacked else 8).line_width(1)
    panel = panel.show_points(kinds.VisibilityMode.AUTO)
    if stepped:
        panel.line_interpolation(kinds.LineInterpolation.STEP_AFTER)
    if stacked:
        panel.stacking(common.StackingConfig().mode(kinds.StackingMode.NORMAL).group("A"))
    if "steps" in look:
        panel.thresholds_style(common.GraphThresholdsStyleConfig().mode(kinds.GraphTresholdsStyleMode.DASHED))
    panel.axis_soft_min(look.pop("low", 0))
    if "high" in look:
        panel.axis_soft_max(look.pop("high"))
    _dress(panel, title, text, look)
    panel.color_scheme(build.FieldColor().mode(model.FieldColorModeId.PALETTE_CLASSIC))
    for series in apart:
        panel.override_by_name(
            series, _properties({"custom.stacking": {"mode": "none", "group": "B"}, "custom.fillOpacity": 0})
        )
    return _ask(panel, queries)


def states(title: str, text: str, *queries: Query | str, **look: Unpack[Look]) -> statetimeline.Panel:
    """A band for each series that shows which value held when, in `words`; without any, only when there was one."""
    shown = kinds.VisibilityMode.AUTO if "words" in look else kinds.VisibilityMode.NEVER
    legend = common.VizLegendOptions().show_legend(False).placement(kinds.LegendPlacement.BOTTOM)
    panel = statetimeline.Panel().legend(legend.display_mode(kinds.LegendDisplayMode.LIST))
    panel = panel.merge_values(True).show_value(shown).row_height(0.85).fill_opacity(80)
    return _ask(_dress(panel, title, text, look), queries)


class Column(NamedTuple):
    """A query's value under a heading; without a heading the query is there for its labels alone."""

    expr: str
    heading: str = ""
    unit: str = "none"
    steps: Steps = ()
    empty: str = "–"


def rows(
    title: str,
    text: str,
    labels: Mapping[str, str],
    *columns: Column,
    most: str = "",
    links: Mapping[str, tuple[str, str]] | None = None,
    coloured: Mapping[str, Words] | None = None,
    **look: Unpack[Look],
) -> table.Panel:
    """A table of what the queries find, one row for each set of labels that they have in common.

    `labels` are shown under their headings, in this order ("" hides one), any others behind them. `most` is the heading
    by which it is sorted, the most first; `links` and `coloured` go by heading.
    """
    panel = _dress(table.Panel().show_header(True).cell_height(kinds.TableCellHeight.SM), title, text, look)
    fields = dict(labels)
    for letter, column in zip("ABCDEFGH", columns, strict=False):
        fields["Value" if len(columns) == 1 else f"Value #{letter}"] = column.heading
        query = prometheus.Dataquery().expr(column.expr).ref_id(letter).datasource(DATASOURCE)
        panel.with_target(query.instant().format(PromQueryFormat.TABLE))
    arranged = {
        "excludeByName": {"Time": True, **{field: True for field, heading in fields.items() if not heading}},
        "indexByName": {field: place for place, field in enumerate(fields)},
        "renameByName": {field: heading for field, heading in fields.items() if heading},
    }
    panel.with_transformation(model.DataTransformerConfig(id_val="merge", options={}))
    panel.with_transformation(model.DataTransformerConfig(id_val="organize", options=arranged))
    for kind in ("string", "number"):
        panel.override_by_field_type(kind, _properties({"noValue": "–"}))
    for column in filter(lambda column: column.heading, columns):
        properties: dict[str, Any] = {"unit": column.unit, "noValue": column.empty}
        if column.steps:
            properties |= {
                "thresholds": _thresholds(column.steps).build(),
                "custom.cellOptions": {"type": "color-text"},
            }
        panel.override_by_name(column.heading, _properties(properties))
    for heading, words in (coloured or {}).items():
        dressed = {"mappings": [_named(words)], "custom.cellOptions": {"type": "color-text"}}
        panel.override_by_name(heading, _properties(dressed))
    for heading, (shown, url) in (links or {}).items():
        panel.override_by_name(heading, _properties({"links": [{"title": shown, "url": url}]}))
    return panel.sort_by([common.TableSortByFieldState().display_name(most).desc(True)] if most else [])


def _last() -> common.ReduceDataOptions:
    return common.ReduceDataOptions().calcs(["lastNotNull"]).fields("").values(False)


def _ask(panel: P, queries: Sequence[Query | str], *, now: bool = False) -> P:
    for letter, query in zip("ABCDEFGH", queries, strict=False):
        expr, legend = (query, "__auto") if isinstance(query, str) else query
        asked = prometheus.Dataquery().expr(expr).legend_format(legend).ref_id(letter).datasource(DATASOURCE)
        panel.with_target(asked.instant() if now else asked.range())
    return panel


def _dress(panel: P, title: str, text: str, look: Look) -> P:
    panel.title(title).description(text).datasource(DATASOURCE).span(look.get("w", 12)).height(look.get("h", 8))
    panel.unit(look.get("unit", "none")).no_value(look.get("empty", "no data")).transparent(False)
    panel.thresholds(_thresholds(look.get("steps", PLAIN)))
    panel.color_scheme(build.FieldColor().mode(model.FieldColorModeId.THRESHOLDS))
    if "low" in look:
        panel.min(look["low"])
    if "high" in look:
        panel.max(look["high"])
    if "decimals" in look:
        panel.decimals(look["decimals"])
    if "words" in look:
        panel.mappings([_named(look["words"])])
    if "every" in look:
        panel.interval(look["every"])
    if "link" in look:
        panel.data_links([build.DashboardLink(look["link"][0]).url(look["link"][1])])
    for names, colour in look.get("colours", {}).items():
        panel.override_by_regexp(names, _properties({"color": {"mode": "shades", "fixedColor": colour}}))
    return panel


def _thresholds(steps: Steps) -> build.ThresholdsConfig:
    return (
        build.ThresholdsConfig().mode(model.ThresholdsMode.ABSOLUTE).steps([model.Threshold(*step) for step in steps])
    )


def _named(words: Words) -> model.ValueMap:
    results = {
        value: model.ValueMappingResult(text=text, color=colour, index=place)
        for place, (value, (text, colour)) in enumerate(words.items())
    }
    return model.ValueMap(options=results)


def _properties(values: Mapping[str, Any]) -> list[model.DynamicConfigValue]:
    return [model.DynamicConfigValue(id_val=name, value=value) for name, value in values.items()]
