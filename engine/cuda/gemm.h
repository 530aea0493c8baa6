// Matrix products by cuBLAS.
// defines: CudaProducts
#pragma once
#include <string>
#include "engine/cuda/kernels.h"
#include "engine/cuda/runtime.h"
#include "engine/device.h"

class CudaProducts {
 public:
  CudaProducts(cudaStream_t stream, Precision precision, const std::unordered_map<std::type_index, Launcher>& launchers)
      : stream_(stream), precision_(precision), launchers_(launchers), cublas_(stream) {}
  void operator()(const Gemm& product);
  std::string description() const;

 private:
  template <class Body> void rows(size_t n, const Body& body) { CUDA_CALL(launchers_.at(typeid(Body))(n, &body, stream_)); }
  const bf16* round(gpu::Buffer& to, const real* x, int rows, int columns, int stride, int batch, size_t step);

  cudaStream_t stream_;
  Precision precision_;
  const std::unordered_map<std::type_index, Launcher>& launchers_;
  gpu::Cublas cublas_;
  gpu::Buffer rounded_[2];
};
