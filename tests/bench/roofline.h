// What training steps on GPUs should take at best, from a count of FLOPs and bytes; labelled a prediction.
// defines: roofline_table
#pragma once
#include <string>

std::string roofline_table();
