// Every body of engine/kernels.h as a CUDA kernel: `each` by a thread an element, `rows` by a warp a row.
#include "engine/cuda/kernels.h"
#include <algorithm>
#include "engine/cuda/launch.h"
#include "engine/kernels.h"

namespace {

// A team of 32 lanes. Sums have a fixed order: each lane its own elements, then the lanes in a tree.
struct Warp {
  __device__ static int lane() { return int(threadIdx.x) & 31; }
  template <class T, class Op> __device__ static T over_lanes(T x, Op op) {
    for (int distance = 16; distance > 0; distance /= 2) x = op(x, __shfl_xor_sync(~0u, x, distance));
    return x;
  }
  template <class F> __device__ auto sum(int n, F f) const {
    decltype(f(0)) s = 0;
    for (int i = lane(); i < n; i += 32) s += f(i);
    return over_lanes(s, [](auto a, auto b) { return a + b; });
  }
  template <class F> __device__ real max(int n, F f) const {
    real m = f(0);
    for (int i = lane(); i < n; i += 32) { const real x = f(i); m = m < x ? x : m; }
    return over_lanes(m, [](real a, real b) { return a < b ? b : a; });
  }
  // What one lane writes here, another may read in the next.
  template <class F> __device__ void each(int n, F f) const {
    for (int i = lane(); i < n; i += 32) f(i);
    __syncwarp();
  }
  // write(i, read(i)) for each: four are read before any is written, so that memory is waited for once, also where
  // what is written may lie beside what is read next.
  template <class Read, class Write> __device__ void each(int n, Read read, Write write) const {
    constexpr int ahead = 4;
    int i = lane();
    for (; i + 32 * (ahead - 1) < n; i += 32 * ahead) {
      decltype(read(0)) x[ahead];
#pragma unroll
      for (int j = 0; j < ahead; j++) x[j] = read(i + 32 * j);
#pragma unroll
      for (int j = 0; j < ahead; j++) write(i + 32 * j, x[j]);
    }
    for (; i < n; i += 32) write(i, read(i));
    __syncwarp();
  }
  template <class F> __device__ void once(F f) const {
    if (lane() == 0) f();
    __syncwarp();
  }
  // sums[c] = Σ over rows [first, end) of f(row, c), each handed to keep(row, c, value). Of fewer columns than lanes,
  // several lanes share each: every so many rows one, then the lanes in a tree. Eight rows are read before any is added
  // or kept, so that memory is waited for once.
  template <class F, class Keep = KeepNothing>
  __device__ void columns(size_t first, size_t end, int width, real* sums, F f, Keep keep = {}) const {
    constexpr int ahead = 8;
    for (int column = 0; column < width; column += 32) {
      const int left = width - column,
                span = left > 16  ? 32
                       : left > 8 ? 16
                       : left > 4 ? 8
                       : left > 2 ? 4
                                  : left,
                c = column + lane() % span;
      const int step = 32 / span, rows = c < width ? (int(end - first) - lane() / span + step - 1) / step : 0;
      const auto row = [=](int i) { return first + lane() / span + size_t(i) * step; };
      real s = 0;
      int i = 0;
      for (; i + ahead <= rows; i += ahead) {
        real x[ahead];
#pragma unroll
        for (int j = 0; j < ahead; j++) x[j] = f(row(i + j), c);
#pragma unroll
        for (int j = 0; j < ahead; j++) keep(row(i + j), c, x[j]), s += x[j];
      }
      for (; i < rows; i++) {
        const real x = f(row(i), c);
        keep(row(i), c, x), s += x;
      }
      for (int distance = span; distance < 32; distance *= 2) s += __shfl_xor_sync(~0u, s, distance);
      if (lane() < span && c < width) sums[c] = s;
    }
    __syncwarp();
  }
  template <class T> __device__ T* held(T* values, int /*n*/) const { return values; }

