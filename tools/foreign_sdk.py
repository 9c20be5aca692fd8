# SPDX-License-Identifier: GPL-3.0-or-later
"""`make test-foreign`: linode_api4's own integration tests, unchanged, with the sandbox in the place of the real API.

They come with the SDK's source distribution of the version that is installed here. What is left out is left out by name,
with the reason.
"""

from __future__ import annotations

import subprocess
import sys
import tarfile
import tempfile
from importlib.metadata import version
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.append(str(ROOT))

from tests.sandbox_fixture import start_sandbox  # noqa: E402

MODELS = "test/integration/models"
SUITES = (
    *(f"{MODELS}/{name}" for name in ("account", "firewall", "lock", "maintenance", "networking", "profile", "region")),
    *(f"{MODELS}/{name}" for name in ("tag", "volume")),
    f"{MODELS}/linode/test_linode.py",
    "test/integration/linode_client/test_linode_client.py",
    "test/integration/linode_client/test_errors.py",
)
# Words in the names of tests, and why they are left out.
LEFT_OUT = {
    "vpc": "the sandbox has no VPCs",
    "reserved_ip or reserve_ephemeral": "nor reserved addresses",
    "longview or kube or cluster or domain or object_storage or keys": "nor these services",
    "test_create_tag_with_id or test_create_tag_with_entities": "makes a domain first",
    "test_client_create_with_label": "makes a Longview client first",
    "upgrade_interfaces or interfaces_settings": "makes a VPC first",
    "resize or test_linode_rebuild or reboot or migration": "wants to see a state that the quick sandbox has for moments only",
    "test_linode_instance_password": "gives the next order without waiting for the job before",
    "disk_resize_and_duplicate or boot_size": "sleeps for minutes",
    "test_image_create or vlan": "gives its order while the create job still runs, and is repeated by its author's setup",
}


def source(directory: Path) -> Path:
    """The unpacked source distribution."""
    wanted = f"linode_api4=={version('linode_api4')}"
    fetch = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-binary", "linode_api4"]
    subprocess.run([*fetch, "--dest", str(directory), wanted], check=True)
    with tarfile.open(next(directory.glob("*.tar.gz"))) as archive:
        archive.extractall(directory, filter="data")
    return next(path for path in directory.iterdir() if path.is_dir())


def main() -> int:
    with (
        tempfile.TemporaryDirectory(prefix="linode-coder-foreign-") as directory,
        start_sandbox(Path(directory) / "sandbox", hosts="none", rate_limits="off", seed_instances=3) as sandbox,
    ):
        unpacked = Path(directory) / "source"
        unpacked.mkdir()
        tree = source(unpacked)
        url = sandbox.url.rstrip("/").removesuffix("/v4") + "/v4beta"
        env = {**sandbox.env, "LINODE_API_URL": url, "SKIP_E2E_FIREWALL": "1"}
        leave_out = " or ".join(LEFT_OUT)
        command = [sys.executable, "-m", "pytest", "-q", "--timeout=240", "-p", "no:cacheprovider", "-n", "2"]
        return subprocess.run(
            [*command, "--tb=short", "-W", "ignore", "-k", f"not ({leave_out})", *SUITES], cwd=tree, env=env
        ).returncode


if __name__ == "__main__":
    sys.exit(main())
