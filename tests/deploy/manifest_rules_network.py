"""Whether those who have to talk to each other can, and nobody else: selectors, ports, policies."""

from collections.abc import Iterator, Sequence
from ipaddress import IPv4Network, IPv6Network, ip_network
from itertools import permutations
from typing import Literal, NamedTuple
from urllib.parse import urlsplit

from tests.deploy.manifest_commands import configured, is_loopback
from tests.deploy.manifests import Object, Objects, Pod, find, named, of_kind, pods, selects

#: What is outside: names, and Mixpeek.
DNS, HTTPS = 53, 443
#: Nobody's business in the internet: clusters, their hosts, and the cloud's metadata.
PRIVATE = [
    ip_network(cidr)
    for cidr in (
        "10.0.0.0/8",
        "100.64.0.0/10",
        "169.254.0.0/16",
        "172.16.0.0/12",
        "192.168.0.0/16",
        "fc00::/7",
        "fe80::/10",
    )
]
#: A pod that Prometheus scrapes has a port of one of these names.
_SCRAPED = ("metrics", "http")
_OF_CLUSTER = (".svc", ".svc.cluster.local")
_DEFAULT_PORTS = {"http": 80, "https": 443}

Network = IPv4Network | IPv6Network
Way = Literal["ingress", "egress"]
_PEERS: dict[Way, str] = {"ingress": "from", "egress": "to"}


class Port(NamedTuple):
    name: str
    number: int
    protocol: str


def ports(pod: Pod) -> list[Port]:
    found = [port for container in pod.containers for port in container.get("ports", [])]
    return [Port(port.get("name", ""), port["containerPort"], port.get("protocol", "TCP")) for port in found]


def fitting(all_ports: Sequence[Port], wanted: str | int, protocol: str = "TCP") -> list[int]:
    """Their numbers: those of this name, or this number."""
    return [port.number for port in all_ports if wanted in (port.name, port.number) and port.protocol == protocol]


# Selectors --------------------------------------------------------------------------------------------------------


def workloads(objects: Objects) -> Iterator[str]:
    for pod in pods(objects):
        if pod.job is None and not selects(pod.owner["spec"]["selector"], pod.labels):
            yield f"{pod.name}: its selector doesn't select its own pods"
        for spread in pod.spec.get("topologySpreadConstraints", []):
            if not selects(spread["labelSelector"], pod.labels):
                yield f"{pod.name}: what spreads its pods counts others: {spread['labelSelector']['matchLabels']}"
    lasting = [pod for pod in pods(objects) if pod.job is None]
    for one, other in permutations(lasting, 2):
        if selects(one.owner["spec"]["selector"], other.labels):
            yield f"{one.name}: its selector selects pods of {other.name} as well"


def services(objects: Objects) -> Iterator[str]:
    for service in of_kind(objects, "Service"):
        chosen = _chosen(objects, service)
        if not chosen:
            yield f"{named(service)}: it selects no pod"
            continue
        for port in service["spec"]["ports"]:
            target = port.get("targetPort", port["port"])
            if not any(fitting(ports(pod), target, port.get("protocol", "TCP")) for pod in chosen):
                yield f"{named(service)}: none of its pods has the port {target}"


def stateful_services(objects: Objects) -> Iterator[str]:
    for pod in pods(objects):
        if pod.owner["kind"] != "StatefulSet":
            continue
        service = find(objects, "Service", pod.owner["spec"].get("serviceName", ""))
        if service is None or service["spec"].get("clusterIP") != "None" or pod not in _chosen(objects, service):
            yield f"{pod.name}: serviceName must name a headless Service of its pods"


def _chosen(objects: Objects, service: Object) -> list[Pod]:
    selector = {"matchLabels": service["spec"].get("selector", {})}
    return [pod for pod in pods(objects) if selector["matchLabels"] and selects(selector, pod.labels)]


# Policies ---------------------------------------------------------------------------------------------------------


