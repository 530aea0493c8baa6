// A block is 4 warps and owns 64 rows, 16 a warp, that stay in registers; tiles of 64 rows of the other side pass through
// shared memory. The C fragment of one product is the A fragment of the next, so nothing of size L x L is ever stored.
//   forward  own queries, keys pass:   S = q kᵀ,  A = φ(S),  o += A v
//   dk, dv   own keys, queries pass:   Sᵀ, dAᵀ;  dv += Aᵀ do,  dk += dSᵀ q
//   dq       own queries, keys pass:   S, dA;    dq += dS k
// No atomics: the same bits every time. Element-wise functions need q, k, v alone; softmax also two numbers a row, log Σ e^s
// and Σ a da, that a pass before the backward ones makes again.
#include "engine/cuda/fused_attention.h"
#include "engine/attention/attention.h"
#include "engine/cuda/mma.h"

namespace {

using bf16x1 = __nv_bfloat16;
constexpr int d = 64, tile = 64, threads = 128;
constexpr int pitch = d + 8;                                          // 144-byte rows: ldmatrix meets no bank twice
using SharedTile = bf16x1[tile][pitch];
using Sums = float[d / 8][4];                                         // 16 rows of d channels, in one warp
using Scores = float[2][4];                                           // 16 rows, 16 columns

// What the kernels need of AttentionForward and AttentionBackward: more in their arguments would cost registers.
template <class F> struct Forward { HeadRows<real> o; HeadRows<const real> q, k, v; AttentionShape n; F f; real scale; };
template <class F> struct Backward { HeadRows<real> dq, dk, dv; HeadRows<const real> d_o; Forward<F> forward; };
template <class F> Forward<F> operands(const AttentionForward& a) { return {a.o, a.q.full(), a.k.full(), a.v.full(), a.n, static_cast<const RowFunctionOf<F>&>(*a.f).f, a.scale}; }
template <class F> Backward<F> operands(const AttentionBackward& a) { return {a.dq, a.dk, a.dv, a.d_o.full(), operands<F>(a.forward)}; }

template <class F> concept ElementWise = requires(float s) { F::value(s); F::slope(s); };

struct Lane {
  int warp = int(threadIdx.x) / 32, lane = int(threadIdx.x) % 32;
  __device__ int row(int i) const { return warp * 16 + lane / 4 + i / 2 % 2 * 8; }              // of element i of a fragment
  __device__ int column(int i) const { return i / 4 * 8 + lane % 4 * 2 + i % 2; }               // of element i of Scores, below 16
};

// Which rows of which head this block owns.
struct Place {
  int first, head; size_t image;
  __device__ Place(int rows, int heads) {
    const int tiles = (rows + tile - 1) / tile, which = int(blockIdx.x) / tiles;
    first = int(blockIdx.x) % tiles * tile;
    head = which % heads;
    image = size_t(which / heads);
  }
  template <class T> __device__ T* row(const HeadRows<T>& x, int i) const { return x.at(image, i, head, d); }
};

// 64 rows from `first` on, rounded; zeros after the last row
__device__ inline void load(SharedTile& to, const HeadRows<const real>& from, const Place& place, int first, int rows) {
  for (int i = int(threadIdx.x); i < tile * d / 8; i += threads) {
    const int row = i / (d / 8), column = i % (d / 8) * 8;
    uint4 eight = {0, 0, 0, 0};
    if (first + row < rows) {
      const float4* x = reinterpret_cast<const float4*>(place.row(from, first + row) + column);
      const float4 low = x[0], high = x[1];
      eight = {pack(low.x, low.y), pack(low.z, low.w), pack(high.x, high.y), pack(high.z, high.w)};
    }
    *reinterpret_cast<uint4*>(&to[row][column]) = eight;
  }
}

__device__ inline void own_rows(Fragment (&own)[d / 16], const SharedTile& from, Lane l) {
#pragma unroll
  for (int c = 0; c < d / 16; c++) own[c] = load_fragment(&from[l.warp * 16 + l.lane % 16][c * 16 + l.lane / 16 * 8]);
}

// s = own · rows 16 g ... of the tile, transposed
__device__ inline void product(Scores& s, const Fragment (&own)[d / 16], const SharedTile& other, int g, Lane l) {
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
__device__ inline void add_product(Sums& sums, const Scores& s, const SharedTile& other, int g, Lane l) {
  const Fragment a{{pack(s[0][0], s[0][1]), pack(s[0][2], s[0][3]), pack(s[1][0], s[1][1]), pack(s[1][2], s[1][3])}};
#pragma unroll
  for (int c = 0; c < d / 16; c++) {
    const Fragment b = load_fragment_transposed(&other[g * 16 + l.lane % 16][c * 16 + l.lane / 16 * 8]);
    multiply_add(sums[2 * c], a, b.r[0], b.r[1]);
    multiply_add(sums[2 * c + 1], a, b.r[2], b.r[3]);
  }
}

// The 16 rows of each warp, times factor[row < 8 ? 0 : 1]; `add`: to what is there
__device__ inline void store(const HeadRows<real>& to, const Sums& sums, const Place& place, int rows, float factor0, float factor1, bool add, Lane l) {
#pragma unroll
  for (int n = 0; n < d / 8; n++)
#pragma unroll
    for (int i = 0; i < 4; i += 2) {
      const int row = place.first + l.row(i);
      if (row >= rows) continue;
      float2* at = reinterpret_cast<float2*>(place.row(to, row) + n * 8 + l.lane % 4 * 2);
      const float factor = i ? factor1 : factor0;
      const float2 before = add ? *at : float2{0, 0};
      *at = {before.x + sums[n][i] * factor, before.y + sums[n][i + 1] * factor};
    }
}

__device__ inline float larger(float a, float b) { return a < b ? b : a; }
template <class Op> __device__ inline float over_row(float x, Op op) {         // a row lies in four lanes
  x = op(x, __shfl_xor_sync(~0u, x, 1));
  return op(x, __shfl_xor_sync(~0u, x, 2));
}

// The softmax of a row whose scores come tile by tile (Milakov & Gimelshein 2018, 1805.02867): two rows a lane.
struct OnlineSoftmax {
  float largest[2] = {-INFINITY, -INFINITY}, sum[2] = {0, 0};
  // s becomes e^(s - largest); what was summed before has to be multiplied by factor
  __device__ void add(Scores (&s)[tile / 16], float (&factor)[2]) {
#pragma unroll
    for (int r = 0; r < 2; r++) {
      float m = largest[r];
#pragma unroll
      for (int i = 0; i < tile / 4; i++) m = larger(m, s[i / 4][i / 2 % 2][i % 2 + 2 * r]);
      m = over_row(m, larger);
      factor[r] = exponential(largest[r] - m);
      largest[r] = m;
      sum[r] *= factor[r];
#pragma unroll
      for (int i = 0; i < tile / 4; i++) {
        float& x = s[i / 4][i / 2 % 2][i % 2 + 2 * r];
        x = exponential(x - m);
        sum[r] += x;
      }
    }
  }
  __device__ float total(int r) const { return over_row(sum[r], [](float a, float b) { return a + b; }); }
};

// Scores of all 64 keys of the tile, -∞ where there is no key
__device__ inline void masked_scores(Scores (&s)[tile / 16], const Fragment (&queries)[d / 16], const SharedTile& keys, int keys_left, real scale, Lane l) {
#pragma unroll
  for (int g = 0; g < tile / 16; g++) {
    product(s[g], queries, keys, g, l);
#pragma unroll
    for (int i = 0; i < 8; i++) s[g][i / 4][i % 4] = g * 16 + l.column(i) < keys_left ? s[g][i / 4][i % 4] * scale : -INFINITY;
  }
}

template <class F> __global__ void __launch_bounds__(threads) forward_kernel(Forward<F> attention) {
  const auto [o, q, k, v, n, f, scale] = attention;
  SHARED(alignas(16) bf16x1, keys, [tile][pitch]);
  SHARED(alignas(16) bf16x1, values, [tile][pitch]);
  const Lane l;
  const Place place(n.Lq, n.H);
  Fragment queries[d / 16];
  Sums sums = {};
  [[maybe_unused]] OnlineSoftmax softmax;
  load(keys, q, place, place.first, n.Lq);
  __syncthreads();
  own_rows(queries, keys, l);
  for (int first = 0; first < n.L; first += tile) {
    __syncthreads();
    load(keys, k, place, first, n.L);
    load(values, v, place, first, n.L);
    __syncthreads();
    if constexpr (ElementWise<F>) {
#pragma unroll
      for (int g = 0; g < tile / 16; g++) {
        if (first + g * 16 >= n.L) break;
        Scores s;
        product(s, queries, keys, g, l);
#pragma unroll
        for (int i = 0; i < 8; i++) s[i / 4][i % 4] = F::value(s[i / 4][i % 4] * scale);   // keys that are none: their v is 0
        add_product(sums, s, values, g, l);
      }
    } else {
      Scores s[tile / 16];
      float factor[2];
      masked_scores(s, queries, keys, n.L - first, scale, l);
      softmax.add(s, factor);
#pragma unroll
      for (int i = 0; i < d / 2; i++) sums[i / 4][i % 4] *= factor[i / 2 % 2];
#pragma unroll
      for (int g = 0; g < tile / 16; g++) add_product(sums, s[g], values, g, l);
    }
  }
  if constexpr (ElementWise<F>) store(o, sums, place, n.Lq, f.scale, f.scale, false, l);
  else store(o, sums, place, n.Lq, 1 / softmax.total(0), 1 / softmax.total(1), false, l);
}

// What softmax needs of each row in the backward pass: log Σ e^s and Σ a da = do · o. Rows [B, H, Lq].
struct RowStatistics { float log_sum, dot; };

template <class F> __global__ void __launch_bounds__(threads) statistics_kernel(Backward<F> attention, RowStatistics* statistics) {
  const auto [o, q, k, v, n, f, scale] = attention.forward;
  SHARED(alignas(16) bf16x1, keys, [tile][pitch]);
  const Lane l;
  const Place place(n.Lq, n.H);
  Fragment queries[d / 16];
  OnlineSoftmax softmax;
  load(keys, q, place, place.first, n.Lq);
  __syncthreads();
  own_rows(queries, keys, l);
  for (int first = 0; first < n.L; first += tile) {
    __syncthreads();
    load(keys, k, place, first, n.L);
    __syncthreads();
    Scores s[tile / 16];
    float factor[2];
    masked_scores(s, queries, keys, n.L - first, scale, l);
    softmax.add(s, factor);
  }
  for (int r = 0; r < 2; r++) {
    const int row = place.first + l.row(2 * r);
    float dot = 0;
    if (row < n.Lq)
      for (int c = l.lane % 4; c < d; c += 4) dot += from_bf16(to_bf16(place.row(attention.d_o, row)[c])) * place.row(o, row)[c];   // rounded, as in dA
    dot = over_row(dot, [](float a, float b) { return a + b; });
    const float log_sum = softmax.largest[r] + std::log(softmax.total(r));
    if (row < n.Lq && l.lane % 4 == 0) statistics[(place.image * n.H + place.head) * n.Lq + row] = {log_sum, dot};
  }
}

// a and dS from a score, dA and, for softmax, its row; without the factor L^-α, which the sums get at the end
template <class F> __device__ inline void weight_and_slope(float s, float da, const RowStatistics& row, float& a, float& ds) {
  if constexpr (ElementWise<F>) {
    a = F::value(s);
    ds = F::slope(s) * da;
  } else {
    const float below = s - row.log_sum;
    a = exponential(below > 0 ? 0 : below);                  // above 0 only where there is no key, whose score of 0 may be far above all others
    ds = a * (da - row.dot);
  }
}
template <class F> __device__ inline float length_factor(const F& f) {
  if constexpr (ElementWise<F>) return f.scale;
  else return 1;
}

template <class F> __global__ void __launch_bounds__(threads) keys_kernel(Backward<F> attention, const RowStatistics* statistics) {
  const auto [o, q, k, v, n, f, scale] = attention.forward;
  SHARED(alignas(16) bf16x1, queries, [tile][pitch]);
  SHARED(alignas(16) bf16x1, douts, [tile][pitch]);
  SHARED(RowStatistics, rows, [tile]);
  const Lane l;
  const Place place(n.L, n.H);
  Fragment keys[d / 16], values[d / 16];
  Sums dk = {}, dv = {};
  load(queries, k, place, place.first, n.L);
  load(douts, v, place, place.first, n.L);
  __syncthreads();
  own_rows(keys, queries, l);
  own_rows(values, douts, l);
  for (int first = 0; first < n.Lq; first += tile) {
    __syncthreads();
    load(queries, q, place, first, n.Lq);
    load(douts, attention.d_o, place, first, n.Lq);
    if constexpr (!ElementWise<F>)
      for (int i = int(threadIdx.x); i < tile; i += threads)
        rows[i] = first + i < n.Lq ? statistics[(place.image * n.H + place.head) * n.Lq + first + i] : RowStatistics{0, 0};
    __syncthreads();
#pragma unroll
    for (int g = 0; g < tile / 16; g++) {
      if (first + g * 16 >= n.Lq) break;
      Scores s, da;                                          // transposed: own keys, passing queries
      product(s, keys, queries, g, l);
      product(da, values, douts, g, l);
#pragma unroll
      for (int i = 0; i < 8; i++) {                          // queries that are none: their do is 0, and so is what they add
        float &x = s[i / 4][i % 4], &y = da[i / 4][i % 4];
        RowStatistics row{};
        if constexpr (!ElementWise<F>) row = rows[g * 16 + l.column(i)];
        weight_and_slope<F>(x * scale, y, row, x, y);
      }
      add_product(dv, s, douts, g, l);
      add_product(dk, da, queries, g, l);
    }
  }
  const float factor = length_factor(f);
  store(attention.dv, dv, place, n.L, factor, factor, true, l);
  store(attention.dk, dk, place, n.L, factor * scale, factor * scale, true, l);
}

template <class F> __global__ void __launch_bounds__(threads) queries_kernel(Backward<F> attention, const RowStatistics* statistics) {
  const auto [o, q, k, v, n, f, scale] = attention.forward;
  SHARED(alignas(16) bf16x1, keys, [tile][pitch]);
  SHARED(alignas(16) bf16x1, values, [tile][pitch]);
  const Lane l;
  const Place place(n.Lq, n.H);
  Fragment queries[d / 16], douts[d / 16];
  Sums dq = {};
  RowStatistics rows[2] = {};
  if constexpr (!ElementWise<F>)
    for (int r = 0; r < 2; r++)
      if (const int row = place.first + l.row(2 * r); row < n.Lq) rows[r] = statistics[(place.image * n.H + place.head) * n.Lq + row];
  load(keys, q, place, place.first, n.Lq);
  load(values, attention.d_o, place, place.first, n.Lq);
  __syncthreads();
  own_rows(queries, keys, l);
  own_rows(douts, values, l);
  for (int first = 0; first < n.L; first += tile) {
    __syncthreads();
    load(keys, k, place, first, n.L);
    load(values, v, place, first, n.L);
    __syncthreads();
#pragma unroll
    for (int g = 0; g < tile / 16; g++) {
      if (first + g * 16 >= n.L) break;
      Scores s, da;
      product(s, queries, keys, g, l);
      product(da, douts, values, g, l);
#pragma unroll
      for (int i = 0; i < 8; i++) {                          // keys that are none are 0: they add nothing
        float &x = s[i / 4][i % 4], &y = da[i / 4][i % 4];
        weight_and_slope<F>(x * scale, y, rows[i / 2 % 2], x, y);
      }
      add_product(dq, da, keys, g, l);
    }
  }
  const float factor = length_factor(f) * scale;
  store(attention.dq, dq, place, n.Lq, factor, factor, true, l);
}

template <class T> bool aligned(const HeadRows<T>& x) { return reinterpret_cast<uintptr_t>(x.data) % 16 == 0 && x.width % 4 == 0; }
bool aligned(const HeadOperands& x) { return x.data.full && aligned(x.full()); }
bool applies(const AttentionForward& a) { return a.n.d == d && a.n.dv == d && !a.probe && !a.learned.any() && aligned(a.o) && aligned(a.q) && aligned(a.k) && aligned(a.v); }
bool applies(const AttentionBackward& a) { return applies(a.forward) && aligned(a.dq) && aligned(a.dk) && aligned(a.dv) && aligned(a.d_o); }
dim3 grid(const AttentionShape& n, int rows) { return dim3(unsigned(n.B) * n.H * ((rows + tile - 1) / tile)); }

template <class F> cudaError_t launch(const AttentionForward& a, FusedScratch, cudaStream_t stream) {
  return gpu::launch(forward_kernel<F>, grid(a.n, a.n.Lq), dim3(threads), stream, operands<F>(a));
}
template <class F> cudaError_t launch(const AttentionBackward& a, FusedScratch scratch, cudaStream_t stream) {
  const AttentionShape& n = a.forward.n;
  RowStatistics* statistics = nullptr;
  if constexpr (!ElementWise<F>) {
    statistics = static_cast<RowStatistics*>(scratch(size_t(n.B) * n.H * n.Lq * sizeof(RowStatistics)));
    if (const cudaError_t e = gpu::launch(statistics_kernel<F>, grid(n, n.Lq), dim3(threads), stream, operands<F>(a), statistics)) return e;
  }
  if (const cudaError_t e = gpu::launch(keys_kernel<F>, grid(n, n.L), dim3(threads), stream, operands<F>(a), statistics)) return e;
  return gpu::launch(queries_kernel<F>, grid(n, n.Lq), dim3(threads), stream, operands<F>(a), statistics);
}

template <class Pass, class... F>
std::optional<cudaError_t> launch_if_known(const Pass& a, const RowFunction& f, FusedScratch scratch, cudaStream_t stream, AttentionFunctionList<F...>) {
  std::optional<cudaError_t> status;
  if (applies(a)) ((typeid(f) == typeid(RowFunctionOf<F>) && (status = launch<F>(a, scratch, stream), true)) || ...);
  return status;
}

}  // namespace

std::optional<cudaError_t> launch_fused_attention(const TilesBody& body, FusedScratch scratch, cudaStream_t stream) {
  if (body.type == typeid(AttentionForward)) {
    const auto& a = *static_cast<const AttentionForward*>(body.fields);
    return launch_if_known(a, *a.f, scratch, stream, PaperFunctions{});
  }
  if (body.type == typeid(AttentionBackward)) {
    const auto& a = *static_cast<const AttentionBackward*>(body.fields);
    return launch_if_known(a, *a.forward.f, scratch, stream, PaperFunctions{});
  }
  return {};
}
