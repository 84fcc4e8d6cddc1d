"""An embedder that is scaled to zero until somebody calls."""

feature_extractor_name = "sick_cold"
version = "1.0.0"
description = "Sick on purpose: cold at first, fine later"
input_schema = {"type": "object", "properties": {"text": {"type": "string"}}, "required": ["text"]}
features = [
    {
        "feature_type": "embedding",
        "feature_name": "embedding",
        "embedding_dim": 64,
        "distance_metric": "cosine",
    }
]
