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
  ~CudaProducts() { for (Rounded& r : rounded_) cudaFree(r.memory); }
  CudaProducts(const CudaProducts&) = delete;
  void operator()(const Gemm& product);
  std::string description() const;

 private:
  struct Rounded { bf16* memory = nullptr; size_t n = 0; };
  template <class Body> void rows(size_t n, const Body& body) { CUDA_CALL(launchers_.at(typeid(Body))(n, &body, stream_)); }
  const bf16* round(Rounded& to, const real* x, int rows, int columns, int stride, int batch, size_t step);

  cudaStream_t stream_;
  Precision precision_;
  const std::unordered_map<std::type_index, Launcher>& launchers_;
  gpu::Cublas cublas_;
  Rounded rounded_[2];
};
