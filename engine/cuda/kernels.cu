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
  template <class F> __device__ void once(F f) const {
    if (lane() == 0) f();
    __syncwarp();
  }
  // sums[c] = Σ over rows [first, end) of f(row, c), each handed to keep(row, c, value). Of fewer columns than lanes, several lanes
  // share each: every so many rows one, then the lanes in a tree. Four rows are read before any is added or kept, so that memory
  // is waited for once.
  template <class F, class Keep = KeepNothing> __device__ void columns(size_t first, size_t end, int width, real* sums, F f, Keep keep = {}) const {
    constexpr int ahead = 4;
    for (int column = 0; column < width; column += 32) {
      const int left = width - column, span = left > 16 ? 32 : left > 8 ? 16 : left > 4 ? 8 : left > 2 ? 4 : left, c = column + lane() % span;
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
};

// At least 4 blocks on a multiprocessor; left alone, ptxas spills to make it 8.
constexpr int threads = 256, warps = threads / 32, most_blocks = 16384;

template <class Body> __global__ void __launch_bounds__(threads, 4) each_kernel(Body body, size_t n) {
  const size_t stride = size_t(gridDim.x) * threads;
  for (size_t i = size_t(blockIdx.x) * threads + threadIdx.x; i < n; i += stride) body(i);
}
template <class Body> __global__ void __launch_bounds__(threads, 4) rows_kernel(Body body, size_t n) {
  const size_t stride = size_t(gridDim.x) * warps;
  for (size_t row = size_t(blockIdx.x) * warps + threadIdx.x / 32; row < n; row += stride) body(Warp{}, row);
}

unsigned blocks(size_t n, int per_block) { return unsigned(std::min<size_t>((n + per_block - 1) / per_block, most_blocks)); }

template <class Body> cudaError_t launch_each(size_t n, const void* fields, cudaStream_t stream) {
  return gpu::launch(each_kernel<Body>, dim3(blocks(n, threads)), dim3(threads), stream, *static_cast<const Body*>(fields), n);
}
template <class Body> cudaError_t launch_rows(size_t n, const void* fields, cudaStream_t stream) {
  return gpu::launch(rows_kernel<Body>, dim3(blocks(n, warps)), dim3(threads), stream, *static_cast<const Body*>(fields), n);
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
