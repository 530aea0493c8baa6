// What a training costs, before it begins: the one formula of --print-config and of the lines at the start of a run.
// defines: training_bytes, training_seconds, fitting_micro_batch, text_of_bytes, text_of_seconds, print_config,
// print_cost
#pragma once
#include <string>
#include <vector>
#include "engine/device.h"
#include "models/train_options.h"

// Bytes, about: parameters, moments, activations of `images` at a time, and the batches that are held.
double training_bytes(const TrainOptions& options, const ViTConfig& config, int images, const Device& device);
// Seconds of `steps` updates at 70 % of the measured peak, in floating-point operations a second; 0 where that is
// unknown.
double training_seconds(const TrainOptions& options, const ViTConfig& config, int64_t steps, double peak);
// The largest power of two with which a training takes at most `bytes`; 0 where there is none.
int fitting_micro_batch(const TrainOptions& options, const ViTConfig& config, const Device& device, double bytes);

std::string text_of_bytes(double bytes);      // 617 MiB
std::string text_of_seconds(double seconds);  // 12 s, 3.9 years; "unknown" for 0

// The flags, then what they cost. Returns the exit status.
int print_config(CLI::App& app, const TrainOptions& options, ViTConfig config, const std::vector<GridMember>& members,
                 Device& device);
// The same in a line on stderr, and how to make it fit where the CPU's memory is less.
void print_cost(const TrainOptions& options, const ViTConfig& config, int64_t steps, size_t members,
                const Device& device, double peak);
