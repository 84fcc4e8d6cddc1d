"""A plugin that was deployed for batches only."""

feature_extractor_name = "sick_not_deployed"
version = "1.0.0"
description = "Sick on purpose: no realtime endpoint"
input_schema = {"type": "object", "properties": {"text": {"type": "string"}}, "required": ["text"]}
output_schema = {"type": "object", "properties": {"label": {"type": "string"}}, "required": ["label"]}
