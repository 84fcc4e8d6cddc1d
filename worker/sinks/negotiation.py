"""Which of the two text formats a scraper wants."""

PLAIN = "text/plain; version=0.0.4; charset=utf-8"
OPENMETRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8"

#: Versions whose readers can read 1.0.0; no version asks for any.
_VERSIONS = ("", "1.0.0", "0.0.1")
_PLAIN_RANGES = ("text/plain", "text/*", "*/*")


def wants_openmetrics(accept: str | None) -> bool:
    """True when the Accept header names OpenMetrics and weighs it no lower than plain text."""
    openmetrics = plain = 0.0
    for item in (accept or "").lower().split(","):
        kind, *parameters = (part.strip() for part in item.split(";"))
        settings = {name.strip(): value.strip(' "') for name, _, value in (one.partition("=") for one in parameters)}
        weight = _weight(settings.get("q", "1"))
        if kind == "application/openmetrics-text" and settings.get("version", "") in _VERSIONS:
            openmetrics = max(openmetrics, weight)
        elif kind in _PLAIN_RANGES:
            plain = max(plain, weight)
    return openmetrics > 0 and openmetrics >= plain


def _weight(text: str) -> float:
    """Between 0 and 1; what is no number weighs nothing."""
    try:
        weight = float(text)
    except ValueError:
        return 0.0
    return weight if 0 <= weight <= 1 else 0.0


def content_type(*, openmetrics: bool) -> str:
    return OPENMETRICS if openmetrics else PLAIN
