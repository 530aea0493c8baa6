// The pieces of the fused attention kernels: rows of heads in device memory, tiles of 64 of them in shared memory,
// and products of 16 rows a warp that stay in registers. d: channels of a head.
// defines: Lane, Place, Source, Target, Rows, load, own_rows, product, add_product, store, LaneRow, over_row
#pragma once
#include <bit>
#include "engine/attention/heads.h"
#include "engine/cuda/copy.h"
#include "engine/cuda/mma.h"

using bf16x1 = __nv_bfloat16;
constexpr int tile = 64, threads = 128;
template <int d> using SharedTile = bf16x1[tile][d + 8];              // 8 more: ldmatrix meets no bank twice
template <int d> using Sums = float[d / 8][4];                        // 16 rows of d channels, in one warp
using Scores = float[2][4];                                           // 16 rows, 16 columns

// Heads that are read, rounded; and heads that are written, as reals or rounded.
struct Source {
  const bf16* rounded; int L, width;
  explicit Source(const HeadOperands& x) : rounded(x.data.rounded), L(x.L), width(x.width) {}
};
struct Target {
  real* full; bf16* rounded; int L, width;
  explicit Target(const HeadOutputs& x) : full(x.data), rounded(x.rounded), L(x.L), width(x.width) {}
};

struct Lane {
  int warp = int(threadIdx.x) / 32, lane = int(threadIdx.x) % 32;
  __device__ int row(int i) const { return warp * 16 + lane / 4 + i / 2 % 2 * 8; }  // of element i of a fragment
  __device__ int column(int i) const { return i / 4 * 8 + lane % 4 * 2 + i % 2; }   // of element i of Scores, below 16
};

// Which rows of which head this block owns.
struct Place {
  int first, head, heads; size_t image;
  __device__ Place(int rows, int heads) : heads(heads) {
    const int tiles = (rows + tile - 1) / tile, which = int(blockIdx.x) / tiles;
    first = int(blockIdx.x) % tiles * tile;
    head = which % heads;
    image = size_t(which / heads);
  }
  // of the first of the head's d channels in its first row of x
  template <int d, class Heads>
  __device__ size_t at(const Heads& x) const {
    return image * x.L * size_t(x.width) + head * d;
  }
  __device__ size_t head_row(int rows) const {
    return (image * heads + head) * rows;
  }  // of the head's first row in [B, H, rows]
};

// The rows of one head that tiles are made of, as this thread copies them: 8 channels of every so many rows.
template <int d> struct Rows {
  static constexpr int apart = threads * 8 / d;
  const bf16* own; int width, n;                                       // the thread's part of its first row
  __device__ Rows(const Source& x, const Place& place, int n)
      : own(x.rounded + place.at<d>(x) + row() * x.width + column()), width(x.width), n(n) {}
  __device__ static int row() { return int(threadIdx.x) / (d / 8); }
  __device__ static int column() { return int(threadIdx.x) % (d / 8) * 8; }
};
// 64 rows from `from` on; zeros after the last row. They are there after close_copies and wait_for_copies.
template <int d> __device__ inline void load(SharedTile<d>& to, const Rows<d>& rows, int from) {
#pragma unroll
  for (int j = 0; j < tile / rows.apart; j++)
    copy_later<16>(&to[rows.row() + j * rows.apart][rows.column()], rows.own + (from + j * rows.apart) * rows.width,
                   from + rows.row() + j * rows.apart < rows.n);
}

template <int d> __device__ inline void own_rows(Fragment (&own)[d / 16], const SharedTile<d>& from, Lane l) {
#pragma unroll
  for (int c = 0; c < d / 16; c++) own[c] = load_fragment(&from[l.warp * 16 + l.lane % 16][c * 16 + l.lane / 16 * 8]);
}

// s = own · rows 16 g ... of the tile, transposed
template <int d>
__device__ inline void product(Scores& s, const Fragment (&own)[d / 16], const SharedTile<d>& other, int g, Lane l) {
#pragma unroll
  for (int i = 0; i < 8; i++) s[i / 4][i % 4] = 0;
#pragma unroll
  for (int c = 0; c < d / 16; c++) {
    const Fragment b = load_fragment(&other[g * 16 + l.lane / 16 * 8 + l.lane % 8][c * 16 + l.lane / 8 % 2 * 8]);
    multiply_add(s[0], own[c], b.r[0], b.r[1]);
    multiply_add(s[1], own[c], b.r[2], b.r[3]);
  }
}