def policies(objects: Objects) -> Iterator[str]:
    for policy in of_kind(objects, "NetworkPolicy"):
        name, spec = named(policy), policy["spec"]
        chosen = _selected(objects, spec["podSelector"])
        if not chosen:
            yield f"{name}: it is about no pod"
        for way, peers in _PEERS.items():
            if way in spec and way.capitalize() not in spec.get("policyTypes", []):
                yield f"{name}: its {way} counts for nothing, since policyTypes leave it out"
            for rule in spec.get(way, []):
                yield from _peers(objects, name, rule.get(peers, []))
                yield from _ports(objects, name, way, rule, chosen)


def _selected(objects: Objects, selector: Object) -> list[Pod]:
    return [pod for pod in pods(objects) if selects(selector, pod.labels)]


def _peers(objects: Objects, name: str, peers: Sequence[Object]) -> Iterator[str]:
    for peer in peers:
        if "podSelector" in peer and "namespaceSelector" not in peer and not _selected(objects, peer["podSelector"]):
            yield f"{name}: there is no pod with the labels {peer['podSelector'].get('matchLabels')}"
        if "ipBlock" in peer:
            yield from _block(name, peer["ipBlock"])


def _block(name: str, block: Object) -> Iterator[str]:
    cidr, excepted = ip_network(block["cidr"]), [ip_network(inner) for inner in block.get("except", [])]
    for inner in excepted:
        if not _within(inner, cidr):
            yield f"{name}: except {inner} is refused: it isn't within {cidr}"
    for private in PRIVATE:
        if _within(private, cidr) and not any(_within(private, inner) for inner in excepted):
            yield f"{name}: {cidr} lets its pods reach {private}; except it"


def _within(inner: Network, outer: Network) -> bool:
    return inner.network_address in outer and inner.broadcast_address in outer


def _ports(objects: Objects, name: str, way: Way, rule: Object, chosen: Sequence[Pod]) -> Iterator[str]:
    """Those of whom the connection goes to: our own, a peer's, or what is outside."""
    peers = rule.get(_PEERS[way], [])
    inside = [peer["podSelector"] for peer in peers if "podSelector" in peer]
    called = chosen if way == "ingress" else [pod for selector in inside for pod in _selected(objects, selector)]
    known = [port for pod in called for port in ports(pod)]
    if way == "egress" and not inside:
        known = [Port("", DNS, "UDP"), Port("", DNS, "TCP"), Port("", HTTPS, "TCP")]
    if not rule.get("ports"):
        yield f"{name}: a rule of its {way} leaves all ports open"
    for port in rule.get("ports", []):
        if "endPort" in port:
            yield f"{name}: its {way} opens all ports from {port['port']} to {port['endPort']}"
        if way == "egress" and not peers and port["port"] != DNS:
            yield f"{name}: port {port['port']} is open to everybody, in the cluster and out of it"
        if not fitting(known, port["port"], port.get("protocol", "TCP")):
            yield f"{name}: nobody has the port {port['port']} ({port.get('protocol', 'TCP')}) of its {way}"


def isolation(objects: Objects) -> Iterator[str]:
    """Only a pod that some policy is about is closed at all."""
    for pod in pods(objects):
        for way in _PEERS:
            if not any(_about(policy, pod, way) for policy in of_kind(objects, "NetworkPolicy")):
                yield f"{pod.name}: no NetworkPolicy is about the {way} of its pods, so it is open"


def _about(policy: Object, pod: Pod, way: Way) -> bool:
    return way.capitalize() in policy["spec"]["policyTypes"] and selects(policy["spec"]["podSelector"], pod.labels)


def _rules(objects: Objects, pod: Pod, way: Way) -> list[Object]:
    about = [policy for policy in of_kind(objects, "NetworkPolicy") if _about(policy, pod, way)]
    return [rule for policy in about for rule in policy["spec"].get(way, [])]


