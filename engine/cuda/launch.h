// The words kernels are written in, so that one source compiles with nvcc and, for tests on machines without a GPU,
// with g++ over tests/emulator. No <<<>>> and no bare __shared__: gpu::launch and SHARED take their place.
// defines: SHARED, gpu::launch
#pragma once
#include <cuda_runtime_api.h>
#ifdef __CUDACC__
#include <cuda_runtime.h>
#include <utility>

// SHARED(float, tile, [64][72]): float tile[64][72] in the memory of the block
#define SHARED(type, name, extents) __shared__ type name extents

namespace gpu {
template <class... P, class... A>
cudaError_t launch(void (*kernel)(P...), dim3 grid, dim3 block, cudaStream_t stream, A&&... arguments) {
  cudaLaunchConfig_t config{};
  config.gridDim = grid;
  config.blockDim = block;
  config.stream = stream;
  return cudaLaunchKernelEx(&config, kernel, std::forward<A>(arguments)...);
}
}  // namespace gpu
#else
#include "tests/emulator/emulator.h"
#endif