// sums += s · rows 16 g ... of the tile
template <int d>
__device__ inline void add_product(Sums<d>& sums, const Scores& s, const SharedTile<d>& other, int g, Lane l) {
  const Fragment a{{pack(s[0][0], s[0][1]), pack(s[0][2], s[0][3]), pack(s[1][0], s[1][1]), pack(s[1][2], s[1][3])}};
#pragma unroll
  for (int c = 0; c < d / 16; c++) {
    const Fragment b = load_fragment_transposed(&other[g * 16 + l.lane % 16][c * 16 + l.lane / 16 * 8]);
    multiply_add(sums[2 * c], a, b.r[0], b.r[1]);
    multiply_add(sums[2 * c + 1], a, b.r[2], b.r[3]);
  }
}

// The 16 rows of each warp, times factor[row < 8 ? 0 : 1]; `add`: to what is there, which then is full. Rounded ones
// pass through the warp's rows of `memory`, so that a lane writes 16 bytes.
template <int d>
__device__ inline void store(const Target& to, const Sums<d>& sums, SharedTile<d>& memory, const Place& place, int rows,
                             float factor0, float factor1, int add, Lane l) {
  const size_t head = place.at<d>(to);
  if (!to.rounded) {
#pragma unroll
    for (int n = 0; n < d / 8; n++)
#pragma unroll
      for (int i = 0; i < 4; i += 2) {
        const int row = place.first + l.row(i);
        if (row >= rows) continue;
        float2* at = reinterpret_cast<float2*>(to.full + head + row * to.width + n * 8 + l.lane % 4 * 2);
        const float factor = i ? factor1 : factor0;
        const float2 before = add ? *at : float2{0, 0};
        *at = {before.x + sums[n][i] * factor, before.y + sums[n][i + 1] * factor};
      }
    return;
  }
#pragma unroll
  for (int n = 0; n < d / 8; n++)
#pragma unroll
    for (int i = 0; i < 4; i += 2) {
      const float factor = i ? factor1 : factor0;
      *reinterpret_cast<uint32_t*>(&memory[l.row(i)][n * 8 + l.lane % 4 * 2]) =
          pack(sums[n][i] * factor, sums[n][i + 1] * factor);
    }
  __syncwarp();
#pragma unroll
  for (int j = 0; j < 16 * d / 8 / 32; j++) {
    const int i = l.lane + j * 32, row = l.warp * 16 + i / (d / 8), column = i % (d / 8) * 8;
    if (place.first + row < rows)
      *reinterpret_cast<uint4*>(to.rounded + head + (place.first + row) * to.width + column) =
          *reinterpret_cast<const uint4*>(&memory[row][column]);
  }
}

__device__ inline float2 widen(uint32_t pair) {
  return {std::bit_cast<float>(pair << 16), std::bit_cast<float>(pair & 0xFFFF0000u)};
}

// What this lane has of row i of the head in x, where a fragment has it too
template <int d> struct LaneRow {
  float2 pairs[d / 8];
  __device__ LaneRow(const Target& x, const Place& place, int i, Lane l) {
    const size_t at = place.at<d>(x) + i * x.width + l.lane % 4 * 2;
#pragma unroll
    for (int c = 0; c < d / 8; c++)
      pairs[c] = x.rounded ? widen(*reinterpret_cast<const uint32_t*>(x.rounded + at + c * 8))
                           : *reinterpret_cast<const float2*>(x.full + at + c * 8);
  }
  // its part of the product with row r (0 or 1) of a fragment
  __device__ float dot(const Fragment (&own)[d / 16], int r) const {
    float sum = 0;
#pragma unroll
    for (int c = 0; c < d / 8; c++) {
      const float2 x = widen(own[c / 2].r[c % 2 * 2 + r]);
      sum += x.x * pairs[c].x + x.y * pairs[c].y;
    }
    return sum;
  }
};

template <class Op> __device__ inline float over_row(float x, Op op) {         // a row lies in four lanes
  x = op(x, __shfl_xor_sync(~0u, x, 1));
  return op(x, __shfl_xor_sync(~0u, x, 2));
}
