// Single-threaded matrix products: oneDNN where it was built in, else Eigen. Threads and the cut into tiles: cpu.cpp.
// defines: GemmFunction, gemm_eigen, gemm_onednn, gemm_onednn_bf16, gemm_rounded, has_onednn_bf16, has_onednn,
//   tile_product, eigen_name, onednn_name
#pragma once
#include <string>
#include "engine/device.h"

using GemmFunction = void (*)(const Gemm&);

void gemm_eigen(const Gemm& product);
void gemm_onednn(const Gemm& product);       // fails where !has_onednn
void gemm_onednn_bf16(const Gemm& product);  // inputs rounded to bfloat16; fails where !has_onednn_bf16()
// Inputs rounded to bfloat16, then `multiply` in f32: what gemm_onednn_bf16 computes, for processors without such
// products.
void gemm_rounded(const Gemm& product, GemmFunction multiply);
// w[n,k] in the order that x wᵀ reads fastest, rounded to bfloat16 or not: what Gemm's b.packed is for the two products
// of oneDNN above. 0 bytes: there is none.
size_t onednn_packed_bytes(int n, int k, bool rounded);
void onednn_pack(void* to, const real* w, int n, int k, bool rounded);
// Our own for the tiles of attention, whose products take a library hardly longer than the call: inputs as they are, or
// rounded to bfloat16 (but from subnormal to 0). Null in double, and where the build has no AVX-512, or none for
// bfloat16.
GemmFunction tile_product(bool rounds);
bool has_onednn_bf16();                      // oneDNN on a processor that multiplies bfloat16
extern const bool has_onednn;                // false in double too: oneDNN has no products in double
std::string eigen_name();                    // "Eigen 3.4.0", for the start block
std::string onednn_name();
