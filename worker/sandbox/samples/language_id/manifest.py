"""A language identifier on a small neural network."""

from pydantic import BaseModel, Field


class LanguageInput(BaseModel):
    text: str = Field(description="The text to identify", examples=["Bonjour tout le monde"])


class LanguageOutput(BaseModel):
    language: str = Field(description="BCP 47 code")
    probability: float = Field(ge=0.0, le=1.0)


class LanguageParameters(BaseModel):
    min_probability: float = Field(default=0.0, ge=0.0, le=1.0, description="Below it the answer is 'und'")


metadata = {
    "feature_extractor_name": "language_id",
    "version": "1.0.0",
    "description": "Names the language of a text (CLD3)",
    "category": "text",
    "inference_type": "classify",
}

input_schema = LanguageInput
output_schema = LanguageOutput
parameter_schema = LanguageParameters
supported_input_types = ["text"]
