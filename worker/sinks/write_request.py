"""Remote write 1.0's message: prometheus.WriteRequest, compressed as Snappy blocks are.

Importing this takes cramjam and protobuf, which are an extra.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import cramjam
from google.protobuf.descriptor_pb2 import FieldDescriptorProto, FileDescriptorProto
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass

from worker.sinks.reading import Sample

#: So many series make a message: about 350 kB, and 25 kB compressed. Receivers take tens of MB.
MOST_SERIES = 2000

_REPEATED = FieldDescriptorProto.LABEL_REPEATED
# prompb/remote.proto and prompb/types.proto, as far as it goes here: each field's name, number and type. Fields that
# hold messages are repeated.
_MESSAGES: Mapping[str, tuple[tuple[str, int, int | str], ...]] = {
    "Label": (("name", 1, FieldDescriptorProto.TYPE_STRING), ("value", 2, FieldDescriptorProto.TYPE_STRING)),
    "Sample": (("value", 1, FieldDescriptorProto.TYPE_DOUBLE), ("timestamp", 2, FieldDescriptorProto.TYPE_INT64)),
    "TimeSeries": (("labels", 1, "Label"), ("samples", 2, "Sample")),
    "WriteRequest": (("timeseries", 1, "TimeSeries"),),
}


class WriteRequest(NamedTuple):
    """A message as it is sent, and how many series it holds."""

    body: bytes
    series: int


def write_requests(samples: Iterable[Sample], *, at: float, labels: Mapping[str, str]) -> Iterator[WriteRequest]:
    """The samples in order, each a series of its own, all of one instant (Unix seconds). `labels` win over a sample's.

    The next message is made when it is asked for.
    """
    timestamp = round(at * 1000)
    message = _Message()
    for name, own, value in samples:
        series = message.timeseries.add()
        add = series.labels.add
        for label, text in sorted({**own, **labels, "__name__": name}.items()):
            if text:  # an empty label is none, and receivers refuse it
                add(name=label, value=text)
        series.samples.add(value=value, timestamp=timestamp)
        if len(message.timeseries) == MOST_SERIES:
            yield _packed(message)
            message = _Message()
    if message.timeseries:
        yield _packed(message)


def _packed(message: Any) -> WriteRequest:
    body = bytes(cramjam.snappy.compress_raw(message.SerializeToString()))
    return WriteRequest(body, len(message.timeseries))


def _message_class() -> Any:
    """Described here, in a pool of its own: no generated code, and no quarrel with another description."""
    file = FileDescriptorProto(name="remote_write.proto", package="prometheus", syntax="proto3")
    for message, fields in _MESSAGES.items():
        described = file.message_type.add(name=message)
        for name, number, kind in fields:
            if isinstance(kind, str):
                described.field.add(name=name, number=number, type_name=f".prometheus.{kind}", label=_REPEATED)
            else:
                described.field.add(name=name, number=number, type=FieldDescriptorProto.Type.ValueType(kind))
    pool = DescriptorPool()
    pool.Add(file)
    return GetMessageClass(pool.FindMessageTypeByName("prometheus.WriteRequest"))


_Message = _message_class()
