// What training steps on GPUs should take at best, from a count of FLOPs and bytes; labelled a prediction.
// defines: limits_of, roofline_table, roofline_parts
#pragma once
#include <string>
#include "tests/bench/budget.h"

GpuLimits limits_of(Precision precision); // of an H100, from its data sheet and the shares that large passes reach
std::string roofline_table();
// One step, part by part.
std::string roofline_parts(const ViTConfig& config, int batch, Precision precision);
