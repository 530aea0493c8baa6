#if defined(__AVX512F__) && defined(__AVX512BW__) && defined(__AVX512VL__) && \
    !defined(REAL)  // not for the gradient checks in double
#define TILE_PRODUCTS
#endif
#include <algorithm>
#include <cstring>
#include <vector>
#include "engine/cpu/gemm.h"

// b is put in panels of 64 columns, in which 16 neighbours of a row of k make one register; a is read where it lies, a
// value at a time, spread over a register. A block of 6 rows of c by one panel stays in registers over up to 512 of k.
// In bf16 the unit along k is a pair: two values of one column side by side, as the processor multiplies them.
#ifdef TILE_PRODUCTS
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"                // g++ 12 warns of its own header (GCC bug 105593)
#endif
#include <immintrin.h>

namespace {
constexpr int lanes = 16, panel = 4 * lanes, most_rows = 6, most_depth = 512;

__mmask16 first_of(int n) { return n >= lanes ? 0xFFFF : __mmask16((1u << std::max(n, 0)) - 1); }
template <class T> T* room(std::vector<T>& memory, size_t n) {
  if (memory.size() < n) memory.resize(n);
  return memory.data();
}

// r[i][j] = r[j][i], values of 32 bits
[[gnu::always_inline]] inline void transpose(__m512i r[lanes]) {
  __m512i t[lanes];
#pragma GCC unroll 16
  for (int i = 0; i < 16; i += 2)
    t[i] = _mm512_unpacklo_epi32(r[i], r[i + 1]), t[i + 1] = _mm512_unpackhi_epi32(r[i], r[i + 1]);
#pragma GCC unroll 16
  for (int i = 0; i < 16; i += 4) {
    r[i] = _mm512_unpacklo_epi64(t[i], t[i + 2]), r[i + 1] = _mm512_unpackhi_epi64(t[i], t[i + 2]);
    r[i + 2] = _mm512_unpacklo_epi64(t[i + 1], t[i + 3]), r[i + 3] = _mm512_unpackhi_epi64(t[i + 1], t[i + 3]);
  }
#pragma GCC unroll 16
  for (int i = 0; i < 16; i++)
    if (i % 8 < 4)
      t[i] = _mm512_shuffle_i32x4(r[i], r[i + 4], 0x88), t[i + 4] = _mm512_shuffle_i32x4(r[i], r[i + 4], 0xdd);
#pragma GCC unroll 16
  for (int i = 0; i < 8; i++)
    r[i] = _mm512_shuffle_i32x4(t[i], t[i + 8], 0x88), r[i + 8] = _mm512_shuffle_i32x4(t[i], t[i + 8], 0xdd);
}

struct Full {                                                          // f32
  static constexpr int group = 1;
  static __m512i row(const float* x, int /*stride*/, int n, bool /*pair*/) {
    return _mm512_castps_si512(_mm512_maskz_loadu_ps(first_of(n), x));
  }
  static __m512i along(const float* x, int n) { return row(x, 0, n, false); }
  static __m512 add(__m512 sum, __m512i a, __m512i b) {
    return _mm512_fmadd_ps(_mm512_castsi512_ps(a), _mm512_castsi512_ps(b), sum);
  }
};
#ifdef __AVX512BF16__
struct Half {                                                          // bfloat16, in pairs along k
  static constexpr int group = 2;
  static __m256i load(const bf16* x, __mmask16 mask) { return _mm256_maskz_loadu_epi16(mask, x); }
  // as to_bf16, but subnormal values become 0
  static __m256i load(const float* x, __mmask16 mask) {
    return (__m256i)_mm512_cvtneps_pbh(_mm512_maskz_loadu_ps(mask, x));
  }
  template <class T> static __m512i row(const T* x, int stride, int n, bool pair) {
    const __mmask16 mask = first_of(n);
    const __m512i even = _mm512_cvtepu16_epi32(load(x, mask));
    return pair ? _mm512_or_si512(even, _mm512_slli_epi32(_mm512_cvtepu16_epi32(load(x + stride, mask)), 16)) : even;
  }
  static __m512i along(const bf16* x, int n) {
    return _mm512_maskz_loadu_epi16(n >= 2 * lanes ? ~__mmask32(0) : (__mmask32(1) << std::max(n, 0)) - 1, x);
  }
  static __m512 add(__m512 sum, __m512i a, __m512i b) { return _mm512_dpbf16_ps(sum, (__m512bh)a, (__m512bh)b); }
};
#endif

// to[p][j] = values `group` p and on of column j, for x[k,n], zeros up to `width` columns
template <class F, class T> void pack(int* to, size_t step, const T* x, int stride, int k, int n, int width) {
  for (int p = 0; p * F::group < k; p++)
    for (int j = 0; j < width; j += lanes)
      _mm512_storeu_si512(to + p * step + j,
                          F::row(x + size_t(p) * F::group * stride + j, stride, n - j, p * F::group + 1 < k));
}
// the same for x[n,k]
template <class F, class T>
void pack_transposed(int* to, size_t step, const T* x, int stride, int k, int n, int width) {
  for (int j = 0; j < width; j += lanes)
    for (int p = 0; p * F::group < k; p += lanes) {
      __m512i r[lanes];
#pragma GCC unroll 16
      for (int i = 0; i < lanes; i++)
        r[i] =
            j + i < n ? F::along(x + size_t(j + i) * stride + p * F::group, k - p * F::group) : _mm512_setzero_si512();
      transpose(r);
      for (int i = 0; i < lanes && (p + i) * F::group < k; i++) _mm512_storeu_si512(to + (p + i) * step + j, r[i]);
    }
}

// A unit of a; of half a pair the other value is 0.
int unit_at(const char* x, bool half) {
  int unit = 0;
  std::memcpy(&unit, x, half ? 2 : 4);
  return unit;
}

// unit p of row i at data + i row + p unit; half: the last is not a pair
struct Left { const char* data; size_t row, unit; bool half; };

template <class F, int M, int V> void block(const Gemm& g, float* c, int n, const Left& a, const int* b, int units) {
  __m512 sum[M][V];
#pragma GCC unroll 8
  for (int i = 0; i < M; i++)
#pragma GCC unroll 4
    for (int v = 0; v < V; v++) sum[i][v] = _mm512_setzero_ps();
  const char* from = a.data;
  auto add = [&](bool half) __attribute__((always_inline)) {
    __m512i right[V];
#pragma GCC unroll 4
    for (int v = 0; v < V; v++) right[v] = _mm512_loadu_si512(b + v * lanes);
#pragma GCC unroll 8
    for (int i = 0; i < M; i++) {
      const __m512i left = _mm512_set1_epi32(unit_at(from + i * a.row, half));
#pragma GCC unroll 4
      for (int v = 0; v < V; v++) sum[i][v] = F::add(sum[i][v], left, right[v]);
    }
    from += a.unit, b += panel;
  };
  for (int p = 0; p + a.half < units; p++) add(false);
  if (a.half) add(true);
  const __m512 scale = _mm512_set1_ps(g.alpha), keep = _mm512_set1_ps(g.beta);
#pragma GCC unroll 8
  for (int i = 0; i < M; i++)
#pragma GCC unroll 4
    for (int v = 0; v < V; v++) {
      float* to = c + size_t(i) * g.stride_c() + v * lanes;
      const __mmask16 mask = first_of(n - v * lanes);
      const __m512 y = _mm512_mul_ps(sum[i][v], scale);
      _mm512_mask_storeu_ps(to, mask, g.beta == 0 ? y : _mm512_fmadd_ps(_mm512_maskz_loadu_ps(mask, to), keep, y));
    }
}

// Calls f.template operator()<N>() for N = n, 1 to most.
template <int most, class Call> void with_constant(int n, Call f) {
  if constexpr (most > 1)
    if (n < most) return with_constant<most - 1>(n, f);
  f.template operator()<most>();
}

// A and B are what F multiplies; f32 will do for Half where it is packed row by row: a that is transposed, b that is
// not.
template <class F, class A, class B> void multiply(const Gemm& g, const A* a, int lda, const B* b, int ldb) {
  if (g.k > most_depth) {                                                // part by part, each added to those before
    for (int first = 0; first < g.k; first += most_depth) {
      Gemm part = g;
      part.k = std::min(most_depth, g.k - first), part.beta = first ? 1 : g.beta;
      multiply<F>(part, a + (g.ta ? size_t(first) * lda : first), lda, b + (g.tb ? first : size_t(first) * ldb), ldb);
    }
    return;
  }
  static thread_local std::vector<int> left, right;
  const int units = (g.k + F::group - 1) / F::group;
  Left from{reinterpret_cast<const char*>(a), lda * sizeof(A), 4, g.k % F::group == 1};
  if (g.ta && F::group == 1) from = {from.data, 4, from.row, false};
  else if (g.ta) {
    const int width = (g.m + lanes - 1) / lanes * lanes;
    int* to = room(left, size_t(units) * width);
    pack<F>(to, width, a, lda, g.k, g.m, width);
    from = {reinterpret_cast<const char*>(to), 4, size_t(width) * 4, false};
  }
  int* packed = room(right, size_t(units) * panel);
  for (int j = 0; j < g.n; j += panel) {
    const int n = std::min(panel, g.n - j), registers = (n + lanes - 1) / lanes;
    if constexpr (requires { F::along(b, 0); }) {
      if (g.tb) pack_transposed<F>(packed, panel, b + size_t(j) * ldb, ldb, g.k, n, registers * lanes);
    }
    if (!g.tb) pack<F>(packed, panel, b + j, ldb, g.k, n, registers * lanes);
    with_constant<4>(registers, [&]<int V>() {
      for (int i = 0; i < g.m; i += most_rows)
        with_constant<most_rows>(std::min(most_rows, g.m - i), [&]<int M>() {
          block<F, M, V>(g, g.c + size_t(i) * g.stride_c() + j, n,
                         {from.data + i * from.row, from.row, from.unit, from.half}, packed, units);
        });
    });
  }
}

void tile_f32(const Gemm& g) { multiply<Full>(g, g.a.full, g.stride_a(), g.b.full, g.stride_b()); }

#ifdef __AVX512BF16__
const bf16* rounded(const real* x, int rows, int columns, int stride, std::vector<bf16>& memory) {
  bf16* to = room(memory, size_t(rows) * columns + 1);                  // the last pair of an odd row may be read whole
  for (int i = 0; i < rows; i++)
    for (int j = 0; j < columns; j += lanes) {
      const __mmask16 mask = first_of(columns - j);
      _mm256_mask_storeu_epi16(to + size_t(i) * columns + j, mask, Half::load(x + size_t(i) * stride + j, mask));
    }
  return to;
}
void tile_bf16(const Gemm& g) {
  static thread_local std::vector<bf16> left, right;
  auto with_b = [&](const auto* a, int lda) {
    if (g.b.rounded) multiply<Half>(g, a, lda, g.b.rounded, g.stride_b());
    else if (g.tb) multiply<Half>(g, a, lda, rounded(g.b.full, g.n, g.k, g.stride_b(), right), g.k);
    else multiply<Half>(g, a, lda, g.b.full, g.stride_b());
  };
  if (g.a.rounded) with_b(g.a.rounded, g.stride_a());
  else if (!g.ta) with_b(rounded(g.a.full, g.m, g.k, g.stride_a(), left), g.k);
  else with_b(g.a.full, g.stride_a());
}
#endif
}  // namespace

GemmFunction tile_product(bool rounds) {
#ifdef __AVX512BF16__
  if (rounds) return tile_bf16;
#endif
  return rounds ? nullptr : tile_f32;
}
#else
GemmFunction tile_product(bool) { return nullptr; }
#endif
