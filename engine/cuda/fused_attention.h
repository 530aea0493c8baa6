// Attention in one kernel a pass: scores and weights never leave the registers. bf16 inputs, f32 sums, heads of 64 channels.
// defines: FusedScratch, FusedLauncher, fused_attention_launchers
#pragma once
#include <cuda_runtime_api.h>
#include <functional>
#include <typeindex>
#include <unordered_map>

// Device memory of so many bytes until the next request.
using FusedScratch = const std::function<void*(size_t bytes)>&;

// For AttentionForward<F> or AttentionBackward<F>, whose fields these are.
struct FusedLauncher {
  bool (*applies)(const void* fields);
  cudaError_t (*launch)(const void* fields, FusedScratch scratch, cudaStream_t stream);
};
std::unordered_map<std::type_index, FusedLauncher> fused_attention_launchers();
