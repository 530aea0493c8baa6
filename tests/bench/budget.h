// What one training step on a GPU must do, pass by pass, by the code of engine and models: bytes read and written,
// FLOPs, launches. A launch reads and writes each byte of device memory once at least, and no more is counted; the
// emulated device counts the same.
// defines: Work, GpuLimits, StepBudget, step_budget
#pragma once
#include <map>
#include <string>
#include "engine/device.h"
#include "models/config.h"

struct Work {
  double read = 0, written = 0, flops = 0, seconds = 0; // bytes, bytes; seconds by the model
  int launches = 0;
  double bytes() const { return read + written; }
};

// What limits a pass: FLOP/s of large products and of fused attention, bytes/s of streaming, and what a launch costs.
struct GpuLimits {
  double products, attention, bandwidth, launch = 2.5e-6;
};

struct StepBudget {
  std::map<std::string, Work, std::less<>> parts; // by part_of() in engine/profile.h
  Work total() const;
};

// Softmax cross-entropy, pre-norm blocks with learned positions, pool gap or cls, qk-norm or not, images as bytes.
// bf16 with heads of 64 channels takes fused attention, all else the tiled one, whose bytes are counted more coarsely.
StepBudget step_budget(const ViTConfig& config, int batch, Precision precision, const GpuLimits& limits);
