"""Clients, servers and the proxy process for the end-to-end tests."""
