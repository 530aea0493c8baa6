// Attention in one kernel a pass: scores and weights never leave the registers. bf16 inputs, f32 sums.
// defines: fused_attention_saves, launch_fused_attention
#pragma once
#include <cuda_runtime_api.h>
#include <optional>
#include "engine/device.h"

// How many numbers a fused forward keeps for its backward. Nothing where no fused kernel applies to the body: the
// functions of the paper, heads of 32 or 64 channels, nothing learned, no probe.
std::optional<size_t> fused_attention_saves(const TilesBody& body);
// body: one that fused_attention_saves has a number for
cudaError_t launch_fused_attention(const TilesBody& body, cudaStream_t stream);
