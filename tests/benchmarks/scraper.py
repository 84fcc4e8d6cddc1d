"""A scraper: asked on stdin for `URL CODING`, it scrapes, and says in JSON how many bytes came in how many seconds."""

import http.client
import sys
import time
from urllib.parse import urlsplit

from tests.benchmarks.children import say


def main() -> None:
    for line in sys.stdin:
        url, coding = line.split()
        parts = urlsplit(url)
        began = time.perf_counter()
        connection = http.client.HTTPConnection(parts.netloc, timeout=120)
        connection.request("GET", parts.path, headers={"Accept-Encoding": coding})
        reply = connection.getresponse()
        size = 0
        while piece := reply.read(1 << 20):
            size += len(piece)
        connection.close()
        assert reply.status == 200
        say({"seconds": time.perf_counter() - began, "bytes": size})


if __name__ == "__main__":
    main()
