// Questions about a machine and about a step that went wrong.
// defines: measured_peak, text_of_peak, share_of_peak, first_non_finite
#pragma once
#include <string>
#include "engine/parameters.h"

// Floating-point operations a second of a large x Wᵀ of random numbers, inputs rounded before where products round: the
// yardstick for "% of peak". 0 where there is no memory to measure it; what it took is given back.
double measured_peak(Device& device);
std::string text_of_peak(double peak);
// " (57 % of peak)"; where it is above, that; nothing where the peak is unknown
std::string share_of_peak(double flops, double peak);

// Where values stop being finite after a step: the first parameter or op of the forward pass, else the parameter whose
// gradient was the first to break on the way back.
std::string first_non_finite(Tape& tape, const Parameters& parameters);
