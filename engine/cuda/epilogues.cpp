#include "engine/cuda/epilogues.h"
#include <array>
#include "engine/error.h"
#include "engine/ops/mlp.h"

std::optional<LibraryEpilogue> library_epilogue(std::type_index body, const void* fields) {
  auto after = [&]<class Then>(std::type_identity<Then>) -> const Then* {
    return body == typeid(AfterProduct<Then>) ? &static_cast<const AfterProduct<Then>*>(fields)->then : nullptr;
  };
  using Gelu = GeluTanh;
  if (const auto* x = after(std::type_identity<StoreProduct>()); x && x->y.rounded)
    return LibraryEpilogue{.kind = CUBLASLT_EPILOGUE_DEFAULT, .d = x->y.rounded};
  if (const auto* x = after(std::type_identity<AddBias>()); x && x->y.rounded)
    return LibraryEpilogue{.kind = CUBLASLT_EPILOGUE_BIAS, .d = x->y.rounded, .bias = x->bias};
  if (const auto* x = after(std::type_identity<HiddenForward<Gelu, bf16>>()); x && x->a.rounded)
    return LibraryEpilogue{
        .kind = CUBLASLT_EPILOGUE_GELU_AUX_BIAS, .d = x->a.rounded, .bias = x->bias, .aux = x->h};
  if (const auto* x = after(std::type_identity<HiddenOfInference<Gelu, bf16>>()); x && x->a.rounded)
    return LibraryEpilogue{.kind = CUBLASLT_EPILOGUE_GELU_BIAS, .d = x->a.rounded, .bias = x->bias};
  if (const auto* x = after(std::type_identity<HiddenBackward<Gelu, bf16>>()); x && x->dh.rounded)
    return LibraryEpilogue{.kind = CUBLASLT_EPILOGUE_DGELU, .d = x->dh.rounded, .aux = const_cast<bf16*>(x->h)};
  if (const auto* x = after(std::type_identity<AddBiasAndResidual>()))
    return LibraryEpilogue{.kind = x->bias ? CUBLASLT_EPILOGUE_BIAS : CUBLASLT_EPILOGUE_DEFAULT,
                           .d = x->y,
                           .bias = x->bias,
                           .residual = x->residual};
  return {};
}

EpilogueProducts::EpilogueProducts(cudaStream_t stream) : library_("cublasLt", "cublasLtCreate"), stream_(stream) {
  decltype(&cublasLtCreate) create;
  library_.find(create, "cublasLtCreate"), library_.find(destroy_, "cublasLtDestroy"),
      library_.find(status_text_, "cublasLtGetStatusString");
  library_.find(init_product_, "cublasLtMatmulDescInit_internal"),
      library_.find(set_product_, "cublasLtMatmulDescSetAttribute");
  library_.find(init_layout_, "cublasLtMatrixLayoutInit_internal"),
      library_.find(init_preference_, "cublasLtMatmulPreferenceInit_internal");
  library_.find(set_preference_, "cublasLtMatmulPreferenceSetAttribute"),
      library_.find(find_algorithm_, "cublasLtMatmulAlgoGetHeuristic");
  library_.find(multiply_, "cublasLtMatmul");
  workspace_.at_least(workspace_bytes);
  check(create(&handle_), "cublasLtCreate");
}

EpilogueProducts::~EpilogueProducts() { destroy_(handle_); }

template <class T>
void EpilogueProducts::set(Plan& plan, cublasLtMatmulDescAttributes_t attribute, const T& value) const {
  check(set_product_(&plan.product, attribute, &value, sizeof value), "cublasLtMatmulDescSetAttribute");
}

