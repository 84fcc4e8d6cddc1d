"""An embedder whose model was swapped for a smaller one."""

feature_extractor_name = "sick_wrong_size"
version = "1.0.0"
description = "Sick on purpose: 256 numbers where 384 are declared"
input_schema = {"type": "object", "properties": {"text": {"type": "string"}}, "required": ["text"]}
features = [
    {
        "feature_type": "embedding",
        "feature_name": "embedding",
        "embedding_dim": 384,
        "distance_metric": "cosine",
    }
]
