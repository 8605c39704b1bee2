"""The benchmark harness: the same work through several proxies in one run, and what it costs each of them."""
