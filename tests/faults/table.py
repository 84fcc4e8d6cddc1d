"""Every fault that has a test over a real socket, with the one outcome that it must get."""

from tests.faults import bodies, connection, contract, encodings, heads, retry_after, statuses
from tests.faults.fault import Fault

#: By group, in the order in which a call may meet them.
TABLE: dict[str, tuple[Fault, ...]] = {
    "Names, connections and TLS": connection.FAULTS,
    "The network in between": connection.PROXIED,
    "The head of the reply, and kept connections": heads.FAULTS,
    "The body on the wire": bodies.WIRE,
    "Content encodings": encodings.FAULTS,
    "Statuses, redirects and refusals": statuses.FAULTS,
    "Retry-After": retry_after.FAULTS,
    "The body as text": bodies.TEXT,
    "The documented reply": contract.FAULTS,
}
FAULTS: dict[str, Fault] = {fault.name: fault for group in TABLE.values() for fault in group}
