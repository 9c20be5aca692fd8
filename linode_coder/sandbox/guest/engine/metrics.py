"""The V1 metrics of vLLM in Prometheus' text format."""

from __future__ import annotations

import os
import threading
import time

_TIMES = (
    0.001,
    0.005,
    0.01,
    0.02,
    0.04,
    0.06,
    0.08,
    0.1,
    0.25,
    0.5,
    0.75,
    1.0,
    2.5,
    5.0,
    7.5,
    10.0,
    20.0,
    40.0,
    80.0,
    160.0,
)
_LONG_TIMES = (
    0.3,
    0.5,
    0.8,
    1.0,
    1.5,
    2.0,
    2.5,
    5.0,
    10.0,
    15.0,
    20.0,
    30.0,
    40.0,
    50.0,
    60.0,
    120.0,
    240.0,
    480.0,
    960.0,
)
_TOKENS = (1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1000.0, 2000.0, 5000.0, 10000.0, 20000.0, 50000.0)
_HISTOGRAMS = {
    "time_to_first_token_seconds": _TIMES,
    "inter_token_latency_seconds": _TIMES,
    "request_time_per_output_token_seconds": _TIMES,
    "e2e_request_latency_seconds": _LONG_TIMES,
    "request_queue_time_seconds": _LONG_TIMES,
    "request_prefill_time_seconds": _LONG_TIMES,
    "request_decode_time_seconds": _LONG_TIMES,
    "request_inference_time_seconds": _LONG_TIMES,
    "iteration_tokens_total": _TOKENS,
    "request_prompt_tokens": _TOKENS,
    "request_generation_tokens": _TOKENS,
    "request_params_max_tokens": _TOKENS,
    "request_params_n": (1.0, 2.0, 5.0, 10.0, 20.0),
    "request_max_num_generation_tokens": _TOKENS,
    "request_num_preemptions": (1.0, 2.0, 3.0, 4.0, 5.0, 10.0, 20.0),
    "request_prefill_kv_computed_tokens": _TOKENS,
}
_COUNTERS = (
    *("prompt_tokens", "generation_tokens", "num_preemptions", "prefix_cache_queries", "prefix_cache_hits"),
    *("external_prefix_cache_queries", "external_prefix_cache_hits", "mm_cache_queries", "mm_cache_hits"),
    *("estimated_flops_per_gpu", "estimated_read_bytes_per_gpu", "estimated_write_bytes_per_gpu"),
    "prompt_tokens_cached",
)
# The engine's cache settings; those that the stand-in knows get their values.
_CACHE_SETTINGS = (
    *("_block_size_resolved", "block_size", "cache_dtype", "cache_hit_alignment_tokens"),
    *("effective_attention_block_size", "enable_mamba_shared_prefix_checkpoint", "enable_prefix_caching"),
    *("gpu_memory_utilization", "hash_block_size", "is_attention_free", "kv_cache_dtype_skip_layers"),
    *("kv_cache_layout", "kv_cache_max_concurrency", "kv_cache_memory_bytes", "kv_cache_size_tokens"),
    *("kv_offloading_backend", "kv_offloading_size", "kv_sharing_fast_prefill", "mamba_block_size"),
    *("mamba_cache_dtype", "mamba_cache_mode", "mamba_page_size_padded", "mamba_ssm_cache_dtype", "num_cpu_blocks"),
    *("num_gpu_blocks", "num_gpu_blocks_override", "prefix_cache_retention_interval", "prefix_caching_hash_algo"),
    *("prefix_match_unit", "replayssm_buffer_len", "simple_cpu_offload_num_blocks", "skip_page_size_padded"),
    *("sliding_window", "swa_bounded_replay"),
    *("use_kda_recoverssm", "use_replayssm", "user_specified_block_size"),
)
_REASONS = ("stop", "length", "abort", "error", "repetition")
Labels = dict[str, str]
# Asking for these says nothing about use.
_NOT_COUNTED = ("/metrics", "/health", "/load", "/ping", "/version")


