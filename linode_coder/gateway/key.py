"""The gateway's own key, which clients keep: made once, in a file that only its owner reads."""

from __future__ import annotations

import hmac
import secrets
from pathlib import Path

from ansible_collections.linode_coder.gpu.plugins.module_utils.core.atomic_file import replace_file
from ansible_collections.linode_coder.gpu.plugins.module_utils.core.failure import Failure

from .wakes import gateway_dir


def key_file() -> Path:
    return gateway_dir() / "api_key"


def gateway_key() -> str:
    """The key; made when there is none. Failure(config) where it cannot be kept, or is damaged."""
    path = key_file()
    try:
        key = path.read_text(encoding="ascii").strip()
        path.chmod(0o600)
    except FileNotFoundError:
        key = "lc-" + secrets.token_urlsafe(32)
        try:
            replace_file(path, key + "\n", parents=True)
        except OSError as error:
            raise _unusable(path, error.strerror) from error
    except (OSError, ValueError) as error:
        raise _unusable(path, getattr(error, "strerror", None) or "it is no text") from error
    if len(key) < 20:
        raise _unusable(path, "it is too short for a key")
    return key


def _unusable(path: Path, why: str | None) -> Failure:
    return Failure(
        "config",
        f"The gateway's key cannot be kept in {path}.",
        cause=why,
        remedy=f"Make room there, or have a new one made: rm {path}",
    )


def fits(key: str, authorization: str | None, x_api_key: str | None) -> bool:
    """Whether a request has the key, in either of the two ways; in a time that does not tell how much of it is right."""
    scheme, _space, bearer = (authorization or "").partition(" ")
    given = [bearer.strip()] if scheme.lower() == "bearer" else []
    given += [x_api_key.strip()] if x_api_key else []
    # Every one is compared: which of them is right makes no difference in time either.
    right = [hmac.compare_digest(one.encode("utf-8", "surrogateescape"), key.encode()) for one in given]
    return any(right)