def _open(rule: Object, port: int, known: Sequence[Port], protocol: str = "TCP") -> bool:
    """Whether a rule is about this port of those who have these."""
    outside = [*known, Port("", port, protocol)]
    return "ports" not in rule or any(
        port in fitting(outside, one["port"], protocol)
        for one in rule["ports"]
        if one.get("protocol", "TCP") == protocol
    )


# Who calls whom ---------------------------------------------------------------------------------------------------


def scrapes(objects: Objects) -> Iterator[str]:
    """Prometheus is in some other namespace."""
    for pod in pods(objects):
        for port in ports(pod):
            if port.name in _SCRAPED and not any(
                _open(rule, port.number, ports(pod)) and _lets_strangers(rule)
                for rule in _rules(objects, pod, "ingress")
            ):
                yield f"{pod.name}: no NetworkPolicy lets Prometheus in to its port {port.name}"


def _lets_strangers(rule: Object) -> bool:
    return "from" not in rule or any("namespaceSelector" in peer for peer in rule["from"])


def names(objects: Objects) -> Iterator[str]:
    """Without them, a worker calls nobody."""
    for command, _ in configured(objects, "once", "run"):
        for protocol in ("UDP", "TCP"):
            rules = _rules(objects, command.pod, "egress")
            if not any(_open(rule, DNS, [], protocol) for rule in rules):
                yield f"{command.pod.name}: no NetworkPolicy lets its pods ask for names ({protocol} {DNS})"


def calls(objects: Objects) -> Iterator[str]:
    for command, found in configured(objects, "once", "run"):
        outputs = found.settings.outputs
        receivers = [receiver.url for receiver in (outputs.pushgateway, outputs.remote_write) if receiver]
        for url in (found.settings.api.base_url, *receivers):
            yield from _call(objects, command.pod, url)


def _call(objects: Objects, pod: Pod, url: str) -> Iterator[str]:
    parts = urlsplit(url)
    host, number = parts.hostname or "", parts.port or _DEFAULT_PORTS[parts.scheme]
    if is_loopback(host):
        return
    if "." not in host or host.endswith(_OF_CLUSTER):
        yield from _call_service(objects, pod, url, host.partition(".")[0], number)
    elif not any(_open(rule, number, []) and _lets_out(rule) for rule in _rules(objects, pod, "egress")):
        yield f"{pod.name}: it calls {url}, and no NetworkPolicy lets it out to port {number}"


def _lets_out(rule: Object) -> bool:
    return "to" not in rule or any("ipBlock" in peer for peer in rule["to"])


def _call_service(objects: Objects, pod: Pod, url: str, name: str, number: int) -> Iterator[str]:
    service = find(objects, "Service", name)
    offered = [port for port in service["spec"]["ports"] if port["port"] == number] if service else []
    if service is None or not offered:
        yield f"{pod.name}: it calls {url}, and no Service {name} has port {number}"
        return
    target = offered[0].get("targetPort", number)
    for called in _chosen(objects, service):
        for port in fitting(ports(called), target):
            if not _may(objects, pod, called, port, "egress"):
                yield f"{pod.name}: it calls {url}, and no NetworkPolicy lets it out to port {port} of {called.name}"
            if not _may(objects, pod, called, port, "ingress"):
                yield f"{called.name}: {pod.name} calls its port {port}, and no NetworkPolicy lets that in"


def _may(objects: Objects, caller: Pod, called: Pod, port: int, way: Way) -> bool:
    own, other = (called, caller) if way == "ingress" else (caller, called)
    return any(
        _open(rule, port, ports(called)) and _names(rule.get(_PEERS[way]), other) for rule in _rules(objects, own, way)
    )


def _names(peers: Sequence[Object] | None, pod: Pod) -> bool:
    """Whether these are all, or this one is among them; one's own namespace is a namespace, too."""
    return peers is None or any(
        selects(peer.get("podSelector", {}), pod.labels) for peer in peers if "ipBlock" not in peer
    )


RULES = (workloads, services, stateful_services, policies, isolation, scrapes, names, calls)
