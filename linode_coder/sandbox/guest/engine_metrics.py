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
}
_COUNTERS = (
    *("prompt_tokens", "generation_tokens", "num_preemptions", "prefix_cache_queries", "prefix_cache_hits"),
    *("prompt_tokens_cached", "admission_rejections", "corrupted_requests", "prompt_tokens_recomputed"),
    *("external_prefix_cache_queries", "external_prefix_cache_hits", "mm_cache_queries", "mm_cache_hits"),
)
_REASONS = ("stop", "length", "abort", "error", "repetition")
# Asking for these says nothing about use.
_NOT_COUNTED = ("/metrics", "/health", "/load", "/ping", "/version")


class Metrics:
    """What the API server counts; gauges are what the engine said last."""

    def __init__(self, model: str) -> None:
        self._lock = threading.Lock()
        self._label = f'engine="0",model_name="{model}"'
        self._counters = dict.fromkeys(_COUNTERS, 0.0)
        self._success = dict.fromkeys(_REASONS, 0.0)
        self._http: dict[tuple[str, str, str], int] = {}
        self._histograms = {name: ([0] * (len(bounds) + 1), [0.0]) for name, bounds in _HISTOGRAMS.items()}
        self._started = time.time()
        self.running = self.waiting = 0
        self.cache_usage = 0.0
        self.cache_tokens = 0
        self.context = 1

    def add(self, name: str, value: float = 1.0) -> None:
        with self._lock:
            self._counters[name] += value

    def observe(self, name: str, value: float) -> None:
        with self._lock:
            counts, total = self._histograms[name]
            bounds = _HISTOGRAMS[name]
            counts[next((index for index, bound in enumerate(bounds) if value <= bound), len(bounds))] += 1
            total[0] += value

    def finish(self, reason: str) -> None:
        with self._lock:
            self._success[reason] += 1

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
        label = self._label
        lines = [
            *_head("process_virtual_memory_bytes", "gauge", "Virtual memory size in bytes."),
            f"process_virtual_memory_bytes {float(_memory_bytes()[0])}",
            *_head("process_resident_memory_bytes", "gauge", "Resident memory size in bytes."),
            f"process_resident_memory_bytes {float(_memory_bytes()[1])}",
            *_head("process_start_time_seconds", "gauge", "Start time of the process since unix epoch in seconds."),
            f"process_start_time_seconds {self._started:.2f}",
        ]
        for name, value, what in (
            ("num_requests_running", float(self.running), "Number of requests in model execution batches."),
            ("num_requests_waiting", float(self.waiting), "Number of requests waiting to be processed."),
            ("kv_cache_usage_perc", self.cache_usage, "KV-cache usage. 1 means 100 percent usage."),
        ):
            lines += [*_head(f"vllm:{name}", "gauge", what), f"vllm:{name}{{{label}}} {value}"]
        lines += _head("vllm:num_requests_waiting_by_reason", "gauge", "Number of waiting requests by reason.")
        for reason, value in (("capacity", float(self.waiting)), ("deferred", 0.0)):
            lines.append(f'vllm:num_requests_waiting_by_reason{{{label},reason="{reason}"}} {value}')
        lines += _head("vllm:engine_sleep_state", "gauge", "Engine sleep state.")
        for state, value in (("awake", 1.0), ("weights_offloaded", 0.0), ("discard_all", 0.0)):
            lines.append(f'vllm:engine_sleep_state{{{label},sleep_state="{state}"}} {value}')
        blocks = self.cache_tokens // 16
        lines += [
            *_head("vllm:cache_config_info", "gauge", "Information of the LLMEngine CacheConfig"),
            f'vllm:cache_config_info{{block_size="16",cache_dtype="auto",enable_prefix_caching="True",engine="0",'
            f'kv_cache_max_concurrency="{self.cache_tokens / self.context:.2f}",kv_cache_size_tokens="{self.cache_tokens}",'
            f'num_gpu_blocks="{blocks}"}} 1.0',
        ]
        for name, value in self._counters.items():
            lines += [*_head(f"vllm:{name}", "counter", f"Number of {name}."), f"vllm:{name}_total{{{label}}} {value}"]
        lines += _head("vllm:request_success", "counter", "Count of successfully processed requests.")
        for reason, value in self._success.items():
            lines.append(
                f'vllm:request_success_total{{engine="0",finished_reason="{reason}",{label.split(",")[1]}}} {value}'
            )
        lines += _head("vllm:prompt_tokens_by_source", "counter", "Number of prompt tokens by source.")
        cached = self._counters["prompt_tokens_cached"]
        for source, value in (
            ("local_compute", self._counters["prompt_tokens"] - cached),
            ("local_cache_hit", cached),
            ("external_kv_transfer", 0.0),
        ):
            lines.append(f'vllm:prompt_tokens_by_source_total{{{label},source="{source}"}} {value}')
        for name, (counts, total) in self._histograms.items():
            lines += _head(f"vllm:{name}", "histogram", f"Histogram of {name}.")
            seen = 0
            for bound, count in zip((*map(str, _HISTOGRAMS[name]), "+Inf"), counts, strict=True):
                seen += count
                lines.append(f'vllm:{name}_bucket{{{label},le="{bound}"}} {float(seen)}')
            lines += [f"vllm:{name}_count{{{label}}} {float(seen)}", f"vllm:{name}_sum{{{label}}} {total[0]}"]
        lines += _head("http_requests", "counter", "Total number of requests by method, status and handler.")
        for (path, method, status), count in self._http.items():
            lines.append(f'http_requests_total{{handler="{path}",method="{method}",status="{status}"}} {float(count)}')
        return lines


def _head(name: str, kind: str, what: str) -> list[str]:
    full = f"{name}_total" if kind == "counter" else name
    return [f"# HELP {full} {what}", f"# TYPE {full} {kind}"]


def _memory_bytes() -> tuple[int, int]:
    with open("/proc/self/statm") as file:
        size, resident, *_rest = map(int, file.read().split())
    page = os.sysconf("SC_PAGE_SIZE")
    return size * page, resident * page
