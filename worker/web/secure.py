"""The headers of every answer, and who may not ask for what has effects."""

from aiohttp import web

#: Nothing on the page loads or sends anything; its only style is inline.
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}


def secure(response: web.StreamResponse) -> None:
    response.headers.update(_HEADERS)
    response.headers.popall("Server", None)


def refused_if_foreign(request: web.Request) -> None:
    """Raises 403 where a browser says that another site's page asks: who only looks at that page has asked for nothing.

    Programs send no such header. https://www.w3.org/TR/fetch-metadata/
    """
    if request.headers.get("Sec-Fetch-Site", "none") not in ("none", "same-origin"):
        raise web.HTTPForbidden(text="a page of another site may not ask for this\n")
