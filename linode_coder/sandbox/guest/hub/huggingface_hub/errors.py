"""huggingface_hub's errors, as far as the download tells them apart."""

from __future__ import annotations

from types import SimpleNamespace


class ConnectError(OSError):
    """What the HTTP library says when there is no connection."""


class ReadTimeout(OSError):
    """What the HTTP library says when a connection falls silent."""


class HfHubHTTPError(OSError):
    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.response = SimpleNamespace(status_code=status, headers={"Retry-After": "1"} if status == 429 else {})


class RepositoryNotFoundError(HfHubHTTPError):
    pass


class GatedRepoError(RepositoryNotFoundError):
    pass


class RevisionNotFoundError(HfHubHTTPError):
    pass


class LocalEntryNotFoundError(FileNotFoundError):
    pass
