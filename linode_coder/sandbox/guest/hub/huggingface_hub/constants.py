"""huggingface_hub's settings, as far as the download uses them."""

from __future__ import annotations

HF_HUB_DISABLE_XET = True
MAX_HTTP_DOWNLOAD_SIZE = 50 * 10**9
