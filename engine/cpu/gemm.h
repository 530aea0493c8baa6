// Single-threaded matrix products: oneDNN where it was built in, else Eigen. Threads and the cut into tiles: cpu.cpp.
// defines: gemm_eigen, gemm_onednn, has_onednn, eigen_name, onednn_name
#pragma once
#include <string>
#include "engine/device.h"

void gemm_eigen(const Gemm& product);
void gemm_onednn(const Gemm& product);       // fails where !has_onednn
extern const bool has_onednn;                // false in double too: oneDNN has no products in double
std::string eigen_name();                    // "Eigen 3.4.0", for the start block
std::string onednn_name();
