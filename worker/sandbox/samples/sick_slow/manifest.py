"""A reranker on a machine that is too small for it."""

feature_extractor_name = "sick_slow"
version = "1.0.0"
description = "Sick on purpose: right, but 600 ms late"
input_schema = {
    "type": "object",
    "properties": {"query": {"type": "string"}, "document": {"type": "string"}},
    "required": ["query", "document"],
}
output_schema = {"type": "object", "properties": {"score": {"type": "number"}}, "required": ["score"]}
