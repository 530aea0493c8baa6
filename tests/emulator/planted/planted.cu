// Kernels and calls with planted bugs, to see that the emulator's detectors detect: planted N runs bug N, 0 the correct
// code.
#include <cstdio>
#include <cstdlib>
#include <vector>
#include "engine/cuda/mma.h"
#include "engine/cuda/runtime.h"

namespace {

constexpr int n = 100, width = 70;

__global__ void double_values(float* y, const float* x, int size, int bug) {
  for (int i = int(blockIdx.x * blockDim.x + threadIdx.x); i < size + (bug == 1); i += int(gridDim.x * blockDim.x))
    y[i] = i < size ? 2 * x[i] : 0;
}

// y[row] = Σ x[row, :] by 64 threads, then its share of the largest is broadcast
__global__ void sum_rows(float* y, const float* x, int bug) {
  SHARED(float, part, [2]);
  SHARED(float, whole, [1]);
  const int lane = int(threadIdx.x) % 32, warp = int(threadIdx.x) / 32;
  float s = 0;
  for (int i = int(threadIdx.x); i < width; i += 64) s += x[blockIdx.x * width + i];
  if (bug != 13 || lane < 16)
    for (int distance = 16; distance > 0; distance /= 2) s += __shfl_xor_sync(~0u, s, distance);
  if (lane == 0) part[warp + (bug == 5 ? 1 : 0)] = s;
  if (bug == 4 && warp == 0)
    __syncthreads();
  else if (bug != 2)
    __syncthreads();
  if (threadIdx.x == 0) whole[0] = part[0] + part[1];
  if (bug != 7) __syncthreads();
  if (threadIdx.x == 63) y[blockIdx.x] = whole[0];
}

// y = the rows of x one tile after another through the same shared memory, reversed within the tile
__global__ void reverse_tiles(float* y, const float* x, int bug) {
  SHARED(float, tile, [64]);
  for (int first = 0; first < 192; first += 64) {
    tile[threadIdx.x] = x[first + threadIdx.x];
    __syncthreads();
    y[first + threadIdx.x] = tile[63 - threadIdx.x];
    if (bug != 3) __syncthreads();
  }
}

__global__ void count(float* total, int bug) {
  if (bug == 6 || threadIdx.x == 0) *total += bug == 6 ? 1 : 64;
}

__global__ void read_fragment(float* y, int bug) {
  SHARED(alignas(16) __nv_bfloat16, tile, [16][24]);
  for (int i = int(threadIdx.x); i < 16 * 24; i += 32) tile[i / 24][i % 24] = __float2bfloat16(1);
  __syncthreads();
  const Fragment f = load_fragment(&tile[threadIdx.x % 16][threadIdx.x / 16 * 8 + (bug == 12 ? 4 : 0)]);
  float c[4] = {};
  multiply_add(c, f, f.r[0], f.r[1]);
  y[threadIdx.x] = c[0];
}

int failures = 0;
void expect(float got, float expected, const char* what) {
  if (got == expected) return;
  if (failures++ == 0) std::printf("%s: %g, expected %g\n", what, got, expected);
}

struct Memory {
  float* data;
  explicit Memory(size_t size) { CUDA_CALL(cudaMalloc(reinterpret_cast<void**>(&data), size * sizeof(float))); }
  ~Memory() { cudaFree(data); }
};

void run(int bug) {
  const gpu::Stream stream = gpu::make_stream(), copies = gpu::make_stream();
  const gpu::Event arrived = gpu::make_event();
  auto download = [&](const float* from, size_t size) {
    std::vector<float> values(size);
    CUDA_CALL(cudaMemcpyAsync(values.data(), from, size * sizeof(float), cudaMemcpyDeviceToHost, stream.get()));
    CUDA_CALL(cudaStreamSynchronize(stream.get()));
    return values;
  };
  const Memory x(n * width), y(n * width);
  std::vector<float> host(n * width, 1);
  CUDA_CALL(cudaMemcpyAsync(x.data, host.data(), host.size() * sizeof(float), cudaMemcpyHostToDevice, copies.get()));
  CUDA_CALL(cudaEventRecord(arrived.get(), copies.get()));
  if (bug != 8) CUDA_CALL(cudaStreamWaitEvent(stream.get(), arrived.get(), 0));
  if (bug != 8) {
    if (bug != 10) CUDA_CALL(cudaEventSynchronize(arrived.get()));
    for (float& v : host) v = 3;                                          // ours again
  }

  CUDA_CALL(gpu::launch(double_values, dim3(2), dim3(64), stream.get(), y.data, x.data, n * width, bug));
  expect(download(y.data, n * width)[n * width - 1], 2, "double_values");
  CUDA_CALL(gpu::launch(sum_rows, dim3(n), dim3(64), stream.get(), y.data, x.data, bug));
  for (const float s : download(y.data, n)) expect(s, width, "sum_rows");
  CUDA_CALL(cudaMemcpyAsync(x.data, host.data(), host.size() * sizeof(float), cudaMemcpyHostToDevice, stream.get()));
  std::vector<float> steps(192);
  for (size_t i = 0; i < steps.size(); i++) steps[i] = float(i);
  CUDA_CALL(cudaMemcpyAsync(x.data, steps.data(), steps.size() * sizeof(float), cudaMemcpyHostToDevice, stream.get()));
  CUDA_CALL(gpu::launch(reverse_tiles, dim3(1), dim3(64), stream.get(), y.data, x.data, bug));
  const std::vector<float> reversed = download(y.data, 192);
  for (int i = 0; i < 192; i++) expect(reversed[i], float(i / 64 * 64 + 63 - i % 64), "reverse_tiles");
  const float zero = 0;
  CUDA_CALL(cudaMemcpyAsync(y.data, &zero, sizeof zero, cudaMemcpyHostToDevice, stream.get()));
  CUDA_CALL(gpu::launch(count, dim3(1), dim3(64), stream.get(), y.data, bug));
  expect(download(y.data, 1)[0], 64, "count");
  CUDA_CALL(gpu::launch(read_fragment, dim3(1), dim3(32), stream.get(), y.data, bug));
  expect(download(y.data, 1)[0], 16, "read_fragment");
  if (bug == 9) x.data[0] = 1;

  const gpu::Cublas cublas(stream.get());
  const Memory c(16);
  const float one = 1, beta = bug == 14 ? 1.f : 0.f;
  const std::vector<float> ones(16, 1);
  CUDA_CALL(cudaMemcpyAsync(x.data, ones.data(), 16 * sizeof(float), cudaMemcpyHostToDevice, stream.get()));
  cublas.gemm(CUBLAS_OP_N, CUBLAS_OP_N, 4, 4, 4, &one, x.data, CUDA_R_32F, bug == 11 ? 3 : 4,
              bug == 15 ? ones.data() : x.data, CUDA_R_32F, 4, &beta, c.data, CUDA_R_32F, 4, CUBLAS_COMPUTE_32F,
              CUBLAS_GEMM_DEFAULT);
  expect(download(c.data, 16)[15], 4, "product");
}

}  // namespace

int main(int, char** arguments) try {
  run(std::atoi(arguments[1]));
  return failures ? 1 : 0;
} catch (const std::exception& e) {
  std::printf("%s\n", e.what());
  return 1;
}
