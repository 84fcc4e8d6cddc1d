"""Configurations that are valid, to begin with."""

from typing import Any

from hypothesis import strategies as st

durations = st.one_of(
    st.integers(1, 999).map(lambda count: f"{count}ms"),
    st.integers(1, 59).map(lambda count: f"{count}s"),
    st.sampled_from(["1.5m", "5m", "1h", "30d", 45, 0.25]),
)
_rates = st.builds("{}/{}".format, st.integers(1, 1000), st.sampled_from("smh"))
_texts = st.text(st.characters(codec="utf-8", exclude_categories=("C", "Z")), max_size=12).filter(
    lambda s: "$" not in s
)
_json = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**9), 10**9)
    | st.floats(allow_nan=False, allow_infinity=False)
    | _texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_texts, inner, max_size=3),
    max_leaves=6,
)
_names = st.from_regex(r"[a-z][a-z0-9_]{0,8}", fullmatch=True)
_label_names = st.from_regex(r"my_[a-z0-9_]{0,8}", fullmatch=True)  # none that is taken


def _some(**optional: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries({}, optional=optional)


_expectations = _some(
    max_latency=durations,
    keys=st.lists(_names, max_size=3, unique=True),
    vector=st.fixed_dictionaries(
        {"path": st.sampled_from(["embedding", "a.b[0]", "[0]"])},
        optional={"dimensions": st.integers(1, 4096), "normalized": st.booleans()},
    ),
    schema=st.sampled_from([{"type": "object"}, {"required": ["a"], "properties": {"a": {"type": "array"}}}]),
    max_warming=durations,
)
_probing: dict[str, st.SearchStrategy[Any]] = {
    "inputs": st.dictionaries(_texts, _json, max_size=3),
    "parameters": st.dictionaries(_texts, _json, max_size=2),
    "labels": st.dictionaries(_label_names, _texts, max_size=3),
    "expect": _expectations,
    "slo": _some(availability=st.sampled_from(["99.5%", 0.9, "99.95 %"])),
    "shape": st.sampled_from(["compatible", "strict", "off"]),
}
workers: st.SearchStrategy[dict[str, Any]] = st.fixed_dictionaries(
    {
        "api": st.fixed_dictionaries(
            {"base_url": st.sampled_from(["https://mixpeek.example.com", "https://h:8443/v1", "http://127.0.0.1:9/"])},
            optional={
                "connections": st.sampled_from(["reuse", "fresh"]),
                "max_response_bytes": st.sampled_from(["512KiB", "4MiB", 1000]),
                "user_agent": st.just("mine/1.0"),
            },
        )
    },
    optional={
        "limits": _some(
            rate=_rates,
            concurrency=st.integers(1, 100),
            per_namespace=_some(rate=_rates, concurrency=st.integers(1, 10)),
            max_retry_after=durations,
        ),
        "schedule": _some(interval=durations, timeout=durations, deadline=durations, grace=durations),
        "confirm": _some(rechecks=st.integers(0, 3), delay=durations),
        "defaults": _some(**_probing),
        "outputs": _some(listen=st.sampled_from(["127.0.0.1:9464", ":9464", "[::1]:1"])),
    },
)
_entries = st.fixed_dictionaries(
    {"namespace": _names, "plugin": _names}, optional={**_probing, "interval": durations, "timeout": durations}
)
targets: st.SearchStrategy[dict[str, Any]] = st.fixed_dictionaries(
    {
        "targets": st.lists(
            _entries, min_size=1, max_size=4, unique_by=lambda entry: (entry["namespace"], entry["plugin"])
        )
    }
)
