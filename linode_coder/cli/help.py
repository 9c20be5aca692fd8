"""What the help of a command says beside its options: in which group it stands, how values are written, and examples."""

from __future__ import annotations

from functools import partial
from typing import Any

# Groups of the list of commands, in its order.
PANELS: dict[str, tuple[str, ...]] = {
    "Sessions": ("up", "down", "list", "status", "switch-model", "extend", "pause"),
    "Talk to the model": ("launch", "use", "leave", "ask", "chat", "tunnel", "gateway"),
    "Look after it": (
        "check",
        "collect",
        "heal",
        "logs",
        "ssh",
        "keys",
        "watchdog",
        "cleanup",
        "warm",
        "validate-perf",
        "perf",
        "history",
        "metrics",
    ),
    "Models and prices": ("models", "plans", "validate", "cost", "export"),
    "Set up": ("wizard", "config", "completion", "explain", "sandbox"),
}
# Three of each, without the name of the program.
EXAMPLES: dict[str, tuple[str, ...]] = {
    "up": ("up demo --lease 4h", "up demo --region frankfurt --dry-run", "up team --replicas 2 --wait-for-capacity"),
    "down": ("down demo", "down demo --dry-run", "down team --yes"),
    "list": ("list", "list --all", "list --json"),
    "status": ("status", "status demo --watch", "status demo --json"),
    "check": ("check demo", "check --all", "check --bundle demo.tar.gz"),
    "collect": ("collect", "collect demo", "collect demo --output demo.tar.gz"),
    "switch-model": (
        "switch-model qwen3-coder-30b-a3b",
        "switch-model demo gpt-oss-20b --context 64K",
        "switch-model demo gpt-oss-20b --dry-run",
    ),
    "use": ('use demo  # eval "$(linode-coder use demo)"', "use demo --print codex", "use team --json"),
    "launch": ("launch claude", "launch codex demo -- exec 'Fix the tests.'", "launch aider -- --read README.md"),
    "leave": ("leave", "leave --json", "-q leave"),
    "ask": (
        "ask 'What does EADDRINUSE mean?'",
        "ask 'Review this.' < diff.txt",
        "ask --session demo --max-tokens 200 'Say hello.'",
    ),
    "chat": ("chat", "chat demo", "chat demo --system 'Answer in one sentence.'"),
    "logs": ("logs demo", "logs demo --follow", "logs demo --what weights --since 10m"),
    "ssh": ("ssh demo", "ssh demo -- nvidia-smi", "ssh demo --forward 8080"),
    "keys": ("keys list demo", "keys add ada.pub demo", "keys remove ada --all"),
    "tunnel": ("tunnel demo", "tunnel demo --close", "tunnel --json"),
    "gateway": ("gateway", "gateway --port 17001", "gateway --install"),
    "extend": ("extend 2h", "extend demo --until 18:30", "extend demo 2h --dry-run"),
    "pause": ("pause demo", "pause demo --for 4h", "pause demo --off"),
    "wizard": ("wizard", "wizard --goal agent --lease 4h", "wizard --goal chat --yes"),
    "validate": ("validate", "validate --plan g2-gpu-rtx4000a1-s --context 64K", "validate demo"),
    "validate-perf": (
        "validate-perf demo",
        "validate-perf demo --profile agent --from vm",
        "validate-perf demo --concurrency 1,4,16 --new-baseline",
    ),
    "perf": ("perf history demo", "perf compare baseline last", "perf compare 20261130T07 last --json"),
    "history": ("history --since 7d", "history --session demo --failed", "history --who alice --csv  # > runs.csv"),
    "config": ("config show", "config show --json", "config validate"),
    "models": ("models", "models gpt-oss-20b", "models --plan g2-gpu-rtx4000a1-s --context 64K"),
    "plans": ("plans", "plans --model gpt-oss-20b", "plans --region frankfurt"),
    "heal": ("heal demo --dry-run", "heal demo --max-rung container", "heal demo --history"),
    "cleanup": ("cleanup --dry-run", "cleanup", "cleanup --everyone --yes"),
    "warm": ("warm list", "warm drop lc-warm-gpt-oss-20b-v012345678 --dry-run", "warm list --json"),
    "watchdog": ("watchdog --once", "watchdog --interval 5m", "watchdog install --systemd"),
    "cost": ("cost", "cost demo --month 2026-11", "cost --report cost.html"),
    "export": (
        "export lke demo",
        "export lke --model gpt-oss-20b --replicas 2",
        "export lke --region us-ord --output cluster --json",
    ),
    "metrics": ("metrics", "metrics --listen 9419", "metrics --alerts  # > linode_coder.rules.yml"),
    "explain": ("explain", "explain exit-5", "explain gpu.lost"),
    "completion": ("completion bash", "completion zsh", "completion fish"),
    "sandbox": ("sandbox start", "sandbox fault add capacity --count 2", "sandbox stop"),
}
# How the value of an option is written where its name does not say what it is.
_VALUES = {
    "lease": "DURATION",
    "cap": "DURATION",
    "idle": "DURATION|off",
    "interval": "DURATION",
    "duration": "DURATION",
    "wait_for": "DURATION",
    "since": "TIME",
    "until": "TIME",
    "max_cost": "DOLLARS",
    "context": "TOKENS",
    "tokens": "TOKENS",
    "max_tokens": "TOKENS",
    "tensor_parallel": "GPUS",
    "authorized_key": "FILE",
    "bundle": "PATH",
    "env_file": "FILE",
    "report": "FILE",
    "system": "TEXT",
    "heal": "RUNG",
    "max_rung": "RUNG",
    "tail": "LINES",
    "max_deletions": "NUMBER",
}


# What stands after a name that may be left out, and has to be there.
_NEEDED = {("switch-model", "model")}


def _written(metavar: str, ctx: Any, *, usage: bool = False) -> str:
    return metavar


def _value(parameter: Any) -> str:
    """What stands for the value of an option: the words that it may be, else what it is, in capitals."""
    choices = getattr(parameter.type, "choices", None)
    if choices:
        return "|".join(str(getattr(choice, "value", choice)) for choice in choices)
    return _VALUES.get(str(parameter.name), str(parameter.name).upper())


def arrange(command: Any, name: str) -> None:
    """One notation for all: NAME has to be there, [NAME] may be left out, VALUE stands for one; and the examples at the end."""
    for below in getattr(command, "commands", {}).values():
        arrange(below, "")
    for parameter in command.params:
        if parameter.param_type_name == "argument":
            bare = (parameter.metavar or parameter.name.upper()).strip("[]")
            if not bare.startswith("--"):
                plain = bare.removesuffix("]...").removesuffix("...")
                several = "..." if parameter.nargs != 1 else ""
                needed = parameter.required or (name, parameter.name) in _NEEDED
                parameter.metavar = f"{plain}{several}" if needed else f"[{plain}]{several}"
            # The parser's own puts braces around it.
            parameter.make_metavar = partial(_written, parameter.metavar)
        elif parameter.metavar is None and not parameter.is_flag and not parameter.count:
            parameter.metavar = _value(parameter)
    if name in EXAMPLES:
        lines = "\n".join(f"  linode-coder {example}" for example in EXAMPLES[name])
        command.epilog = f"\b\nExamples:\n{lines}"
