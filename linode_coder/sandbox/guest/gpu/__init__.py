"""The GPUs, their driver and NVIDIA's tools."""