  // For rows of up to 32 n columns: what is held is read at once and stays in registers.
  template <int n> struct Unrolled {
    struct Index {
      int column, j;
      __device__ operator int() const { return column; }
    };
    struct Held {
      real values[n];
      __device__ real operator[](Index i) const { return values[i.j]; }
    };
    template <class F> __device__ void each(int width, F f) const {
#pragma unroll
      for (int j = 0; j < n; j++)
        if (const int c = lane() + 32 * j; c < width) f(Index{c, j});
    }
    template <class T> __device__ Held held(const T* values, int width) const {
      Held h;
#pragma unroll
      for (int j = 0; j < n; j++) {
        const int c = lane() + 32 * j;
        h.values[j] = widened(values[c < width ? c : 0]);
      }
      return h;
    }
    template <class F> __device__ real sum(int width, F f) const {
      real s = 0;
      each(width, [&](Index i) { s += f(i); });
      return over_lanes(s, [](real a, real b) { return a + b; });
    }
  };
  // a[c] and b[c] = sums over rows [first, end): the function that make(team) returns takes a row and add(c, of a, of
  // b) for each of its terms. Up to 768 columns they stay in registers.
  template <class Make>
  __device__ void two_column_sums(size_t first, size_t end, int width, real* a, real* b, Make make) const {
    if (width <= 64) return two_column_sums(Unrolled<2>{}, first, end, width, a, b, make);
    if (width <= 192) return two_column_sums(Unrolled<6>{}, first, end, width, a, b, make);
    if (width <= 384) return two_column_sums(Unrolled<12>{}, first, end, width, a, b, make);
    if (width <= 768) return two_column_sums(Unrolled<24>{}, first, end, width, a, b, make);
    each(width, [=](int c) { a[c] = 0, b[c] = 0; });
    const auto row = make(*this);
    for (size_t r = first; r < end; r++) row(r, [=](int c, real of_a, real of_b) { a[c] += of_a, b[c] += of_b; });
  }
  template <int n, class Make>
  __device__ void two_column_sums(Unrolled<n> team, size_t first, size_t end, int width, real* a, real* b,
                                  Make make) const {
    using Index = typename Unrolled<n>::Index;
    real sum_a[n] = {}, sum_b[n] = {};
    const auto row = make(team);
    for (size_t r = first; r < end; r++)
      row(r, [&](Index i, real of_a, real of_b) { sum_a[i.j] += of_a, sum_b[i.j] += of_b; });
    team.each(width, [&](Index i) { a[i] = sum_a[i.j], b[i] = sum_b[i.j]; });
    __syncwarp();
  }
};

// At least 4 blocks on a multiprocessor; left alone, ptxas spills to make it 8. Bodies that keep whole rows in
// registers: 1.
constexpr int threads = 256, warps = threads / 32, most_blocks = 16384;
template <class Body> constexpr int least_blocks = 4;
template <class X> constexpr int least_blocks<LayerNormBackward<X>> = 1;

template <class Body> __global__ void __launch_bounds__(threads, 4) each_kernel(Body body, size_t n) {
  const size_t stride = size_t(gridDim.x) * threads;
  for (size_t i = size_t(blockIdx.x) * threads + threadIdx.x; i < n; i += stride) body(i);
}
template <class Body> __global__ void __launch_bounds__(threads, least_blocks<Body>) rows_kernel(Body body, size_t n) {
  const size_t stride = size_t(gridDim.x) * warps;
  for (size_t row = size_t(blockIdx.x) * warps + threadIdx.x / 32; row < n; row += stride) body(Warp{}, row);
}

unsigned blocks(size_t n, int per_block) {
  return unsigned(std::min<size_t>((n + per_block - 1) / per_block, most_blocks));
}

template <class Body> cudaError_t launch_each(size_t n, const void* fields, cudaStream_t stream) {
  return gpu::launch(each_kernel<Body>, dim3(blocks(n, threads)), dim3(threads), stream,
                     *static_cast<const Body*>(fields), n);
}
template <class Body> cudaError_t launch_rows(size_t n, const void* fields, cudaStream_t stream) {
  return gpu::launch(rows_kernel<Body>, dim3(blocks(n, warps)), dim3(threads), stream,
                     *static_cast<const Body*>(fields), n);
}

struct Add {
  std::unordered_map<std::type_index, Launcher>& table;
  template <class Body> void operator()() {
    if constexpr (std::is_invocable_v<const Body&, size_t>) table[typeid(Body)] = launch_each<Body>;
    else table[typeid(Body)] = launch_rows<Body>;
  }
};

}  // namespace

std::unordered_map<std::type_index, Launcher> kernel_launchers() {
  std::unordered_map<std::type_index, Launcher> table;
  for_each_kernel(Kernels{}, Add{table});
  for_each_kernel(KernelList<RoundRows>{}, Add{table});
  return table;
}
