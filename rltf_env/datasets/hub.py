"""Is the Hugging Face hub within reach? Asked once before a library is, which without a network retries for most of a minute."""

from __future__ import annotations

SECONDS = 5.0  # to wait for an answer


def unreachable() -> str:
    """Why the hub cannot be reached, or "" if it can: one request, through the library's own session (proxies, endpoint).

    Raises:
        ImportError: huggingface_hub is not installed.
    """
    from huggingface_hub import constants
    from huggingface_hub.utils import get_session

    try:
        get_session().head(constants.ENDPOINT, timeout=SECONDS)
    except Exception as error:  # of whichever HTTP library, offline mode too: any answer at all would have done
        return f"{constants.ENDPOINT} does not answer ({type(error).__name__}: {str(error).splitlines()[0]})"
    return ""