class Metrics:
    """What the API server counts; gauges are what the engine said last."""

    def __init__(self, model: str) -> None:
        self._lock = threading.Lock()
        self._model = model
        self._counters = dict.fromkeys(_COUNTERS, 0.0)
        self._success = dict.fromkeys(_REASONS, 0.0)
        self._http: dict[tuple[str, str, str], int] = {}
        self._tool_calls: dict[tuple[str, str, str], float] = {}
        self._histograms = {name: ([0] * (len(bounds) + 1), [0.0]) for name, bounds in _HISTOGRAMS.items()}
        self._started = time.time()
        self.running = self.waiting = 0
        self.cache_usage = 0.0
        self.cache_tokens = 0
        self.context = 1

    def add(self, name: str, value: float = 1.0) -> None:
        with self._lock:
            self._counters[name] += value

    def put(self, name: str, value: float) -> None:
        """What a counter of the core stands at."""
        with self._lock:
            self._counters[name] = value

    def observe(self, name: str, value: float) -> None:
        with self._lock:
            counts, total = self._histograms[name]
            bounds = _HISTOGRAMS[name]
            counts[next((index for index, bound in enumerate(bounds) if value <= bound), len(bounds))] += 1
            total[0] += value

    def finish(self, reason: str) -> None:
        with self._lock:
            self._success[reason] += 1

    def looked_for_call(self, streaming: bool, found: bool) -> None:
        """The tool parser saw an answer of a chat."""
        key = (
            "streaming" if streaming else "non_streaming",
            "tool_call" if found else "no_tool_call",
            "chat_completions",
        )
        with self._lock:
            self._tool_calls[key] = self._tool_calls.get(key, 0.0) + 1

    def answered(self, method: str, path: str, status: int) -> None:
        if path not in _NOT_COUNTED:
            key = (path, method, f"{status // 100}xx")
            with self._lock:
                self._http[key] = self._http.get(key, 0) + 1

    def total(self, name: str) -> float:
        return self._counters[name]

    def text(self) -> str:
        with self._lock:
            return "".join(line + "\n" for line in self._lines())

    def _lines(self) -> list[str]:
        engine, model = {"engine": "0", "model_name": self._model}, {"model_name": self._model}
        virtual, resident = _memory_bytes()
        lines = [
            *_family("process_virtual_memory_bytes", "gauge", "Virtual memory size in bytes.", [({}, float(virtual))]),
            *_family(
                "process_resident_memory_bytes", "gauge", "Resident memory size in bytes.", [({}, float(resident))]
            ),
            *_family(
                "process_start_time_seconds",
                "gauge",
                "Start time of the process since unix epoch in seconds.",
                [({}, self._started)],
            ),
        ]
        waiting = {"capacity": float(self.waiting), "deferred": 0.0}
        state = {"awake": 1.0, "weights_offloaded": 0.0, "discard_all": 0.0}
        cache = {
            **dict.fromkeys(_CACHE_SETTINGS, "None"),
            "block_size": "16",
            "cache_dtype": "auto",
            "enable_prefix_caching": "True",
            "kv_cache_max_concurrency": f"{self.cache_tokens / self.context:.2f}",
            "kv_cache_size_tokens": str(self.cache_tokens),
            "num_gpu_blocks": str(self.cache_tokens // 16),
        }
        for name, what, samples in (
            ("num_requests_running", "Number of requests in model execution batches.", [(engine, float(self.running))]),
            ("num_requests_waiting", "Number of requests waiting to be processed.", [(engine, float(self.waiting))]),
            ("kv_cache_usage_perc", "KV-cache usage. 1 means 100 percent usage.", [(engine, self.cache_usage)]),
            ("num_requests_waiting_by_reason", "Number of waiting requests by reason.", _by(engine, "reason", waiting)),
            ("engine_sleep_state", "Engine sleep state.", _by(engine, "sleep_state", state)),
            ("cache_config_info", "Information of the LLMEngine CacheConfig", [({"engine": "0", **cache}, 1.0)]),
        ):
            lines += _family(f"vllm:{name}", "gauge", what, samples)
        for name, samples in self._counted(engine, model).items():
            lines += _family(f"vllm:{name}", "counter", f"Number of {name}.", samples, self._started)
        for name, (counts, total) in self._histograms.items():
            full = f"vllm:{name}"
            lines += _head(full, "histogram", f"Histogram of {name}.")
            seen = 0
            for bound, count in zip((*map(str, _HISTOGRAMS[name]), "+Inf"), counts, strict=True):
                seen += count
                lines.append(_sample(f"{full}_bucket", {**engine, "le": bound}, float(seen)))
            lines += [_sample(f"{full}_count", engine, float(seen)), _sample(f"{full}_sum", engine, total[0])]
            lines += _family(f"{full}_created", "gauge", f"Histogram of {name}.", [(engine, self._started)])
        requests = [
            ({"handler": path, "method": method, "status": status}, float(count))
            for (path, method, status), count in self._http.items()
        ]
        what = "Total number of requests by method, status and handler."
        return lines + _family("http_requests", "counter", what, requests, self._started)

    def _counted(self, engine: Labels, model: Labels) -> dict[str, list[tuple[Labels, float]]]:
        """Every counter with its series."""
        cached, parsed = self._counters["prompt_tokens_cached"], self._tool_calls
        computed = {"local_compute": self._counters["prompt_tokens"] - cached, "local_cache_hit": cached}
        kept = dict.fromkeys(("host", "p2p", "disk", "external_unspecified"), 0.0)
        limits = dict.fromkeys(("max_num_queued_reqs", "max_num_queued_tokens"), 0.0)
        modes, outcomes = ("streaming", "non_streaming"), ("tool_call", "no_tool_call")
        return {
            **{name: [(engine, value)] for name, value in self._counters.items()},
            "request_success": _by(engine, "finished_reason", self._success),
            "prompt_tokens_by_source": _by(engine, "source", {**computed, "external_kv_transfer": 0.0}),
            "prompt_tokens_cached_by_source": _by(engine, "source", {"device": cached, **kept}),
            "admission_rejections": _by(model, "reason", limits),
            "tool_call_parser_invocations": [
                (
                    {**model, "mode": mode, "outcome": outcome, "request_type": kind},
                    parsed.get((mode, outcome, kind), 0.0),
                )
                for mode in modes
                for outcome in outcomes
                for kind in ("chat_completions", "responses", "other")
            ],
        }


def _by(labels: Labels, name: str, values: dict[str, float]) -> list[tuple[Labels, float]]:
    """One series for each value of a label."""
    return [({**labels, name: key}, value) for key, value in values.items()]


def _family(
    name: str, kind: str, what: str, samples: list[tuple[Labels, float]], created: float | None = None
) -> list[str]:
    """A metric with its series; of a counter also when each began, as Prometheus' client tells it."""
    full = f"{name}_total" if kind == "counter" else name
    lines = [*_head(full, kind, what), *(_sample(full, labels, value) for labels, value in samples)]
    if created is not None:
        lines += _family(f"{name}_created", "gauge", what, [(labels, created) for labels, _value in samples])
    return lines


def _head(name: str, kind: str, what: str) -> list[str]:
    return [f"# HELP {name} {what}", f"# TYPE {name} {kind}"]


def _sample(name: str, labels: Labels, value: float) -> str:
    text = ",".join(f'{key}="{labels[key]}"' for key in sorted(labels))
    return f"{name}{{{text}}} {value}" if text else f"{name} {value}"


def _memory_bytes() -> tuple[int, int]:
    with open("/proc/self/statm") as file:
        size, resident, *_rest = map(int, file.read().split())
    page = os.sysconf("SC_PAGE_SIZE")
    return size * page, resident * page
