// Matrix products by cuBLAS.
// defines: CudaProducts
#pragma once
#include <string>
#include "engine/cuda/epilogues.h"
#include "engine/cuda/kernels.h"
#include "engine/cuda/runtime.h"
#include "engine/device.h"

class CudaProducts {
 public:
  CudaProducts(cudaStream_t stream, const CudaOptions& options,
               const std::unordered_map<std::type_index, Launcher>& launchers)
      : stream_(stream), precision_(options.precision), launchers_(launchers), cublas_(stream) {
    if (precision_ == Precision::bf16 && options.fused_products) with_epilogues_.emplace(stream);
  }
  void operator()(const Gemm& product);
  // What the library does of the body that follows the product; nothing where it cannot.
  std::optional<LibraryEpilogue> epilogue(const Gemm& product, std::type_index body, const void* fields);
  void operator()(const Gemm& product, const LibraryEpilogue& epilogue);
  std::string description() const;

 private:
  template <class Body>
  void rows(size_t n, const Body& body) {
    CUDA_CALL(launchers_.at(typeid(Body))(n, &body, stream_));
  }
  const bf16* round(gpu::Buffer& to, const real* x, int rows, int columns, int stride, int batch, size_t step);
  struct Rounded { const bf16 *a, *b; int lda, ldb; size_t step_a, step_b; };
  Rounded rounded(const Gemm& product);

  cudaStream_t stream_;
  Precision precision_;
  const std::unordered_map<std::type_index, Launcher>& launchers_;
  gpu::Cublas cublas_;
  std::optional<EpilogueProducts> with_epilogues_;
  gpu::Buffer rounded_[3];                                               // a, b, bias
};
