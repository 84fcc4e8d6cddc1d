"""An embedder that divides by a norm of zero."""

feature_extractor_name = "sick_nan"
version = "1.0.0"
description = "Sick on purpose: a NaN in the embedding"
input_schema = {"type": "object", "properties": {"text": {"type": "string"}}, "required": ["text"]}
features = [
    {
        "feature_type": "embedding",
        "feature_name": "embedding",
        "embedding_dim": 64,
        "distance_metric": "cosine",
    }
]
