"""A summarizer whose model file is damaged."""

feature_extractor_name = "sick_raising"
version = "1.0.0"
description = "Sick on purpose: raises on every call"
input_schema = {"type": "object", "properties": {"text": {"type": "string"}}, "required": ["text"]}
output_schema = {"type": "object", "properties": {"summary": {"type": "string"}}, "required": ["summary"]}
