"""The kinds of values in both files: how each is checked, and how the JSON Schema for editors describes it."""

import re
import unicodedata
from functools import lru_cache
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PlainValidator, WithJsonSchema

from worker.config.json_check import CompiledSchema, compiled
from worker.config.units import (
    DURATION_PATTERN,
    PERCENT_PATTERN,
    RATE_PATTERN,
    SIZE_PATTERN,
    duration_s,
    objective,
    rate,
    shown,
    size_bytes,
)
from worker.config.urls import api_path, base_url, listen_address, proxy_url, receiver_url
from worker.config.values import MAX_DEPTH, deeper_than
from worker.core.notation import parse
from worker.core.shape import Shape
from worker.settings import Rate

MAX_ID_LENGTH = 256

_VECTOR_PATH_PATTERN = r"^([^.\[\]\s]+|\[[0-9]{1,9}\])(\.[^.\[\]\s]+|\[[0-9]{1,9}\])*$"
_VECTOR_PATH = re.compile(_VECTOR_PATH_PATTERN)
_LABEL_NAME = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")
# Labels of our own series and alerts, and those that Prometheus gives to a target, on Kubernetes too (the rules drop
# these), or to a histogram's buckets.
_TAKEN_LABELS = frozenset({
    "mixpeek_namespace", "plugin", "namespace", "job", "instance", "outcome", "fault", "phase", "path", "shape",
    "response_type", "slo", "shard", "le", "quantile",
    "pod", "container", "endpoint", "service", "node", "prometheus", "alertname", "severity", "scope",
})  # fmt: skip


