"""A text embedder on a small static model."""

feature_extractor_name = "text_embed"
version = "1.0.0"
description = "256-dimensional text embeddings (WordLlama)"
dependencies = ["wordllama"]
tier = 1
tier_label = "SIMPLE"
compute_profile = {"resource_type": "cpu", "batch_size": 64, "max_concurrency": 2}

input_schema = {
    "type": "object",
    "properties": {"text": {"type": "string", "examples": ["hello world"]}},
    "required": ["text"],
}
output_schema = {
    "type": "object",
    "properties": {"embedding": {"type": "array", "items": {"type": "number"}}},
    "required": ["embedding"],
}
features = [
    {
        "feature_type": "embedding",
        "feature_name": "text_embedding",
        "embedding_dim": 256,
        "distance_metric": "cosine",
    }
]
