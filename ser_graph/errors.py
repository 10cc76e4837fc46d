"""The errors of the library; `ser_graph_runtime` defines them, so that the device raises the same ones."""

from ser_graph_runtime.errors import (
    InputError as InputError,
    bad_value as bad_value,
    one_line as one_line,
    shorten as shorten,
    shown as shown,
    visible as visible,
)
