"""Of one plugin: how long its replies took and what they looked like."""

from deploy.grafana.newest import IT, SHAPE_INFO, newest
from deploy.grafana.panels import GREEN, RED, Query, graph, states

LATENCY = (
    graph(
        "Newest latency, by phase",
        "Phases upon each other: on a reused connection only send, wait and receive. Latency is these three: what a "
        "caller with an open connection waits.",
        Query(newest("plugin_probe_phase_duration_seconds", "phase"), "{{phase}}"),
        Query(newest("plugin_probe_last_duration_seconds"), "latency"),
        stacked=True,
        stepped=True,
        apart=["latency"],
        unit="s",
    ),
    graph(
        "Latency quantiles",
        "Of 2xx replies, and of time-outs at the time given, from the histogram's buckets.",
        *(
            Query(
                f"histogram_quantile({share}, sum by (le) (rate(plugin_probe_duration_seconds_bucket{IT}[$window])))",
                legend,
            )
            for share, legend in ((0.5, "median"), (0.95, "95th percentile"), (0.99, "99th percentile"))
        ),
        unit="s",
        empty="none of its own: with outputs.histograms: namespace they are on Fleet",
    ),
)

SHAPE = (
    states(
        "Shape of replies",
        "A band for each shape (its hash) while replies had it: `plugin-probe shapes show` tells what is pinned.",
        Query(newest(*SHAPE_INFO), "{{shape}} ({{response_type}})"),
        w=8,
        h=6,
        empty="no reply had a shape",
    ),
    states(
        "Fits the pinned shape",
        "Whether the newest reply does.",
        Query(newest("plugin_probe_response_shape_match"), "fits"),
        words={"0": ("no", RED), "1": ("yes", GREEN)},
        w=8,
        h=6,
        empty="no shape is pinned",
    ),
    graph(
        "Changes of shape",
        "How often a reply had another shape than the one before, in the time shown so far.",
        Query(f"sum(increase(plugin_probe_response_shape_changes_total{IT}[$__range]))", "changes"),
        decimals=0,
        w=8,
        h=6,
    ),
    graph(
        "Vector dimensions",
        "Elements of the vector at each path that is configured or pinned.",
        Query(newest("plugin_probe_vector_dimensions", "path"), "{{path}}"),
        stepped=True,
        decimals=0,
        w=8,
        empty="no vector is configured or pinned",
    ),
    graph(
        "Vector norm",
        "Euclidean length of the vector at each path; about 1 where it is normalized.",
        Query(newest("plugin_probe_vector_norm", "path"), "{{path}}"),
        stepped=True,
        w=8,
        empty="no vector is configured or pinned",
    ),
    graph(
        "Cosine to the golden vector",
        "1 is the recorded direction; less than min_cosine is drift.",
        Query(newest("plugin_probe_golden_cosine"), "cosine"),
        stepped=True,
        low=0.9,
        high=1,
        w=8,
        empty="no golden vector was compared",
    ),
    graph(
        "Keys of replies",
        "Top-level keys of the newest reply that was an object.",
        Query(newest("plugin_probe_response_keys"), "keys"),
        stepped=True,
        decimals=0,
        empty="replies are no objects",
    ),
    graph(
        "Size of replies",
        "Of the newest reply's body, once decoded.",
        Query(newest("plugin_probe_response_bytes"), "size"),
        unit="bytes",
        stepped=True,
        empty="no reply came",
    ),
)
