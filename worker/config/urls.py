"""The addresses in worker.yaml: the API's, a proxy's, and the one the daemon listens on."""

import ipaddress
import re
from urllib.parse import SplitResult, unquote, urlsplit

_HOST = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_.-]*[A-Za-z0-9_.])?|[0-9A-Fa-f:.]+")
_BRACES = re.compile(r"\{([^{}]*)\}")
_LISTEN = re.compile(r"(?:\[(?P<v6>[0-9A-Fa-f:.]+)\]|(?P<host>[^\[\]:/@\s]*)):(?P<port>[0-9]{1,5})", re.ASCII)

# None of these messages quotes the address: a key may have been written into it.


def base_url(value: object) -> str:
    """Without a slash or /v1 at its end. Raises ValueError."""
    url = _plain_url(value, "https://mixpeek.example.com", "secrets never stand in this file")
    return url.removesuffix("/v1").rstrip("/")


def receiver_url(value: object) -> str:
    """Where metrics are sent: without a slash at its end. Raises ValueError."""
    return _plain_url(value, "http://pushgateway:9091", "write username and password_file instead")


def _plain_url(value: object, example: str, remedy: str) -> str:
    parts = _split(value, example)
    if "@" in parts.netloc:
        raise ValueError(f"holds a user or password; {remedy}")
    if parts.query or parts.fragment or "?" in str(value) or "#" in str(value):
        raise ValueError("takes neither a query nor a fragment; write it up to the path")
    return f"{parts.scheme}://{parts.netloc}{parts.path}".rstrip("/")


def proxy_url(value: object) -> str:
    """`http://[user:password@]host:port`. Raises ValueError."""
    parts = _split(value, "http://proxy.example.com:3128")
    if parts.path.strip("/") or parts.query or parts.fragment:
        raise ValueError("a proxy has no path; write it like http://proxy.example.com:3128")
    user, password = unquote(parts.username or ""), unquote(parts.password or "")
    if ":" in user or any(ord(character) > 0xFF for character in user + password):
        raise ValueError(
            "its user holds a colon, or user or password a character beyond Latin-1: no proxy can be told so"
        )
    return f"{parts.scheme}://{parts.netloc}"


def _split(value: object, example: str) -> SplitResult:
    if not isinstance(value, str) or not value.isascii() or not value.isprintable() or " " in value:
        raise ValueError(f"is no URL; write it like {example}")
    try:
        parts = urlsplit(value)
        host, port = parts.hostname, parts.port
    except ValueError:
        raise ValueError(f"is no URL; write it like {example}") from None
    if parts.scheme not in ("http", "https"):
        raise ValueError(f"begins with neither http:// nor https://; write it like {example}")
    if not host or not _HOST.fullmatch(host) or port == 0:
        raise ValueError(f"names no host; write it like {example}")
    return parts


def without_userinfo(url: str) -> str:
    """The same URL with user and password masked, fit to be shown."""
    scheme, rest = url.split("://", 1)
    userinfo, at, host = rest.rpartition("@")
    return f"{scheme}://***@{host}" if at and userinfo else url


def needs_allow_http(url: str) -> bool:
    """Whether the key would go in the clear to another machine."""
    parts = urlsplit(url)
    return parts.scheme == "http" and not _is_loopback(parts.hostname or "")


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def api_path(value: object) -> str:
    """The path of the call, with {namespace} and {plugin} in it. Raises ValueError."""
    if not isinstance(value, str) or not value.startswith("/") or not value.isascii() or not value.isprintable():
        raise ValueError("is no path; it begins with / and names {namespace} and {plugin}")
    if " " in value or "?" in value or "#" in value:
        raise ValueError("takes no space, query or fragment")
    names = _BRACES.findall(value)
    if sorted(names) != ["namespace", "plugin"] or re.search(r"[{}]", _BRACES.sub("", value)):
        raise ValueError("must contain {namespace} and {plugin}, each once, and nothing else in braces")
    return value


def listen_address(value: object) -> tuple[str, int]:
    """Host and port; the host is empty for all interfaces. Raises ValueError."""
    match = _LISTEN.fullmatch(value) if isinstance(value, str) else None
    if match is None or int(match["port"]) > 65535:
        raise ValueError("is no address; write host:port, like 127.0.0.1:9464, [::1]:9464 or :9464 (all interfaces)")
    if match["v6"]:
        _check_ipv6(match["v6"])
    return match["v6"] or match["host"], int(match["port"])


def _check_ipv6(host: str) -> None:
    try:
        ipaddress.IPv6Address(host)
    except ValueError:
        raise ValueError("is no address: what stands in [ ] is no IPv6 address") from None


def listen_text(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