class Keys(BaseModel):
    """A mapping in which every key is known. None, which is also what an empty value reads as, means the default."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, protected_namespaces=())


def key(description: str, default: Any = None, **schema: Any) -> Any:
    """An optional key; `default` is only told to editors, the real one is in worker.settings."""
    extra: dict[str, Any] = {"default": default, **schema} if default is not None else dict(schema)
    return Field(default=None, description=description, json_schema_extra=extra)


def _zero_or_more(value: object) -> float:
    return duration_s(value, zero=True)


def checked_id(value: object) -> str:
    """A namespace or plugin id. ValueError says what is wrong with it."""
    if not isinstance(value, str):
        if isinstance(value, (int, float)):
            raise ValueError("an id is text; put it in quotes as it is written")
        raise ValueError(f"an id is text, not {shown(value)}")
    if not value.isprintable() and any(unicodedata.category(character) in ("Cc", "Cs") for character in value):
        raise ValueError("an id holds no control characters")
    if not value or value != value.strip():
        raise ValueError("an id is not empty and has no space at its ends")
    if len(value) > MAX_ID_LENGTH:
        raise ValueError(f"an id has at most {MAX_ID_LENGTH} characters, this one has {len(value)}")
    if value in (".", ".."):
        raise ValueError(f"'{value}' would vanish from the URL, so it is no id")
    return value


def _label_name(value: object) -> str:
    if not isinstance(value, str) or not _LABEL_NAME.fullmatch(value):
        raise ValueError("a label's name is made of letters, digits and _, and begins with no digit")
    if value.startswith("__"):
        raise ValueError("names that begin with __ belong to Prometheus; choose another")
    if value in _TAKEN_LABELS:
        raise ValueError(f"the label {value} is taken by our own series or by Prometheus; choose another")
    return value


def _label_value(value: object) -> str | None:
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, (bool, int, float)):
        raise ValueError("a label's value is text; put it in quotes as it is written")
    raise ValueError(f"a label's value is text, not {shown(value)}")


def _json_object(value: object) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ValueError(f"must be a mapping, not {shown(value)}")
    if deeper_than(value, MAX_DEPTH):
        raise ValueError(f"nested more than {MAX_DEPTH} deep")
    return value


def _distinct_inputs(value: object) -> list[dict[str, Any]]:
    if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
        raise ValueError(f"must be a list of mappings like [{{text: one}}, {{text: another}}], not {shown(value)}")
    if len(value) < 2:
        raise ValueError("takes two different inputs at least, whose vectors are compared")
    twice = next((index for index, item in enumerate(value) if item in value[:index]), None)
    if twice is not None:
        raise ValueError(f"[{twice}] is the same as one before it; distinct inputs are different")
    return [_json_object(item) for item in value]


def _schema(value: object) -> CompiledSchema:
    if not isinstance(value, dict):
        raise ValueError(f"a JSON Schema is a mapping, not {shown(value)}")
    return compiled(_json_object(value))


def _vector_path(value: object) -> str:
    if not isinstance(value, str) or not _VECTOR_PATH.fullmatch(value):
        raise ValueError(f"{shown(value)} is no path; write it like embedding or result.items[0].vector")
    return value


def _written_shape(value: object) -> Shape:
    if not isinstance(value, str):
        quoting = "; quote it" if isinstance(value, (dict, list)) else ""
        raise ValueError(f"a shape is text such as '{{embedding: number[384]}}', not {shown(value)}{quoting}")
    return _parsed(value)


# Most plugins of a fleet answer in a handful of shapes.
_parsed = lru_cache(maxsize=4096)(parse)


def _header_text(value: object) -> str:
    if not isinstance(value, str) or not value.strip() or not value.isascii() or not value.isprintable():
        raise ValueError("goes into a header: printable ASCII text, not empty")
    return value.strip()


def _job(value: object) -> str:
    if not isinstance(value, str) or not value.strip() or not value.isprintable() or len(value) > MAX_ID_LENGTH:
        raise ValueError(f"must be a name like plugin_probe, not {shown(value) if value != '' else 'empty'}")
    return value.strip()


def _env_name(value: object) -> str:
    # Not quoted in the message: the key itself may have been written here.
    if not isinstance(value, str) or not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", value, re.ASCII):
        raise ValueError("must be the name of an environment variable, like MIXPEEK_API_KEY")
    return value


def _file_path(value: object) -> str:
    if not isinstance(value, str) or not value or "\0" in value:
        raise ValueError(f"must be a path, not {shown(value) if value != '' else 'empty'}")
    return value


# ${VAR} gives text, so these two accept a number or a yes/no that came that way.
def _number_of_text(value: object) -> object:
    if isinstance(value, str) and re.fullmatch(r"[0-9]{1,9}", value, re.ASCII):
        return int(value)
    return value


def _flag_of_text(value: object) -> object:
    return {"true": True, "false": False}.get(value, value) if isinstance(value, str) else value


def _described(pattern: str, description: str, examples: list[Any], *, number: str | None = None) -> WithJsonSchema:
    # ${VAR} may stand for any text of worker.yaml; an editor cannot know what it becomes.
    text: dict[str, Any] = {"type": "string", "pattern": rf"{pattern}|\$\{{"}
    either = {"anyOf": [text, {"type": number, "minimum": 0}]} if number else text
    return WithJsonSchema({**either, "description": description, "examples": examples})


Duration = Annotated[
    float,
    PlainValidator(duration_s),
    _described(DURATION_PATTERN, "250ms, 30s, 5m, 1h, 30d or seconds", ["250ms", "30s", "5m"], number="number"),
]
DurationOrZero = Annotated[
    float,
    PlainValidator(_zero_or_more),
    _described(DURATION_PATTERN, "250ms, 30s, 5m, 1h, 30d or seconds; 0 too", ["0s", "2s", "5m"], number="number"),
]
Size = Annotated[
    int,
    PlainValidator(size_bytes),
    _described(SIZE_PATTERN, "bytes, KiB or MiB", [1048576, "512KiB", "4MiB"], number="integer"),
]
RateField = Annotated[
    Rate,
    PlainValidator(rate, json_schema_input_type=str),
    _described(RATE_PATTERN, "calls per s, m or h", ["5/s", "30/m", "1000/h"]),
]
Objective = Annotated[
    float,
    PlainValidator(objective),
    _described(PERCENT_PATTERN, "more than 0% and less than 100%", ["99.5%", 0.995], number="number"),
]
Flag = Annotated[bool, BeforeValidator(_flag_of_text), WithJsonSchema({"type": "boolean"})]
Count = Annotated[int, BeforeValidator(_number_of_text), Field(ge=1, le=10_000)]
Rechecks = Annotated[int, BeforeValidator(_number_of_text), Field(ge=0, le=10)]
Dimensions = Annotated[int, Field(ge=1, le=1_000_000)]
Id = Annotated[
    str,
    PlainValidator(checked_id),
    WithJsonSchema({"type": "string", "minLength": 1, "maxLength": MAX_ID_LENGTH, "examples": ["text_embed_1_0_0"]}),
]
LabelName = Annotated[str, PlainValidator(_label_name), WithJsonSchema({"type": "string"})]
LabelValue = Annotated[str | None, PlainValidator(_label_value), WithJsonSchema({"type": "string"})]
JsonObject = Annotated[dict[str, Any], PlainValidator(_json_object), WithJsonSchema({"type": "object"})]
JsonSchema = Annotated[
    CompiledSchema, PlainValidator(_schema), WithJsonSchema({"type": "object", "examples": [{"type": "object"}]})
]
DistinctInputs = Annotated[
    list[dict[str, Any]],
    PlainValidator(_distinct_inputs),
    WithJsonSchema({"type": "array", "items": {"type": "object"}, "minItems": 2, "uniqueItems": True}),
]
Cosine = Annotated[float, Field(gt=-1, le=1, allow_inf_nan=False)]
VectorPath = Annotated[
    str,
    PlainValidator(_vector_path),
    _described(_VECTOR_PATH_PATTERN, "dotted keys with [i] indexes", ["embedding", "result.items[0].vector"]),
]
WrittenShape = Annotated[Shape, PlainValidator(_written_shape), WithJsonSchema({"type": "string"})]
FilePath = Annotated[str, PlainValidator(_file_path), WithJsonSchema({"type": "string", "minLength": 1})]
EnvName = Annotated[
    str, PlainValidator(_env_name), WithJsonSchema({"type": "string", "pattern": r"^[A-Za-z_]\w*$|\$\{"})
]
HeaderText = Annotated[str, PlainValidator(_header_text), WithJsonSchema({"type": "string", "minLength": 1})]
BaseUrl = Annotated[
    str,
    PlainValidator(base_url),
    _described(r"^https?://", "http or https", ["https://mixpeek.example.com"]),
]
ProxyUrl = Annotated[
    str,
    PlainValidator(proxy_url),
    _described(r"^https?://", "http or https", ["http://proxy.example.com:3128"]),
]
ReceiverUrl = Annotated[
    str,
    PlainValidator(receiver_url),
    _described(r"^https?://", "http or https", ["http://pushgateway:9091"]),
]
Job = Annotated[str, PlainValidator(_job), WithJsonSchema({"type": "string", "minLength": 1})]
ApiPath = Annotated[
    str, PlainValidator(api_path), _described(r"^/", "with {namespace} and {plugin}", ["/v1/{namespace}/{plugin}"])
]
Listen = Annotated[
    tuple[str, int],
    PlainValidator(listen_address),
    _described(r":[0-9]+$", "host:port; :port for all interfaces", ["127.0.0.1:9464", ":9464", "[::1]:9464"]),
]
