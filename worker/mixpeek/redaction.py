"""An answer without secrets, even where a server echoes them back."""

from worker.core.exchange import Answer, Malformed, NoReply, Refusal, Reply
from worker.mixpeek.credentials import Credentials


def redacted(answer: Answer, credentials: Credentials, *, escaped: bool) -> Answer:
    """`answer` with every secret replaced.

    The bytes that a Reply was parsed from had theirs removed before; only what stood there `escaped` can be left.
    """
    match answer:
        case Reply():
            return _redacted_reply(answer, credentials) if escaped else answer
        case Refusal():
            return answer._replace(
                error=credentials.redact(answer.error),
                error_type=_optional(answer.error_type, credentials),
                error_code=_optional(answer.error_code, credentials),
            )
        case Malformed():
            return answer._replace(found=credentials.redact(answer.found))
        case NoReply():
            return answer._replace(error=credentials.redact(answer.error))


def _redacted_reply(reply: Reply, credentials: Credentials) -> Reply:
    keys = reply.response_keys
    return Reply(
        status=credentials.redact(reply.status),
        inference_name=credentials.redact(reply.inference_name),
        raw_response=credentials.redact_value(reply.raw_response),
        response_type=_optional(reply.response_type, credentials),
        response_keys=None if keys is None else tuple(credentials.redact(key) for key in keys),
        error=_optional(reply.error, credentials),
        message=_optional(reply.message, credentials),
    )


def _optional(text: str | None, credentials: Credentials) -> str | None:
    return None if text is None else credentials.redact(text)
