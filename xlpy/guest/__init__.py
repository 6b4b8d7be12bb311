"""Inspecting a domain as its operating system would, without using anything that only the host knows."""
