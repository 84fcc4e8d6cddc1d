"""What the dashboards have in common: variables, annotations, links between them, places and ids of their panels."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from grafana_foundation_sdk.builders import dashboard as build
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import dashboard as model

from deploy.grafana.panels import DATASOURCE, Panel

FLEET, PLUGIN, PROBER = "plugin-probe-fleet", "plugin-probe-plugin", "plugin-probe-prober"

_TITLES = {FLEET: "Fleet", PLUGIN: "Plugin", PROBER: "Prober"}
_SAME_SOURCE = "${datasource:queryparam}"

_SOURCE = build.DatasourceVariable("datasource").label("Data source").type("prometheus")
Variable = build.DatasourceVariable | build.QueryVariable | build.TextBoxVariable | build.CustomVariable
Section = tuple[str, Sequence[Panel]]


class _Described(model.AnnotationQuery):
    """With what Prometheus' annotations have besides; the SDK knows what those of all data sources share."""

    shown: Mapping[str, object] = {}

    def to_json(self) -> dict[str, object]:
        return super().to_json() | {"step": "60s", **self.shown}


@dataclass(frozen=True, slots=True, kw_only=True)
class Annotation(Builder[model.AnnotationQuery]):
    """Marks when a query has a value; `{{label}}` in title and text is replaced. Or its values are the times, in ms."""

    name: str
    expr: str
    colour: str
    title: str
    text: str
    value_is_time: bool = False

    def build(self) -> model.AnnotationQuery:
        made = _Described(name=self.name, datasource=DATASOURCE, icon_color=self.colour, expr=self.expr)
        made.shown = {"titleFormat": self.title, "textFormat": self.text, "useValueForTime": self.value_is_time}
        return made


@dataclass(frozen=True, slots=True, kw_only=True)
class Board:
    """A dashboard: sections of panels under a heading. `passes_on` are the variables that its links to a board keep."""

    uid: str
    about: str
    sections: Sequence[Section]
    variables: Sequence[Variable] = ()
    annotations: Sequence[Annotation] = ()
    span: str = "now-6h"
    passes_on: Sequence[tuple[str, str]] = ()

    def text(self) -> str:
        """The JSON that Grafana takes."""
        board = build.Dashboard(f"plugin-probe / {_TITLES[self.uid]}").uid(self.uid).description(self.about)
        board = board.tags(["plugin-probe"]).time(self.span, "now").refresh("1m").editable()
        board = board.tooltip(model.DashboardCursorSync.CROSSHAIR).timezone("browser")
        for variable in (_SOURCE, *self.variables):
            name = variable.build().name
            board.with_variable(variable.id(name))  # Grafana takes them apart by it; the SDK gives all the same
        for annotation in self.annotations:
            board.annotation(annotation)
        for uid in _TITLES:
            if uid != self.uid:
                board.link(self._link(uid))
        number = 0
        for heading, panels in self.sections:
            board.with_row(build.Row(heading).id(number := number + 1))
            for panel in panels:
                board.with_panel(panel.id(number := number + 1))
        return json.dumps(board.build(), cls=JSONEncoder, indent=1, sort_keys=True, ensure_ascii=False) + "\n"

    def _link(self, uid: str) -> build.DashboardLink:
        kept = "".join(f"&${{{variable}:queryparam}}" for to, variable in self.passes_on if to == uid)
        link = build.DashboardLink(_TITLES[uid]).type(model.DashboardLinkType.LINK).icon("dashboard")
        return link.url(f"/d/{uid}?{_SAME_SOURCE}{kept}").keep_time(True)


def begins(selector: str, labels: str) -> str:
    """Only where it was not a step before, to mark a moment and not all that follows it."""
    return f"max by ({labels}) ({selector}) unless max by ({labels}) ({selector} offset $__interval)"


def to_plugin(namespace: str, plugin: str) -> tuple[str, str]:
    """A link from a value to its plugin; what is given are Grafana's names of the two."""
    kept = f"var-namespace=${{{namespace}:percentencode}}&var-plugin=${{{plugin}:percentencode}}"
    return "Look at this plugin", f"/d/{PLUGIN}?{_SAME_SOURCE}&{kept}&${{__url_time_range}}"


def to_namespace(namespace: str) -> tuple[str, str]:
    kept = f"var-namespace=${{{namespace}:percentencode}}"
    return "This namespace alone", f"/d/{FLEET}?{_SAME_SOURCE}&{kept}&${{__url_time_range}}"


def choice(name: str, label: str, query: str, *, several: bool = True) -> build.QueryVariable:
    """One or several values of a label; all of them match series that lack it, too."""
    variable = build.QueryVariable(name).label(label).query(query).datasource(DATASOURCE)
    variable = variable.refresh(model.VariableRefresh.ON_TIME_RANGE_CHANGED)
    variable = variable.sort(model.VariableSort.ALPHABETICAL_ASC)
    if not several:
        return variable
    everything = model.VariableOption(selected=True, text=["All"], value=["$__all"])
    return variable.multi(True).include_all(True).all_value(".*").current(everything)


def window() -> build.CustomVariable:
    """How long a time quantiles are of: a window must hold several probes, whatever their interval."""
    lengths = ("15m", "1h", "6h", "1d")
    options = [model.VariableOption(selected=length == "1h", text=length, value=length) for length in lengths]
    return (
        build.CustomVariable("window")
        .label("Quantiles over")
        .values(",".join(lengths))
        .options(options)
        .current(options[1])
    )
