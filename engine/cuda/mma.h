// Tensor-core instructions on 8x8 matrices of bf16, as the PTX ISA documents them (ldmatrix, mma.sync m16n8k16).
// defines: Fragment, load_fragment, load_fragment_transposed, multiply_add, power_of_2, pack
#pragma once
#include <cuda_bf16.h>
#include <cstdint>
#include <cstring>
#include "engine/cuda/launch.h"

// Four 8x8 matrices, two values of each in every lane.
struct Fragment { uint32_t r[4]; };

#ifdef __CUDACC__
// Lane 8m + r gives the address of row r of matrix m; of each matrix lane l gets row l / 4, columns 2 (l % 4) and the
// next.
__device__ inline Fragment load_fragment(const __nv_bfloat16* row) {
  Fragment f;
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(f.r[0]), "=r"(f.r[1]), "=r"(f.r[2]), "=r"(f.r[3])
               : "r"(uint32_t(__cvta_generic_to_shared(row)))
               : "memory");
  return f;
}
// The same of the transposed matrices: rows 2 (l % 4) and the next, column l / 4.
__device__ inline Fragment load_fragment_transposed(const __nv_bfloat16* row) {
  Fragment f;
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(f.r[0]), "=r"(f.r[1]), "=r"(f.r[2]), "=r"(f.r[3])
               : "r"(uint32_t(__cvta_generic_to_shared(row)))
               : "memory");
  return f;
}
// c[16,8] += a[16,16] b[16,8]; of c a lane holds rows l / 4 (c[0], c[1]) and l / 4 + 8, columns 2 (l % 4) and the next.
__device__ inline void multiply_add(float (&c)[4], const Fragment& a, uint32_t b0, uint32_t b1) {
  asm volatile(
      "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, "
      "%3};"
      : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
      : "r"(a.r[0]), "r"(a.r[1]), "r"(a.r[2]), "r"(a.r[3]), "r"(b0), "r"(b1));
}
// 2^x to 2 ulp, 0 below 2^-126
__device__ inline float power_of_2(float x) {
  float y;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
}
#else
#include "tests/emulator/mma.h"
#endif

__device__ inline uint32_t pack(float low, float high) {
  const __nv_bfloat162 pair = __floats2bfloat162_rn(low, high);
  uint32_t bits;
  memcpy(&bits, &pair, sizeof bits);
  return bits;
}
