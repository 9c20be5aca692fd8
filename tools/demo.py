"""`make demo`: the main job in the local sandbox, with its own directory, from nothing to nothing."""

from __future__ import annotations

import argparse
import json
import os
import shlex
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from ansible_collections.linode_coder.gpu.plugins.module_utils.core.paths import cache_dir

BIN = Path(sys.executable).parent
CODER = str(BIN / "linode-coder")


def run(*arguments: str, capture: bool = False) -> str:
    """Show the command as a person would type it, and run it."""
    print(f"\n$ {shlex.join(['linode-coder', *arguments])}", flush=True)
    done = subprocess.run([CODER, *arguments], text=True, stdout=subprocess.PIPE if capture else None)
    if done.returncode:
        raise SystemExit(f"the command ended with exit code {done.returncode}")
    if capture:
        print(done.stdout, end="", flush=True)
    return done.stdout or ""


def exports(text: str) -> dict[str, str]:
    """What `eval` would make of the exports, done by a real shell."""
    script = f"{text}\nexec {shlex.quote(sys.executable)} -c 'import json, os; print(json.dumps(dict(os.environ)))'"
    done = subprocess.run(["/bin/sh", "-c", script], text=True, capture_output=True, check=True)
    return dict(json.loads(done.stdout))


def ask(environment: dict[str, str], *, random_model: bool) -> None:
    from openai import OpenAI

    client = OpenAI(base_url=environment["OPENAI_BASE_URL"], api_key=environment["OPENAI_API_KEY"])
    model = client.models.list().data[0].id
    question = "Write a function that reverses a string."
    print(f"\nasking {model} through the tunnel: {question}", flush=True)
    stream = client.chat.completions.create(
        model=model,
        messages=[{"role": "user", "content": question}],
        stream=True,
        max_tokens=40,
        extra_body={"ignore_eos": random_model},
    )
    said = "".join(chunk.choices[0].delta.content or "" for chunk in stream if chunk.choices)
    if not said:
        raise SystemExit("the engine answered nothing")
    print(f"answer of random weights: {said!r}" if random_model else f"answer: {said}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--engine", choices=["standin", "vllm"], default="standin")
    engine = parser.parse_args().engine
    # The CPU build serves tiny models only; they lie in the shared cache, not in the demo's own directory.
    model = ["--model", "sandbox/tiny-coder-1m"] if engine == "vllm" else []
    os.environ.setdefault("LINODE_CODER_CACHE", str(cache_dir()))
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="linode-coder-demo-") as home:
        os.environ["LINODE_CODER_HOME"] = home
        # Where a person would be: in no checkout.
        os.chdir(home)
        for name in ("LINODE_TOKEN", "LINODE_API_URL"):
            os.environ.pop(name, None)
        print("This is the sandbox: a Linode account on this machine. Nothing here costs money.", flush=True)
        run("sandbox", "start", "--hosts", "simulated", "--engine", engine)
        try:
            os.environ.update(exports(run("sandbox", "env", capture=True)))
            run("up", "demo", *model, "--lease", "2h", "--yes")
            run("list")
            ask(exports(run("use", "demo", capture=True)), random_model=engine == "vllm")
            run("status", "demo")
            run("down", "demo", "--yes")
            run("list", "--all")
        finally:
            run("sandbox", "stop")
    print(f"\nDone in {time.monotonic() - began:.0f} s; nothing is left running.")


if __name__ == "__main__":
    main()
