// Products of rounded values whose last step cuBLASLt does before the result leaves the chip: what would be a pass of
// its own.
// defines: LibraryEpilogue, library_epilogue, EpilogueProducts
#pragma once
#include <cublasLt.h>
#include <map>
#include <optional>
#include <tuple>
#include "engine/cuda/runtime.h"
#include "engine/device.h"

// d[m,n] = the last step of a product, rounded or, where a residual is added, full. bias[n]; aux[m,n]: what GELU
// keeps of its input, or takes for its derivative.
struct LibraryEpilogue {
  cublasLtEpilogue_t kind;
  void* d;
  const real* bias = nullptr;
  bf16* aux = nullptr;
  const real* residual = nullptr;
};
// For a body that comes after a product (AfterProduct); nothing where the library has no such step: another function
// than GELU by tanh (its formula is cuBLASLt's own), a result that is full or is added to.
std::optional<LibraryEpilogue> library_epilogue(std::type_index body, const void* fields);

class EpilogueProducts {
 public:
  explicit EpilogueProducts(cudaStream_t stream);
  ~EpilogueProducts();
  EpilogueProducts(const EpilogueProducts&) = delete;
  // Whether the library has a way to compute it; asked once for each size.
  bool has(const Gemm& product, const LibraryEpilogue& epilogue);
  // a and b rounded, of the product's strides; bias as the result is, or null
  void operator()(const Gemm& product, const LibraryEpilogue& epilogue, const bf16* a, int lda, const bf16* b, int ldb,
                  const void* bias);

 private:
  // One size of product with one epilogue, and the algorithm that is taken for it: always the same, or bits would
  // change from run to run.
  struct Plan {
    cublasLtMatmulDescOpaque_t product;
    cublasLtMatrixLayoutOpaque_t a, b, d;
    std::optional<cublasLtMatmulAlgo_t> algorithm;
  };
  using Size = std::tuple<int, int, int, bool, bool, int, int, cublasLtEpilogue_t, bool>;
  Plan& plan(const Gemm& product, const LibraryEpilogue& epilogue, int lda, int ldb);
  template <class T> void set(Plan& plan, cublasLtMatmulDescAttributes_t attribute, const T& value) const;
  void check(cublasStatus_t status, const char* call) const;

  gpu::Library library_;
  decltype(&cublasLtDestroy) destroy_;
  decltype(&cublasLtMatmulDescInit_internal) init_product_;
  decltype(&cublasLtMatmulDescSetAttribute) set_product_;
  decltype(&cublasLtMatrixLayoutInit_internal) init_layout_;
  decltype(&cublasLtMatmulPreferenceInit_internal) init_preference_;
  decltype(&cublasLtMatmulPreferenceSetAttribute) set_preference_;
  decltype(&cublasLtMatmulAlgoGetHeuristic) find_algorithm_;
  decltype(&cublasLtMatmul) multiply_;
  decltype(&cublasLtGetStatusString) status_text_;
  cudaStream_t stream_;
  cublasLtHandle_t handle_ = nullptr;
  static constexpr size_t workspace_bytes = size_t(32) << 20;
  gpu::Buffer workspace_;
  std::map<Size, Plan> plans_;
};