// cuBLAS thinks in columns: to it a row-major matrix is its transpose, and the product is dᵀ = op(b)ᵀ op(a)ᵀ.
EpilogueProducts::Plan& EpilogueProducts::plan(const Gemm& p, const LibraryEpilogue& epilogue, int lda, int ldb) {
  const cublasLtEpilogue_t kind = epilogue.kind;
  const cudaDataType result = epilogue.residual ? CUDA_R_32F : CUDA_R_16BF;
  const auto [entry, made] = plans_.try_emplace(Size{p.m, p.n, p.k, p.ta, p.tb, lda, ldb, kind, result == CUDA_R_32F});
  Plan& plan = entry->second;
  if (!made || p.n % 8 || lda % 8 || ldb % 8) return plan;                    // it wants 16 bytes
  check(init_product_(&plan.product, sizeof plan.product, CUBLAS_COMPUTE_32F, CUDA_R_32F), "cublasLtMatmulDescInit");
  set(plan, CUBLASLT_MATMUL_DESC_TRANSA, p.tb ? CUBLAS_OP_T : CUBLAS_OP_N);
  set(plan, CUBLASLT_MATMUL_DESC_TRANSB, p.ta ? CUBLAS_OP_T : CUBLAS_OP_N);
  set(plan, CUBLASLT_MATMUL_DESC_EPILOGUE, kind);
  const bool has_bias = kind & CUBLASLT_EPILOGUE_BIAS,
             has_aux = kind == CUBLASLT_EPILOGUE_GELU_AUX_BIAS || kind == CUBLASLT_EPILOGUE_DGELU;
  if (has_bias) set(plan, CUBLASLT_MATMUL_DESC_BIAS_DATA_TYPE, result);      // it has no algorithm for others
  if (has_aux) set(plan, CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_LD, int64_t(p.n));
  auto layout = [&](cublasLtMatrixLayoutOpaque_t& matrix, cudaDataType type, int rows, int columns, int stride) {
    check(init_layout_(&matrix, sizeof matrix, type, uint64_t(rows), uint64_t(columns), stride),
          "cublasLtMatrixLayoutInit");
  };
  layout(plan.a, CUDA_R_16BF, p.tb ? p.k : p.n, p.tb ? p.n : p.k, ldb);
  layout(plan.b, CUDA_R_16BF, p.ta ? p.m : p.k, p.ta ? p.k : p.m, lda);
  layout(plan.d, result, p.n, p.m, p.n);
  cublasLtMatmulPreferenceOpaque_t preference;
  check(init_preference_(&preference, sizeof preference), "cublasLtMatmulPreferenceInit");
  const auto most = CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES;
  check(set_preference_(&preference, most, &workspace_bytes, sizeof workspace_bytes),
        "cublasLtMatmulPreferenceSetAttribute");
  std::array<cublasLtMatmulHeuristicResult_t, 4> candidates;
  int found = 0;
  if (find_algorithm_(handle_, &plan.product, &plan.a, &plan.b, &plan.d, &plan.d, &preference, int(candidates.size()),
                      candidates.data(), &found) == CUBLAS_STATUS_SUCCESS &&
      found) {
    // The library's first choice; of GELU's derivative, whose kernels run in one wave, that which fills most of it:
    // 13 % faster for S/16 on an H100.
    const cublasLtMatmulHeuristicResult_t* best = &candidates[0];
    if (kind == CUBLASLT_EPILOGUE_DGELU)
      for (int i = 1; i < found; i++)
        if (candidates[i].wavesCount > best->wavesCount && candidates[i].wavesCount <= 1) best = &candidates[i];
    plan.algorithm = best->algo;
  }
  return plan;
}

bool EpilogueProducts::has(const Gemm& p, const LibraryEpilogue& epilogue) {
  // Whether the strides are those that rounded values will have.
  const bool as_rounded = (p.a.rounded || !p.lda) && (p.b.rounded || !p.ldb);
  return as_rounded && p.batch == 1 && p.alpha == 1 && p.beta == 0 &&
         plan(p, epilogue, p.stride_a(), p.stride_b()).algorithm;
}

void EpilogueProducts::operator()(const Gemm& p, const LibraryEpilogue& epilogue, const bf16* a, int lda, const bf16* b,
                                  int ldb, const void* bias) {
  Plan& chosen = plan(p, epilogue, lda, ldb);
  if (bias) set(chosen, CUBLASLT_MATMUL_DESC_BIAS_POINTER, bias);
  if (epilogue.aux) set(chosen, CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_POINTER, epilogue.aux);
  const float one = 1, before = epilogue.residual ? 1 : 0;
  const void* c = epilogue.residual ? epilogue.residual : epilogue.d;
  check(multiply_(handle_, &chosen.product, &one, b, &chosen.a, a, &chosen.b, &before, c, &chosen.d, epilogue.d,
                  &chosen.d, &*chosen.algorithm, workspace_.at_least(workspace_bytes), workspace_bytes, stream_),
        "cublasLtMatmul");
}

void EpilogueProducts::check(cublasStatus_t status, const char* call) const {
  if (status != CUBLAS_STATUS_SUCCESS) fail(ExitCode::failed, "cuda: {} failed: {}", call, status_text_(status));
}
