"""Faults of names, connections and TLS: each at an address of its own, listeners.py or proxy.py."""

from tests.faults.fault import Fault
from worker.core.exchange import Phase
from worker.core.outcome import Outcome

FAULTS = (
    Fault(
        name="name_unknown",
        does="DNS knows no such name",
        outcome=Outcome.DNS_FAILURE,
        died_in=Phase.DNS,
        words="cannot resolve nowhere.example",
    ),
    Fault(
        name="name_servers_silent",
        does="DNS does not answer",
        outcome=Outcome.DNS_FAILURE,
        died_in=Phase.DNS,
        takes="time-out",
    ),
    Fault(name="first_addresses_dead", does="of four addresses only the last answers", outcome=Outcome.SUCCESS),
    Fault(
        name="refused",
        does="nobody listens",
        outcome=Outcome.CONNECT_FAILURE,
        died_in=Phase.CONNECT,
        words="connection refused",
    ),
    Fault(
        name="syn_black_hole",
        does="no answer to a SYN",
        outcome=Outcome.CONNECT_FAILURE,
        died_in=Phase.CONNECT,
        takes="time-out",
    ),
    Fault(
        name="ipv6_black_hole",
        does="an IPv6 address that leads nowhere",
        outcome=Outcome.CONNECT_FAILURE,
        died_in=Phase.CONNECT,
        takes="time-out",
    ),
    Fault(name="reset_on_accept", does="resets what it has accepted", outcome=Outcome.DISCONNECTED),
    Fault(name="closed_on_accept", does="closes what it has accepted", outcome=Outcome.DISCONNECTED),
    Fault(
        name="tls_unknown_authority",
        does="a certificate that signed itself",
        outcome=Outcome.TLS_FAILURE,
        died_in=Phase.TLS,
        words="certificate not accepted",
    ),
    Fault(
        name="tls_expired",
        does="a certificate that has expired",
        outcome=Outcome.TLS_FAILURE,
        died_in=Phase.TLS,
        words="certificate has expired",
    ),
    Fault(
        name="tls_wrong_host",
        does="another host's certificate",
        outcome=Outcome.TLS_FAILURE,
        died_in=Phase.TLS,
        words="certificate not accepted",
    ),
    Fault(name="tls_too_old", does="TLS 1.1 and nothing newer", outcome=Outcome.TLS_FAILURE, died_in=Phase.TLS),
    Fault(
        name="tls_plain_http", does="plain HTTP where TLS is expected", outcome=Outcome.TLS_FAILURE, died_in=Phase.TLS
    ),
    Fault(
        name="tls_hangs",
        does="takes the ClientHello and says no more",
        outcome=Outcome.TLS_FAILURE,
        died_in=Phase.TLS,
        takes="time-out",
        words="the TLS handshake did not end",
    ),
    Fault(name="tls_closed", does="closes during the handshake", outcome=Outcome.TLS_FAILURE, died_in=Phase.TLS),
    Fault(name="tls_slow", does="a slow handshake", outcome=Outcome.SUCCESS),
    Fault(name="http_meets_tls", does="TLS where plain HTTP is expected", outcome=Outcome.DISCONNECTED),
)

PROXIED = (
    Fault(name="proxy_delays", does="every byte comes 0.2 s late", outcome=Outcome.SUCCESS),
    Fault(
        name="proxy_delays_more",
        does="every byte comes later than the time-out",
        outcome=Outcome.TIMEOUT,
        died_in=Phase.WAIT,
        takes="time-out",
    ),
    Fault(
        name="proxy_drops",
        does="takes everything, passes nothing on",
        outcome=Outcome.TIMEOUT,
        died_in=Phase.WAIT,
        takes="time-out",
    ),
    Fault(name="proxy_resets", does="resets when the request comes", outcome=Outcome.DISCONNECTED, died_in=Phase.WAIT),
    Fault(
        name="proxy_cuts_head",
        does="closes after 20 bytes of the reply",
        outcome=Outcome.DISCONNECTED,
        died_in=Phase.WAIT,
    ),
    Fault(
        name="proxy_cuts_body",
        does="closes 10 bytes before the reply's end",
        outcome=Outcome.DISCONNECTED,
        died_in=Phase.RECEIVE,
    ),
    Fault(
        name="proxy_resets_body",
        does="resets 10 bytes before the reply's end",
        outcome=Outcome.DISCONNECTED,
        died_in=Phase.RECEIVE,
    ),
    Fault(
        name="proxy_swallows_end",
        does="a black hole 10 bytes before the reply's end",
        outcome=Outcome.TIMEOUT,
        died_in=Phase.RECEIVE,
        takes="time-out",
    ),
    Fault(name="proxy_starts_slowly", does="1 byte, then 2, 4, 8 and so on", outcome=Outcome.SUCCESS),
    Fault(
        name="proxy_drips",
        does="a byte at a time, too few of them in time",
        outcome=Outcome.TIMEOUT,
        died_in=Phase.WAIT,
        takes="time-out",
    ),
)
