// Questions about a machine and about a step that went wrong.
// defines: measured_peak, first_non_finite
#pragma once
#include <string>
#include "engine/parameters.h"

// Floating-point operations a second of a large x Wᵀ, inputs rounded before where products round: the yardstick for "% of peak".
double measured_peak(Device& device);

// Where values stop being finite after a step: the first parameter or op of the forward pass, else the parameter whose
// gradient was the first to break on the way back.
std::string first_non_finite(Tape& tape, const Parameters& parameters);
