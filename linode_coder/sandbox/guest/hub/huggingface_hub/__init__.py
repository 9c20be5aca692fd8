"""The sandbox's Hugging Face Hub: the few names of huggingface_hub that the download uses, and a hub that can fail.

Weights are small files of zeros in the real cache's layout; how long they take is for the sandbox's timing to say. A model
whose size cannot be read from its name does not exist here, as with the engine's stand-in. For the real engine there are
its tiny models and no others, as sandbox/NAME.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
import sys
import time
from pathlib import Path
from types import SimpleNamespace

from . import constants, errors

# Of the package that this one lies in, by its whole name: here it is a package of its own.
sys.path.append(str(Path(__file__).parents[5]))
from linode_coder.sandbox.guest.docker.containers import ENGINE, seconds_of
from linode_coder.sandbox.guest.engine.memory import listed
from linode_coder.sandbox.guest.faults import active, due, strike
from linode_coder.sandbox.guest.fetched import note

__all__ = ["HfApi", "constants", "errors", "snapshot_download"]
__version__ = "1.17.0"
_SHARDS, _SHARD_BYTES, _PIECE = 4, 1 << 20, 1 << 16
# Publishers that ask for their licence to be accepted.
_GATED = ("meta-llama/", "google/", "mistralai/")


def _token() -> str | None:
    path = os.environ.get("HF_TOKEN_PATH")
    if path and Path(path).is_file():
        return Path(path).read_text().strip() or None
    return os.environ.get("HF_TOKEN")


def _real_models() -> Path | None:
    """Where the models of the real engine lie; None when the stand-in serves."""
    if not ENGINE.exists():
        return None
    engine = json.loads(ENGINE.read_text())
    return Path(engine["models"]) if engine["engine"] == "vllm" else None


def _exists(model: str) -> bool:
    models = _real_models()
    if models is not None:
        organisation, _, name = model.partition("/")
        return organisation == "sandbox" and (models / name / "config.json").exists()
    return bool(listed(model) or re.search(r"\d+(\.\d+)?[bB](?![a-zA-Z])|tiny", model))


def _refuse(model: str) -> None:
    url = f"https://huggingface.co/api/models/{model}/revision/main"
    token = _token()
    if active("hub_down"):
        raise errors.ConnectError("[Errno -3] Temporary failure in name resolution")
    if strike("hub_rate_limited"):
        raise errors.HfHubHTTPError(f"429 Client Error: Too Many Requests for url: {url}", 429)
    if active("hub_unauthorized") or (token and not token.startswith("hf_")):
        raise errors.HfHubHTTPError(f"401 Client Error: Unauthorized for url: {url}. Invalid credentials", 401)
    if active("hub_gated") or (model.startswith(_GATED) and not token):
        raise errors.GatedRepoError(f"403 Client Error. Cannot access gated repo for url {url}", 403 if token else 401)
    if active("hub_not_found") or model.startswith("nosuch/") or not _exists(model):
        raise errors.RepositoryNotFoundError(f"404 Client Error. Repository Not Found for url: {url}.", 404)


def _files(model: str) -> list[SimpleNamespace]:
    models = _real_models()
    if models is not None:
        found = sorted((models / model.partition("/")[2]).iterdir())
        return [_sibling(model, path.name, path.stat().st_size) for path in found]
    sizes = {"config.json": 700, "tokenizer.json": 4000, "tokenizer_config.json": 900}
    sizes |= {f"model-{number + 1:05d}-of-{_SHARDS:05d}.safetensors": _SHARD_BYTES for number in range(_SHARDS)}
    return [_sibling(model, name, size) for name, size in sizes.items()]


def _sibling(model: str, name: str, size: int) -> SimpleNamespace:
    return SimpleNamespace(rfilename=name, size=size, blob_id=_blob(model, name), lfs=None)


def _blob(model: str, name: str) -> str:
    return hashlib.sha256(f"{model}/{name}".encode()).hexdigest()


def _commit(model: str, revision: str | None = None) -> str:
    """The commit that a revision is: a commit is itself, and every branch and tag is at the same one."""
    if revision and re.fullmatch("[0-9a-f]{40}", revision):
        return revision
    return hashlib.sha256(model.encode()).hexdigest()[:40]


class HfApi:
    def __init__(self, endpoint: str | None = None, token: str | None = None) -> None:
        self.endpoint = endpoint

    def model_info(self, repo_id: str, *, revision: str | None = None, files_metadata: bool = False) -> SimpleNamespace:
        _refuse(repo_id)
        return SimpleNamespace(id=repo_id, sha=_commit(repo_id, revision), siblings=_files(repo_id))


def snapshot_download(
    repo_id: str, *, revision: str | None = None, max_workers: int = 8, local_files_only: bool = False, **_more: object
) -> str:
    root = Path(os.environ["HF_HOME"], "hub", "models--" + repo_id.replace("/", "--"))
    commit = _commit(repo_id, revision)
    snapshot = root / "snapshots" / commit
    if local_files_only:
        if all((snapshot / file.rfilename).exists() for file in _files(repo_id)):
            return str(snapshot)
        raise errors.LocalEntryNotFoundError(
            "Cannot find an appropriate cached snapshot folder for the specified revision"
        )
    _refuse(repo_id)
    for directory in (root / "blobs", root / "refs", snapshot):
        directory.mkdir(parents=True, exist_ok=True)
    # As the real one: asked for a commit it does not note which branch that is.
    if revision != commit:
        (root / "refs" / (revision or "main")).write_text(commit)
    total = sum(file.size for file in _files(repo_id))
    seconds = seconds_of("weights", 0.5)
    for file in _files(repo_id):
        blob = root / "blobs" / file.blob_id
        if not blob.exists():
            models = _real_models()
            source = None if models is None else models / repo_id.partition("/")[2] / file.rfilename
            _fetch(blob, file.size, seconds / total, source)
            if source is None and file.rfilename == "config.json":
                blob.write_text(
                    json.dumps({"architectures": ["Qwen2ForCausalLM"], "model_type": "qwen2"}).ljust(file.size)
                )
        link = snapshot / file.rfilename
        if not link.is_symlink():
            link.symlink_to(f"../../blobs/{blob.name}")
    return str(snapshot)


def _fetch(blob: Path, size: int, seconds_per_byte: float, source: Path | None) -> None:
    """On from where an earlier run was cut; zeros when there is no source."""
    data = bytes(size) if source is None else source.read_bytes()
    part = blob.with_name(blob.name + ".incomplete")
    with part.open("ab") as out:
        while out.tell() < size:
            piece = min(_PIECE, size - out.tell())
            time.sleep(piece * seconds_per_byte)
            if due("hub_cut") and out.tell() >= _SHARD_BYTES // 2:
                strike("hub_cut")
                raise errors.ReadTimeout("The read operation timed out")
            if active("disk_full"):
                raise OSError(errno.ENOSPC, "No space left on device")
            out.write(data[out.tell() : out.tell() + piece])
            out.flush()
            note("hub", piece)
    part.rename(blob)
