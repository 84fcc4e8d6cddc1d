"""The two files as pydantic models: which keys there are, what each takes, and the JSON Schema for editors."""

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, ConfigDict, Field
from pydantic.json_schema import models_json_schema

from worker.config.fields import (
    ApiPath,
    BaseUrl,
    Cosine,
    Count,
    Dimensions,
    DistinctInputs,
    Duration,
    DurationOrZero,
    EnvName,
    FilePath,
    Flag,
    HeaderText,
    Id,
    Job,
    JsonObject,
    JsonSchema,
    Keys,
    LabelName,
    LabelValue,
    Listen,
    Objective,
    ProxyUrl,
    RateField,
    ReceiverUrl,
    Rechecks,
    Size,
    VectorPath,
    WrittenShape,
    key,
)
from worker.config.units import shown


class Distinct(Keys):
    """Different inputs, whose vectors must be different."""

    inputs: DistinctInputs = Field(description="Inputs that are asked besides the target's own; two at least.")
    every: Duration | None = key("How often they are asked; a batch asks them always.", "1h")


class Vector(Keys):
    """A vector, or a list of vectors, somewhere in raw_response."""

    path: VectorPath = Field(description="Where the vector stands in raw_response.")
    dimensions: Dimensions | None = key("How many numbers it has.")
    normalized: Flag | None = key("Whether its length must be 1.", False)
    distinct: Distinct | None = key("Different inputs, whose vectors must be different.")


class Golden(Keys):
    """A stored vector, recorded by `shapes pin --golden`, that the reply's must point the same way as."""

    path: VectorPath | None = key("Where the vector stands in raw_response.", "embedding")
    file: FilePath = Field(description="Where it is stored, relative to this file; with {namespace} and {plugin}.")
    min_cosine: Cosine | None = key("A smaller cosine is `drift`.", 0.99)


def _one_or_more(value: object) -> object:
    if isinstance(value, dict):
        return [value]
    if isinstance(value, list):
        return value
    raise ValueError(f"must be a mapping like {{path: embedding}}, or a list of these, not {shown(value)}")


OneOrMoreVectors = Annotated[
    list[Vector],
    Field(min_length=1),
    BeforeValidator(_one_or_more, json_schema_input_type=Vector | list[Vector]),
]


class Expect(Keys):
    """What a healthy reply must satisfy; nothing is checked unless given."""

    max_latency: Duration | None = key("A correct reply that takes longer is `slow`.")
    keys: list[str] | None = key("Keys that raw_response must have.")
    vector: OneOrMoreVectors | None = key("One vector, or a list of them.")
    schema_check: JsonSchema | None = Field(
        default=None,
        alias="schema",
        description="JSON Schema of raw_response; remote references are refused.",
    )
    golden: Golden | None = key("A stored vector that the reply's must point the same way as.")
    max_warming: DurationOrZero | None = key("How long a cold start may take before it counts as down.", "5m")


class LatencyObjective(Keys):
    """A share of the time for which replies are to come in time."""

    below: Duration = Field(description="A healthy reply that takes no longer is in time.")
    ratio: Objective = Field(description="The share of the time.")


class Slo(Keys):
    """Service level objectives; burn rates and budgets are rules over them."""

    availability: Objective | None = key("The share of the time for which the plugin is to be up.")
    latency: LatencyObjective | None = key("The share of the time for which replies are to come in time.")


class TargetKeys(Keys):
    """What a target and the defaults have in common."""

    interval: Duration | None = key("Time between two probes; default: schedule.interval.")
    timeout: Duration | None = key("Time for a full reply; default: schedule.timeout.")
    inputs: JsonObject | None = key("Sent as `inputs`.", {})
    parameters: JsonObject | None = key("Sent as `parameters`.", {})
    labels: dict[LabelName, LabelValue] | None = key("Go to plugin_probe_target_info and to the logs.")
    expect: Expect | None = key("What a healthy reply must satisfy.")
    slo: Slo | None = key("Service level objectives; default: none.")
    shape: Literal["strict", "compatible", "off"] | None = key(
        "strict: keys that are not pinned are a mismatch too; off: the pin is not looked at.", "compatible"
    )


class TargetEntry(TargetKeys):
    """A namespace/plugin pair, or one namespace with several plugins."""

    model_config = ConfigDict(json_schema_extra={"oneOf": [{"required": ["plugin"]}, {"required": ["plugins"]}]})

    namespace: Id = Field(description="The namespace's id.")
    plugin: Id | None = key("The plugin's id; or write plugins.")
    plugins: Annotated[list[Id], Field(min_length=1)] | None = key("Several plugins of this namespace.")


class TargetsFile(Keys):
    """A targets file."""

    targets: list[TargetEntry] = Field(min_length=1, description="What is probed.")


class Tls(Keys):
    """Certificates for the API's host."""

    ca_file: FilePath | None = key("Certificate authorities to trust instead of the system's.")
    cert_file: FilePath | None = key("The client's certificate.")
    key_file: FilePath | None = key("The client's key, unless cert_file holds it too.")


class Api(Keys):
    """Where and how plugins are called."""

    base_url: BaseUrl = Field(description="The API's host, with or without /v1.")
    api_key_env: EnvName | None = key("Name of the environment variable that holds the key.", "MIXPEEK_API_KEY")
    api_key_file: FilePath | None = key("A file that holds the key, instead of api_key_env.")
    path: ApiPath | None = key("The path of the call.", "/v1/namespaces/{namespace}/plugins/{plugin}/realtime/test")
    connections: Literal["reuse", "fresh"] | None = key("fresh: a new connection for every probe.", "reuse")
    user_agent: HeaderText | None = key("Sent as User-Agent; default: plugin-probe/VERSION.")
    max_response_bytes: Size | None = key("A larger reply, once decompressed, is refused.", "4MiB")
    allow_http: Flag | None = key("Lets the key go over plain http to other hosts than loopback.", False)
    tls: Tls | None = key("Certificates.")
    proxy: ProxyUrl | None = key("An HTTP proxy.")


