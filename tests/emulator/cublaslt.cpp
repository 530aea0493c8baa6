// cuBLASLt's products of bf16 with a last step, over those of cublas.cpp: column-major as there, with its checks of
// the arguments, and no algorithm where the library on an H100 has none.
#include <cublasLt.h>
#include <cublas_v2.h>
#include <algorithm>
#include <vector>
#include "engine/bf16.h"
#include "engine/ops/smooth.h"
#include "tests/emulator/scheduler.h"

namespace {

struct Product {
  cublasOperation_t op_a, op_b;
  cublasLtEpilogue_t epilogue;
  int32_t bias_type;
  const void* bias;
  void* aux;
  int64_t aux_stride;
};
struct Matrix { cudaDataType type; uint64_t rows, columns; int64_t stride; };
static_assert(sizeof(Product) <= sizeof(cublasLtMatmulDescOpaque_t) &&
              sizeof(Matrix) <= sizeof(cublasLtMatrixLayoutOpaque_t));

Product& product(cublasLtMatmulDesc_t x) { return *reinterpret_cast<Product*>(x); }
const Matrix& matrix(cublasLtMatrixLayout_t x) { return *reinterpret_cast<const Matrix*>(x); }

bool has_bias(const Product& p) { return p.epilogue & CUBLASLT_EPILOGUE_BIAS; }
bool has_aux(const Product& p) {
  return p.epilogue == CUBLASLT_EPILOGUE_GELU_AUX_BIAS || p.epilogue == CUBLASLT_EPILOGUE_DGELU;
}
bool is_known(cublasLtEpilogue_t e) {
  return e == CUBLASLT_EPILOGUE_DEFAULT || e == CUBLASLT_EPILOGUE_BIAS || e == CUBLASLT_EPILOGUE_GELU_BIAS ||
         e == CUBLASLT_EPILOGUE_GELU_AUX_BIAS || e == CUBLASLT_EPILOGUE_DGELU;
}
bool unaligned(const void* x) { return reinterpret_cast<uintptr_t>(x) % 16; }

}  // namespace

