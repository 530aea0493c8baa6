// A block is 4 warps and owns 64 rows, 16 a warp, that stay in registers; tiles of 64 rows of the other side pass
// through shared memory, the next one on its way while one is worked on. The C fragment of one product is the A
// fragment of the next, so nothing of size L x L is ever stored.
//   forward  own queries, keys pass:   S = q kᵀ,  A = φ(S),  o += A v
//   dq       own queries, keys pass:   S, dA;    dq += dS k
//   dk, dv   own keys, queries pass:   Sᵀ, dAᵀ;  dv += Aᵀ do,  dk += dSᵀ q
// No atomics: the same bits every time. Element-wise functions need q, k, v alone; softmax also two numbers a row:
// log2 Σ e^s from the forward pass, and Σ a da = do · o from that of dq.
#include "engine/cuda/fused_attention.h"
#include "engine/attention/attention.h"
#include "engine/cuda/attention_tiles.h"

namespace {

// Of softmax, a row [B, H, Lq].
struct RowStatistics { float log2_sum, dot; };

// What the kernels need of AttentionForward and AttentionBackward: more in their arguments would cost registers.
template <class F>
struct Forward {
  Target o;
  Source q, k, v;
  AttentionShape n;
  F f;
  real scale;
  RowStatistics* statistics;
};
template <class F> struct Backward { Target dq, dk, dv; Source d_o; AddToHeads add; Forward<F> forward; };
template <class F> Forward<F> operands(const AttentionForward& a) {
  return {.o = Target(a.o),
          .q = Source(a.q),
          .k = Source(a.k),
          .v = Source(a.v),
          .n = a.n,
          .f = static_cast<const RowFunctionOf<F>&>(*a.f).f,
          .scale = a.scale,
          .statistics = reinterpret_cast<RowStatistics*>(a.saved)};
}
template <class F> Backward<F> operands(const AttentionBackward& a) {
  return {.dq = Target(a.dq),
          .dk = Target(a.dk),
          .dv = Target(a.dv),
          .d_o = Source(a.d_o),
          .add = a.add,
          .forward = operands<F>(a.forward)};
}

template <class F> concept ElementWise = requires(float s) { F::value(s); F::slope(s); };
constexpr float log2_e = 1.44269504f;

// The softmax of a row whose scores come tile by tile (Milakov & Gimelshein 2018, 1805.02867), in powers of 2: two
// rows a lane.
struct OnlineSoftmax {
  float unit;                                                          // of the scores: s stands for 2^(s unit)
  float largest[2] = {-INFINITY, -INFINITY}, sum[2] = {0, 0};
  // s becomes 2^((s - largest) unit); what was summed before has to be multiplied by factor
  __device__ void add(Scores (&s)[tile / 16], float (&factor)[2]) {
#pragma unroll
    for (int r = 0; r < 2; r++) {
      float m = largest[r];
#pragma unroll
      for (int i = 0; i < tile / 4; i++) m = fmaxf(m, s[i / 4][i / 2 % 2][i % 2 + 2 * r]);
      m = over_row(m, [](float a, float b) { return fmaxf(a, b); });
      factor[r] = power_of_2((largest[r] - m) * unit);
      largest[r] = m;
      sum[r] *= factor[r];
      const float shift = -m * unit;
#pragma unroll
      for (int i = 0; i < tile / 4; i++) {
        float& x = s[i / 4][i / 2 % 2][i % 2 + 2 * r];
        x = power_of_2(fmaf(x, unit, shift));
        sum[r] += x;
      }
    }
  }
  __device__ float total(int r) const { return over_row(sum[r], [](float a, float b) { return a + b; }); }
  __device__ float log2_sum(int r, float total) const { return largest[r] * unit + log2f(total); }
};

// Calls f(g) for each group of 16 rows of a tile of which `rows` are there. In a whole tile `together` of them overlap.
template <int together, class F> __device__ inline void each_group(int rows, F f) {
  if (rows >= tile) {
#pragma unroll together
    for (int g = 0; g < tile / 16; g++) f(g);
  } else {
#pragma unroll 1
    for (int g = 0; g * 16 < rows; g++) f(g);
  }
}

template <class F, int d> __global__ void __launch_bounds__(threads, 4) forward_kernel(Forward<F> attention) {
  const Source q = attention.q, k = attention.k, v = attention.v;
  const AttentionShape n = attention.n;
  const real scale = attention.scale;
  SHARED(alignas(16) bf16x1, keys, [2][tile][d + 8]);
  SHARED(alignas(16) bf16x1, values, [2][tile][d + 8]);
  const Lane l;
  const Place place(n.Lq, n.H);
  const Rows<d> of_k(k, place, n.L), of_v(v, place, n.L);
  const bool works = place.first + l.warp * 16 < n.Lq;               // else its rows are none: it only helps to load
  Fragment queries[d / 16];
  Sums<d> sums = {};
  [[maybe_unused]] OnlineSoftmax softmax{scale * log2_e};
  load<d>(keys[1], Rows<d>(q, place, n.Lq), place.first);
  close_copies();
  load<d>(keys[0], of_k, 0);
  load<d>(values[0], of_v, 0);
  close_copies();
  wait_for_copies<1>();
  __syncthreads();
  own_rows<d>(queries, keys[1], l);
  for (int first = 0, stage = 0; first < n.L; first += tile, stage ^= 1) {
    wait_for_copies<0>();
    __syncthreads();  // this tile is there, and nobody reads the one before
    if (first + tile < n.L) {
      load<d>(keys[stage ^ 1], of_k, first + tile);
      load<d>(values[stage ^ 1], of_v, first + tile);
      close_copies();
    }
    if (!works) continue;
    if constexpr (ElementWise<F>) {
      each_group<4>(n.L - first, [&](int g) {
        Scores s;
        product<d>(s, queries, keys[stage], g, l);
#pragma unroll
        // keys that are none: their v is 0
        for (int i = 0; i < 8; i++) s[i / 4][i % 4] = F::value(s[i / 4][i % 4] * scale);
        add_product<d>(sums, s, values[stage], g, l);
      });
    } else {
      Scores s[tile / 16];
      float factor[2];
      const int groups = (n.L - first + 15) / 16;
      if (groups >= tile / 16) {
#pragma unroll
        for (int g = 0; g < tile / 16; g++) product<d>(s[g], queries, keys[stage], g, l);
      }
      if (n.L - first < tile) {
#pragma unroll
        for (int g = 0; g < tile / 16; g++) {
          if (groups < tile / 16 && g < groups) product<d>(s[g], queries, keys[stage], g, l);
#pragma unroll
          for (int i = 0; i < 8; i++)
            if (first + g * 16 + l.column(i) >= n.L) s[g][i / 4][i % 4] = -INFINITY;
        }
      }
      softmax.add(s, factor);
#pragma unroll
      for (int i = 0; i < d / 2; i++) sums[i / 4][i % 4] *= factor[i / 2 % 2];
      if (groups >= tile / 16) {
#pragma unroll
        for (int g = 0; g < tile / 16; g++) add_product<d>(sums, s[g], values[stage], g, l);
      } else {
#pragma unroll
        for (int g = 0; g < tile / 16; g++)
          if (g < groups) add_product<d>(sums, s[g], values[stage], g, l);
      }
    }
  }
  __syncthreads();
  if (!works) return;
  if constexpr (ElementWise<F>) {
    store<d>(attention.o, sums, keys[0], place, n.Lq, attention.f.scale, attention.f.scale, false, l);
  } else {
    const float total[2] = {softmax.total(0), softmax.total(1)};
    store<d>(attention.o, sums, keys[0], place, n.Lq, 1 / total[0], 1 / total[1], false, l);
    if (attention.statistics && l.lane % 4 == 0)
      for (int r = 0; r < 2; r++)
        if (const int row = place.first + l.row(2 * r); row < n.Lq)
          attention.statistics[place.head_row(n.Lq) + row].log2_sum = softmax.log2_sum(r, total[r]);
  }
}

// a and dS from a score, dA and, for softmax, its row; without the factor L^-α, which the sums get at the end
template <class F>
__device__ inline void weight_and_slope(float s, float scale, float da, const RowStatistics& row, float& a, float& ds) {
  if constexpr (ElementWise<F>) {
    a = F::value(s * scale);
    ds = F::slope(s * scale) * da;
  } else {
    const float below = fmaf(s, scale * log2_e, -row.log2_sum);
    // Above 0 only where there is no key, whose score of 0 may be far above all others.
    a = power_of_2(below > 0 ? 0 : below);
    ds = a * (da - row.dot);
  }
}
template <class F> __device__ inline float length_factor(const F& f) {
  if constexpr (ElementWise<F>) return f.scale;
  else return 1;
}

template <class F, int d> __global__ void __launch_bounds__(threads, 3) queries_kernel(Backward<F> attention) {
  const Forward<F> forward = attention.forward;
  const Source &q = forward.q, &k = forward.k, &v = forward.v;
  const AttentionShape& n = forward.n;
  const real scale = forward.scale;
  SHARED(alignas(16) bf16x1, keys, [2][tile][d + 8]);
  SHARED(alignas(16) bf16x1, values, [2][tile][d + 8]);
  const Lane l;
  const Place place(n.Lq, n.H);
  const Rows<d> of_k(k, place, n.L), of_v(v, place, n.L);
  const bool works = place.first + l.warp * 16 < n.Lq;
  Fragment queries[d / 16], douts[d / 16];
  Sums<d> dq = {};
  RowStatistics rows[2] = {};
  load<d>(keys[1], Rows<d>(q, place, n.Lq), place.first);
  load<d>(values[1], Rows<d>(attention.d_o, place, n.Lq), place.first);
  close_copies();
  load<d>(keys[0], of_k, 0);
  load<d>(values[0], of_v, 0);
  close_copies();
  const auto begin = [&] {
    wait_for_copies<1>();
    __syncthreads();
    own_rows<d>(queries, keys[1], l);
    own_rows<d>(douts, values[1], l);
  };
  if constexpr (ElementWise<F>) {
    begin();
  } else {
    // Past the end the last one, which has the same bits.
    const auto row = [&](int r) { return std::min(place.first + l.row(2 * r), n.Lq - 1); };
    RowStatistics* const of_head = forward.statistics + place.head_row(n.Lq);
    // on their way with the copies
    const LaneRow<d> outputs[] = {{forward.o, place, row(0), l}, {forward.o, place, row(1), l}};
    for (int r = 0; r < 2; r++) rows[r].log2_sum = of_head[row(r)].log2_sum;
    begin();
    for (int r = 0; r < 2; r++) {
      rows[r].dot = over_row(outputs[r].dot(douts, r), [](float a, float b) { return a + b; });
      if (place.first + l.row(2 * r) < n.Lq && l.lane % 4 == 0) of_head[row(r)].dot = rows[r].dot;
    }
  }
  for (int first = 0, stage = 0; first < n.L; first += tile, stage ^= 1) {
    wait_for_copies<0>();
    __syncthreads();
    if (first + tile < n.L) {
      load<d>(keys[stage ^ 1], of_k, first + tile);
      load<d>(values[stage ^ 1], of_v, first + tile);
      close_copies();
    }
    if (!works) continue;
    each_group<2>(n.L - first, [&](int g) {
      Scores s, da;
      product<d>(s, queries, keys[stage], g, l);
      product<d>(da, douts, values[stage], g, l);
#pragma unroll
      for (int i = 0; i < 8; i++) {                          // keys that are none are 0: they add nothing
        float &x = s[i / 4][i % 4], &y = da[i / 4][i % 4];
        weight_and_slope<F>(x, scale, y, rows[i / 2 % 2], x, y);
      }
      add_product<d>(dq, da, keys[stage], g, l);
    });
  }
  __syncthreads();
  const float factor = length_factor(forward.f) * scale;
  if (works) store<d>(attention.dq, dq, keys[0], place, n.Lq, factor, factor, attention.add.q, l);
}

template <class F, int d> __global__ void __launch_bounds__(threads, 3) keys_kernel(Backward<F> attention) {
  const Forward<F> forward = attention.forward;
  const Source &q = forward.q, &k = forward.k, &v = forward.v;
  const AttentionShape& n = forward.n;
  const real scale = forward.scale;
  SHARED(alignas(16) bf16x1, queries, [2][tile][d + 8]);
  SHARED(alignas(16) bf16x1, douts, [2][tile][d + 8]);
  SHARED(alignas(16) RowStatistics, rows, [2][tile]);
  const Lane l;
  const Place place(n.L, n.H);
  const Rows<d> of_q(q, place, n.Lq), of_d_o(attention.d_o, place, n.Lq);
  const bool works = place.first + l.warp * 16 < n.L;
  Fragment keys[d / 16], values[d / 16];
  Sums<d> dk = {}, dv = {};
  auto load_queries = [&](int stage, int first) {
    load<d>(queries[stage], of_q, first);
    load<d>(douts[stage], of_d_o, first);
    if constexpr (!ElementWise<F>)
      if (const int i = int(threadIdx.x); i < tile)
        copy_later<sizeof(RowStatistics)>(&rows[stage][i], forward.statistics + place.head_row(n.Lq) + first + i,
                                          first + i < n.Lq);
    close_copies();
  };
  load<d>(queries[1], Rows<d>(k, place, n.L), place.first);
  load<d>(douts[1], Rows<d>(v, place, n.L), place.first);
  close_copies();
  load_queries(0, 0);
  wait_for_copies<1>();
  __syncthreads();
  own_rows<d>(keys, queries[1], l);
  own_rows<d>(values, douts[1], l);
#pragma unroll 1
  for (int first = 0, stage = 0; first < n.Lq; first += tile, stage ^= 1) {
    wait_for_copies<0>();
    __syncthreads();
    if (first + tile < n.Lq) load_queries(stage ^ 1, first + tile);
    if (!works) continue;
    each_group<1>(n.Lq - first, [&](int g) {
      Scores s, da;                                          // transposed: own keys, passing queries
      product<d>(s, keys, queries[stage], g, l);
      product<d>(da, values, douts[stage], g, l);
#pragma unroll
      for (int i = 0; i < 8; i++) {  // queries that are none: their do is 0, and so is what they add
        float &x = s[i / 4][i % 4], &y = da[i / 4][i % 4];
        if constexpr (ElementWise<F>) weight_and_slope<F>(x, scale, y, {}, x, y);
        else weight_and_slope<F>(x, scale, y, rows[stage][g * 16 + l.column(i)], x, y);
      }
      add_product<d>(dv, s, douts[stage], g, l);
      add_product<d>(dk, da, queries[stage], g, l);
    });
  }
  __syncthreads();
  if (!works) return;
  const float factor = length_factor(forward.f);
  store<d>(attention.dv, dv, queries[0], place, n.L, factor, factor, attention.add.v, l);
  store<d>(attention.dk, dk, douts[0], place, n.L, factor * scale, factor * scale, attention.add.k, l);
}

// 16 bytes at a time
bool aligned(const void* full, const void* rounded, int width) {
  return reinterpret_cast<uintptr_t>(full) % 16 == 0 && reinterpret_cast<uintptr_t>(rounded) % 16 == 0 &&
         width % (rounded ? 8 : 4) == 0;
}
bool aligned(const HeadOutputs& x) { return aligned(x.data, x.rounded, x.width); }
bool aligned(const HeadOperands& x) { return x.data.rounded && aligned(nullptr, x.data.rounded, x.width); }
bool applies(const AttentionForward& a) {
  return (a.n.d == 32 || a.n.d == 64) && a.n.dv == a.n.d && !a.probe && !a.learned.any() && aligned(a.o) &&
         aligned(a.q) && aligned(a.k) && aligned(a.v);
}
bool applies(const AttentionBackward& a) {
  return applies(a.forward) && aligned(a.dq) && aligned(a.dk) && aligned(a.dv) && aligned(a.d_o);
}
dim3 grid(const AttentionShape& n, int rows) { return dim3(unsigned(n.B) * n.H * ((rows + tile - 1) / tile)); }

template <class F, int d> cudaError_t launch(const AttentionForward& a, cudaStream_t stream) {
  return gpu::launch(forward_kernel<F, d>, grid(a.n, a.n.Lq), dim3(threads), stream, operands<F>(a));
}
template <class F, int d> cudaError_t launch(const AttentionBackward& a, cudaStream_t stream) {
  const AttentionShape& n = a.forward.n;
  if (const cudaError_t e = gpu::launch(queries_kernel<F, d>, grid(n, n.Lq), dim3(threads), stream, operands<F>(a)))
    return e;
  return gpu::launch(keys_kernel<F, d>, grid(n, n.L), dim3(threads), stream, operands<F>(a));
}
template <class F, class Pass> cudaError_t launch(const Pass& a, int d, cudaStream_t stream) {
  return d == 32 ? launch<F, 32>(a, stream) : launch<F, 64>(a, stream);
}

// call(F) for the function of PaperFunctions that f is; false if it is none of them
template <class Call, class... F> bool visit(const RowFunction& f, Call call, AttentionFunctionList<F...>) {
  return ((typeid(f) == typeid(RowFunctionOf<F>) && (call.template operator()<F>(), true)) || ...);
}

std::optional<size_t> saves(const AttentionForward& a) {
  std::optional<size_t> numbers;
  visit(
      *a.f,
      [&]<class F> {
        numbers = ElementWise<F> ? 0 : size_t(a.n.B) * a.n.H * a.n.Lq * (sizeof(RowStatistics) / sizeof(float));
      },
      PaperFunctions{});
  return numbers;
}

}  // namespace

std::optional<size_t> fused_attention_saves(const TilesBody& body) {
  if (body.type == typeid(AttentionForward)) {
    const auto& a = *static_cast<const AttentionForward*>(body.fields);
    if (applies(a)) return saves(a);
  }
  if (body.type == typeid(AttentionBackward)) {
    const auto& a = *static_cast<const AttentionBackward*>(body.fields);
    if (applies(a)) return saves(a.forward);
  }
  return {};
}

cudaError_t launch_fused_attention(const TilesBody& body, cudaStream_t stream) {
  cudaError_t status = cudaErrorInvalidValue;
  if (body.type == typeid(AttentionForward)) {
    const auto& a = *static_cast<const AttentionForward*>(body.fields);
    visit(*a.f, [&]<class F> { status = launch<F>(a, a.n.d, stream); }, PaperFunctions{});
  } else {
    const auto& a = *static_cast<const AttentionBackward*>(body.fields);
    visit(*a.forward.f, [&]<class F> { status = launch<F>(a, a.forward.n.d, stream); }, PaperFunctions{});
  }
  return status;
}