class PerNamespace(Keys):
    """Limits of each namespace on its own."""

    rate: RateField | None = key("Calls to one namespace.")
    concurrency: Count | None = key("Calls to one namespace at a time.")


class Limits(Keys):
    """How hard the API may be asked."""

    rate: RateField | None = key("A hard cap over any sliding window.", "1/s")
    concurrency: Count | None = key("Calls at a time.", 2)
    per_namespace: PerNamespace | None = key("Limits of each namespace on its own.")
    max_retry_after: Duration | None = key("The longest pause that a 429 may ask for.", "60s")


class Schedule(Keys):
    """When targets are probed, unless they say otherwise."""

    interval: Duration | None = key("Time between two probes of a target.", "5m")
    timeout: Duration | None = key("Time for a full reply.", "30s")
    deadline: Duration | None = key("Time for a whole batch; default: none.")
    grace: DurationOrZero | None = key("Time for what is in flight when a batch or the worker ends.", "10s")


class Confirm(Keys):
    """Extra calls before a failure counts."""

    rechecks: Rechecks | None = key("How many extra calls.", 0)
    delay: DurationOrZero | None = key("Time before each.", "2s")


class Textfile(Keys):
    """Metrics for node_exporter's textfile collector."""

    path: FilePath = Field(description="The file that is written.")
    required: Flag | None = key("Whether a batch fails when it cannot be written.", True)


class Receiver(Keys):
    """Where metrics are sent to, and who we say that we are."""

    url: ReceiverUrl
    job: Job | None = key("The label `job` of all that is sent.", "plugin_probe")
    timeout: Duration | None = key("Time for all of it.", "20s")
    required: Flag | None = key("Whether a batch fails when it is not taken.", True)
    username: HeaderText | None = key("For basic authentication.")
    password_file: FilePath | None = key("A file that holds the password; read again each time.")
    ca_file: FilePath | None = key("Certificate authorities to trust instead of the system's.")


class Pushgateway(Receiver):
    """The Pushgateway that a batch pushes its metrics to."""

    url: ReceiverUrl = Field(description="Its address, as in http://pushgateway:9091.")


class RemoteWrite(Receiver):
    """The remote-write receiver that a batch sends its metrics to."""

    url: ReceiverUrl = Field(description="Its whole address, as in http://prometheus:9090/api/v1/write.")


class Outputs(Keys):
    """Where results go."""

    listen: Listen | None = key("Where the daemon serves /metrics; host:port, or :port.", "127.0.0.1:9464")
    textfile: Textfile | None = key("Metrics for node_exporter's textfile collector; default: none.")
    pushgateway: Pushgateway | None = key("Where a batch pushes its metrics; default: none.")
    remote_write: RemoteWrite | None = key("Where a batch sends its metrics by remote write; default: none.")
    histograms: Literal["target", "namespace"] | None = key(
        "Whose durations make one histogram; namespace: 14 series fewer for each target.", "target"
    )


class WorkerFile(Keys):
    """worker.yaml."""

    api: Api = Field(description="Where and how plugins are called.")
    limits: Limits | None = key("How hard the API may be asked.")
    schedule: Schedule | None = key("When targets are probed, unless they say otherwise.")
    confirm: Confirm | None = key("Extra calls before a failure counts.")
    defaults: TargetKeys | None = key("Any target key but the ids, for all targets.")
    targets_files: Annotated[list[FilePath], Field(min_length=1)] | None = key(
        "Paths and globs, relative to this file; .yaml, .yml or .json.", ["targets.yaml"]
    )
    shapes_file: FilePath | None = key("Where `shapes pin` keeps shapes, relative to this file.", "shapes.lock.yaml")
    outputs: Outputs | None = key("Where results go.")


class PinEntry(Keys):
    """What is pinned of one plugin, in the shapes file."""

    model_config = ConfigDict(defer_build=True)  # most have none: a start need not pay for it

    shape: WrittenShape = Field(description="The shape of raw_response.")
    vectors: list[VectorPath] | None = key("Vectors in it whose numbers must be sound.")
    samples: int | None = key("From how many replies it was learnt.")


class GoldenFile(Keys):
    """A stored vector."""

    model_config = ConfigDict(defer_build=True)

    vector: Annotated[list[Annotated[float, Field(allow_inf_nan=False)]], Field(min_length=1)]
    namespace: str | None = None
    plugin: str | None = None
    path: str | None = None
    inference_name: str | None = None
    inputs: dict[str, Any] | None = None


def json_schema() -> dict[str, Any]:
    """JSON Schema (2020-12) of either file; `#/$defs/WorkerFile` and `#/$defs/TargetsFile` are the two alone."""
    _, schema = models_json_schema([(WorkerFile, "validation"), (TargetsFile, "validation")])
    # pydantic describes the class too, though nothing refers to it: RateField says how a rate is written.
    schema["$defs"].pop("Rate", None)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "plugin-probe: worker.yaml or a targets file",
        "anyOf": [{"$ref": "#/$defs/WorkerFile"}, {"$ref": "#/$defs/TargetsFile"}],
        "$defs": schema["$defs"],
    }
