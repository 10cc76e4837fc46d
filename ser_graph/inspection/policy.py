"""The Content-Security-Policy of our pages: a page names the hash of each script or style inside it."""

import base64
import hashlib


def source_hash(text: str) -> str:
    """The hash that lets a browser use one script or style, as the policy writes it.

    Examples:
        >>> source_hash("")
        "'sha256-47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU='"
    """
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
