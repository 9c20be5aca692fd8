"""What goes with the files: who does what, in which order, and what of it nobody has tried."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path

from .stack_values import CHART, CHART_REPOSITORY, CHART_VERSION, HUB_SECRET, KEY_SECRET

VALUES, CLUSTER, README = "values.yaml", "cluster.json", "README.md"
NAMESPACE = "vllm"
# The chart makes the names of its services of it, and Kubernetes variables of those: VLLM_ is the engine's own beginning.
RELEASE = "coder"
UNVERIFIED = (
    "This project never made an LKE cluster: the values are held to the chart's schema and were rendered by its templates, the "
    "cluster is held to the API's description.",
    "Whether the driver that LKE puts on GPU nodes is new enough for the engine's image is not documented.",
    "That the provider's image brings the container toolkit, and the operator finds it, is documented and was reported to fail.",
    "The chart's router is an image without a fixed tag; its API paths beyond /v1 are not those of our proxy.",
)


@dataclass(frozen=True)
class Export:
    """``key_file`` is the file with the API key that a session's clients use already; None: a new key is made."""

    name: str
    model: str
    plan: str
    region: str
    replicas: int
    price: str
    gated: bool
    min_driver: str
    api_url: str
    key_file: Path | None
    left_out: tuple[str, ...]


def _create_secret(secret: tuple[str, str]) -> str:
    return f"kubectl create secret generic {secret[0]} --namespace {NAMESPACE} --from-file={secret[1]}=/dev/stdin"


def _block(*lines: str) -> list[str]:
    return ["", "   ```sh", *(f"   {line}" for line in lines), "   ```", ""]


def readme(about: Export) -> str:
    """Markdown. Every word of a command that is not ours is quoted."""
    key = (
        f"tr -d '\\n' < {shlex.quote(str(about.key_file))}" if about.key_file else "openssl rand -hex 32 | tr -d '\\n'"
    )
    hub = ['printf %s "$HF_TOKEN" | ' + _create_secret(HUB_SECRET)] if about.gated else []
    lines = [
        f"# {about.model} on LKE",
        "",
        f"{about.replicas} engine(s), each on a node of {about.plan} in {about.region}: {about.price}.",
        "Nothing is made by these files alone. Nobody deletes the cluster when it is idle: no lease, no watchdog, no budget.",
        "",
        f"1. The cluster, which bills from here on (`{CLUSTER}` is the body of the request):",
        *_block(
            'printf \'header = "Authorization: Bearer %s"\\n\' "$LINODE_TOKEN" |',
            f"  curl --config - --fail-with-body --json @{CLUSTER} {shlex.quote(about.api_url + '/v4/lke/clusters')}",
        ),
        "2. Its kubeconfig, with the id that the answer to 1 has, when the control plane is there (two to five minutes):",
        *_block(
            "(umask 077; linode-cli lke kubeconfig-view ID --text --no-headers | base64 -d > kubeconfig)",
            'export KUBECONFIG="$PWD/kubeconfig"',
        ),
        "3. What makes the GPUs known to Kubernetes, and the runtime class `nvidia`: NVIDIA's GPU Operator.",
        "   The provider's page: https://techdocs.akamai.com/cloud-computing/docs/gpus-on-lke",
        *_block(
            "helm repo add nvidia https://helm.ngc.nvidia.com/nvidia && helm repo update",
            "helm install gpu-operator nvidia/gpu-operator --namespace gpu-operator --create-namespace --wait",
        ),
        f"   The engine needs a driver of at least {about.min_driver}. Look before the next step:",
        *_block("kubectl get nodes -L nvidia.com/cuda.driver-version.full -L nvidia.com/gpu.product"),
        "4. The secrets, from a pipe and not from an argument:",
        *_block(f"kubectl create namespace {NAMESPACE}", f"{key} | {_create_secret(KEY_SECRET)}", *hub),
        f"5. The engines and their router, by the chart {CHART} (Helm 3.8 is too old for it, 4.1 is not):",
        *_block(
            f"helm repo add vllm {CHART_REPOSITORY} && helm repo update",
            f"helm upgrade --install {RELEASE} vllm/{CHART} --version {CHART_VERSION} --namespace {NAMESPACE} --values {VALUES}",
        ),
        "6. Use it through Kubernetes' own tunnel. What opens it to others (a NodeBalancer, an Ingress) needs TLS in front:",
        *_block(f"kubectl --namespace {NAMESPACE} port-forward service/{RELEASE}-router-service 8000:80"),
        "7. End it. What it made itself (volumes, NodeBalancers) is deleted before, or goes on billing:",
        *_block(f"helm uninstall {RELEASE} --namespace {NAMESPACE}", "linode-cli lke cluster-delete ID"),
        "## Left out or changed",
        "",
        *(f"- {line}" for line in about.left_out or ("Nothing.",)),
        "",
        "## Not verified",
        "",
        *(f"- {line}" for line in UNVERIFIED),
    ]
    return "\n".join(lines) + "\n"
