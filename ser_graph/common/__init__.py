"""Helpers for all parts of the package: settings, files, stages, devices, processes, colours."""