extern "C" {

cublasStatus_t cublasLtCreate(cublasLtHandle_t* handle) {
  static int any;
  *handle = reinterpret_cast<cublasLtHandle_t>(&any);
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtDestroy(cublasLtHandle_t) { return CUBLAS_STATUS_SUCCESS; }
const char* cublasLtGetStatusString(cublasStatus_t status) { return cublasGetStatusString(status); }

cublasStatus_t cublasLtMatmulDescInit_internal(cublasLtMatmulDesc_t x, size_t, cublasComputeType_t compute,
                                               cudaDataType_t scale) {
  product(x) = {CUBLAS_OP_N, CUBLAS_OP_N, CUBLASLT_EPILOGUE_DEFAULT, -1, nullptr, nullptr, 0};
  return compute == CUBLAS_COMPUTE_32F && scale == CUDA_R_32F ? CUBLAS_STATUS_SUCCESS : CUBLAS_STATUS_NOT_SUPPORTED;
}
cublasStatus_t cublasLtMatmulDescSetAttribute(cublasLtMatmulDesc_t x, cublasLtMatmulDescAttributes_t attribute,
                                              const void* value, size_t bytes) {
  auto set = [&](auto& field) {
    if (bytes != sizeof field) return CUBLAS_STATUS_INVALID_VALUE;
    std::memcpy(&field, value, bytes);
    return CUBLAS_STATUS_SUCCESS;
  };
  Product& p = product(x);
  switch (attribute) {
    case CUBLASLT_MATMUL_DESC_TRANSA: return set(p.op_a);
    case CUBLASLT_MATMUL_DESC_TRANSB: return set(p.op_b);
    case CUBLASLT_MATMUL_DESC_EPILOGUE: return set(p.epilogue);
    case CUBLASLT_MATMUL_DESC_BIAS_DATA_TYPE: return set(p.bias_type);
    case CUBLASLT_MATMUL_DESC_BIAS_POINTER: return set(p.bias);
    case CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_POINTER: return set(p.aux);
    case CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_LD: return set(p.aux_stride);
    default: return CUBLAS_STATUS_NOT_SUPPORTED;
  }
}
cublasStatus_t cublasLtMatrixLayoutInit_internal(cublasLtMatrixLayout_t x, size_t, cudaDataType type, uint64_t rows,
                                                 uint64_t columns, int64_t stride) {
  *reinterpret_cast<Matrix*>(x) = {type, rows, columns, stride};
  return stride < int64_t(rows) ? CUBLAS_STATUS_INVALID_VALUE : CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatmulPreferenceInit_internal(cublasLtMatmulPreference_t, size_t) {
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatmulPreferenceSetAttribute(cublasLtMatmulPreference_t, cublasLtMatmulPreferenceAttributes_t,
                                                    const void*, size_t) {
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulAlgoGetHeuristic(cublasLtHandle_t, cublasLtMatmulDesc_t x, cublasLtMatrixLayout_t a,
                                              cublasLtMatrixLayout_t b, cublasLtMatrixLayout_t c,
                                              cublasLtMatrixLayout_t d, cublasLtMatmulPreference_t, int,
                                              cublasLtMatmulHeuristicResult_t* results, int* found) {
  const Product& p = product(x);
  *found = 0;
  for (cublasLtMatrixLayout_t layout : {a, b, c, d})
    if (((layout == a || layout == b) && matrix(layout).type != CUDA_R_16BF) || matrix(layout).stride % 8)
      return CUBLAS_STATUS_NOT_SUPPORTED;
  const cudaDataType result = matrix(d).type;
  if ((result != CUDA_R_16BF && result != CUDA_R_32F) || matrix(c).type != result) return CUBLAS_STATUS_NOT_SUPPORTED;
  if (!is_known(p.epilogue) || (has_bias(p) && p.bias_type != int32_t(result)) ||
      (result == CUDA_R_32F && p.epilogue & ~(CUBLASLT_EPILOGUE_BIAS | CUBLASLT_EPILOGUE_DEFAULT)) ||
      (has_aux(p) && p.aux_stride % 8))
    return CUBLAS_STATUS_NOT_SUPPORTED;
  results[0] = {}, *found = 1;
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmul(cublasLtHandle_t, cublasLtMatmulDesc_t x, const void* alpha, const void* a,
                              cublasLtMatrixLayout_t of_a, const void* b, cublasLtMatrixLayout_t of_b, const void* beta,
                              const void* c, cublasLtMatrixLayout_t, void* d, cublasLtMatrixLayout_t of_d,
                              const cublasLtMatmulAlgo_t* algorithm, void* workspace, size_t, cudaStream_t stream) {
  const Product p = product(x);
  const Matrix A = matrix(of_a), B = matrix(of_b), D = matrix(of_d);
  const float keep = *static_cast<const float*>(beta);
  const bool full = D.type == CUDA_R_32F;
  const uint64_t m = D.rows, n = D.columns, k = p.op_a == CUBLAS_OP_N ? A.columns : A.rows;
  const bool fits = (p.op_a == CUBLAS_OP_N ? A.rows : A.columns) == m &&
                    (p.op_b == CUBLAS_OP_N ? B.rows : B.columns) == k &&
                    (p.op_b == CUBLAS_OP_N ? B.columns : B.rows) == n;
  if (!fits || !algorithm || *static_cast<const float*>(alpha) != 1 || (keep != 0 && keep != 1) ||
      (keep == 0 && c != d))
    return CUBLAS_STATUS_INVALID_VALUE;
  if (unaligned(a) || unaligned(b) || unaligned(c) || unaligned(d) || (has_bias(p) && (!p.bias || unaligned(p.bias))) ||
      (has_aux(p) && (!p.aux || unaligned(p.aux) || p.aux_stride < int64_t(m))))
    return CUBLAS_STATUS_INVALID_VALUE;
  emulator::check_pointer(a, 3), emulator::check_pointer(b, 5), emulator::check_pointer(c, 8),
      emulator::check_pointer(d, 10), emulator::check_pointer(workspace, 13);
  if (has_bias(p)) emulator::check_pointer(p.bias, 1);
  if (has_aux(p)) emulator::check_pointer(p.aux, 1);
  const cudaError_t status = emulator::enqueue(stream, [=] {
    std::vector<float> sums(m * n);
    auto element = [](const void* matrix, uint64_t at) { return from_bf16(static_cast<const bf16*>(matrix)[at]); };
    for (uint64_t j = 0; j < n; j++)
      for (uint64_t l = 0; l < k; l++) {
        const float y = element(b, p.op_b == CUBLAS_OP_N ? j * B.stride + l : l * B.stride + j);
        for (uint64_t i = 0; i < m; i++)
          sums[j * m + i] += element(a, p.op_a == CUBLAS_OP_N ? l * A.stride + i : i * A.stride + l) * y;
      }
    for (uint64_t j = 0; j < n; j++)
      for (uint64_t i = 0; i < m; i++) {
        float y = sums[j * m + i];
        bf16* const aux = static_cast<bf16*>(p.aux) + (has_aux(p) ? j * p.aux_stride + i : 0);
        if (has_bias(p)) y += full ? static_cast<const float*>(p.bias)[i] : element(p.bias, i);
        if (keep) y += full ? static_cast<const float*>(c)[j * D.stride + i] : element(c, j * D.stride + i);
        if (p.epilogue == CUBLASLT_EPILOGUE_DGELU) y *= GeluTanh::slope(from_bf16(*aux));
        if (p.epilogue == CUBLASLT_EPILOGUE_GELU_AUX_BIAS) *aux = to_bf16(y);
        if (p.epilogue == CUBLASLT_EPILOGUE_GELU_AUX_BIAS || p.epilogue == CUBLASLT_EPILOGUE_GELU_BIAS)
          y = GeluTanh::value(y);
        if (full) static_cast<float*>(d)[j * D.stride + i] = y;
        else static_cast<bf16*>(d)[j * D.stride + i] = to_bf16(y);
      }
    const bool reads_aux = p.epilogue == CUBLASLT_EPILOGUE_DGELU, writes_aux = has_aux(p) && !reads_aux;
    const uint64_t size = full ? 4 : 2;
    emulator::count_product(
        2 * (m * k + k * n + (reads_aux ? m * n : 0)) + size * ((has_bias(p) ? m : 0) + (keep ? m * n : 0)),
        size * m * n + 2 * m * n * writes_aux);
  });
  return status ? CUBLAS_STATUS_EXECUTION_FAILED : CUBLAS_STATUS_SUCCESS;
}

}  // extern "C"
