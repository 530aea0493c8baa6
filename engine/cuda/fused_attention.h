// Attention in one kernel a pass: scores and weights never leave the registers. bf16 inputs, f32 sums, heads of 64 channels.
// defines: FusedScratch, launch_fused_attention
#pragma once
#include <cuda_runtime_api.h>
#include <functional>
#include <optional>
#include "engine/device.h"

// Device memory of so many bytes until the next request.
using FusedScratch = const std::function<void*(size_t bytes)>&;

// Nothing where no fused kernel applies to the body: the functions of the paper, heads of 64 channels, nothing learned, no probe.
std::optional<cudaError_t> launch_fused_attention(const TilesBody& body, FusedScratch scratch, cudaStream_t stream);
