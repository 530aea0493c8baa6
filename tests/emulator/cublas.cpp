// cuBLAS's products over Eigen, column-major as there, with its checks of the arguments. c is not read where beta is 0:
// it may hold NaN. TF32 and bf16 round as the hardware does; sums are f32.
#include <cublas_v2.h>
#include <Eigen/Core>
#include <algorithm>
#include "engine/bf16.h"
#include "tests/emulator/scheduler.h"

struct cublasContext { cudaStream_t stream = nullptr; };

namespace {

using Matrix = Eigen::MatrixXf;
using Stride = Eigen::OuterStride<>;

float to_tf32(float x) {  // 10 bits of mantissa, to nearest, ties away from zero
  if (!std::isfinite(x)) return x;
  return __builtin_bit_cast(float, (__builtin_bit_cast(uint32_t, x) + 0x1000u) & 0xFFFFE000u);
}

Matrix operand(const void* data, cudaDataType type, cublasComputeType_t compute, bool transposed, int rows, int columns,
               int stride, size_t offset) {
  const int stored_rows = transposed ? columns : rows, stored_columns = transposed ? rows : columns;
  Matrix x(stored_rows, stored_columns);
  for (int j = 0; j < stored_columns; j++)
    for (int i = 0; i < stored_rows; i++) {
      const size_t at = offset + size_t(j) * stride + i;
      if (type == CUDA_R_16BF) x(i, j) = from_bf16(static_cast<const bf16*>(data)[at]);
      else
        x(i, j) = compute == CUBLAS_COMPUTE_32F_FAST_TF32 ? to_tf32(static_cast<const float*>(data)[at])
                                                          : static_cast<const float*>(data)[at];
    }
  if (transposed) return x.transpose();
  return x;
}

}  // namespace

extern "C" {

cublasStatus_t cublasCreate_v2(cublasHandle_t* handle) { *handle = new cublasContext; return CUBLAS_STATUS_SUCCESS; }
cublasStatus_t cublasDestroy_v2(cublasHandle_t handle) { delete handle; return CUBLAS_STATUS_SUCCESS; }
cublasStatus_t cublasSetStream_v2(cublasHandle_t handle, cudaStream_t stream) {
  handle->stream = stream;
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasSetWorkspace_v2(cublasHandle_t, void* workspace, size_t bytes) {
  emulator::check_pointer(workspace, 1);
  return bytes < 256 || reinterpret_cast<uintptr_t>(workspace) % 256 ? CUBLAS_STATUS_INVALID_VALUE
                                                                     : CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasGetVersion_v2(cublasHandle_t, int* version) { *version = 0; return CUBLAS_STATUS_SUCCESS; }
const char* cublasGetStatusString(cublasStatus_t status) {
  return status == CUBLAS_STATUS_INVALID_VALUE   ? "an invalid value"
         : status == CUBLAS_STATUS_NOT_SUPPORTED ? "not supported"
         : status                                ? "an error"
                                                 : "success";
}

cublasStatus_t cublasGemmStridedBatchedEx(cublasHandle_t handle, cublasOperation_t op_a, cublasOperation_t op_b, int m,
                                          int n, int k, const void* alpha, const void* a, cudaDataType type_a, int lda,
                                          long long step_a, const void* b, cudaDataType type_b, int ldb,
                                          long long step_b, const void* beta, void* c, cudaDataType type_c, int ldc,
                                          long long step_c, int batch, cublasComputeType_t compute, cublasGemmAlgo_t) {
  if (m < 0 || n < 0 || k < 0 || batch < 0 || lda < std::max(1, op_a == CUBLAS_OP_N ? m : k) ||
      ldb < std::max(1, op_b == CUBLAS_OP_N ? k : n) || ldc < std::max(1, m))
    return CUBLAS_STATUS_INVALID_VALUE;
  if (type_a != type_b || (type_a != CUDA_R_32F && type_a != CUDA_R_16BF) || type_c != CUDA_R_32F ||
      (compute != CUBLAS_COMPUTE_32F && compute != CUBLAS_COMPUTE_32F_FAST_TF32))
    return CUBLAS_STATUS_NOT_SUPPORTED;
  emulator::check_pointer(a, 7), emulator::check_pointer(b, 10), emulator::check_pointer(c, 14);
  const float scale = *static_cast<const float*>(alpha), keep = *static_cast<const float*>(beta);
  const cudaError_t status = emulator::enqueue(handle->stream, [=] {
    for (int i = 0; i < batch; i++) {
      const Matrix x = operand(a, type_a, compute, op_a != CUBLAS_OP_N, m, k, lda, size_t(i) * step_a),
                   y = operand(b, type_b, compute, op_b != CUBLAS_OP_N, k, n, ldb, size_t(i) * step_b);
      Eigen::Map<Matrix, 0, Stride> z(static_cast<float*>(c) + size_t(i) * step_c, m, n, Stride(ldc));
      if (keep == 0) z.setZero();
      else z *= keep;
      z.noalias() += scale * x * y;
    }
    const uint64_t input = type_a == CUDA_R_16BF ? 2 : 4;
    const uint64_t a_bytes = input * m * k * (step_a ? batch : 1), b_bytes = input * k * n * (step_b ? batch : 1);
    const uint64_t c_bytes = sizeof(float) * m * n * batch;
    emulator::count_product(a_bytes + b_bytes + (keep == 0 ? 0 : c_bytes), c_bytes);
  });
  return status ? CUBLAS_STATUS_EXECUTION_FAILED : CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasGemmEx(cublasHandle_t handle, cublasOperation_t op_a, cublasOperation_t op_b, int m, int n, int k,
                            const void* alpha, const void* a, cudaDataType type_a, int lda, const void* b,
                            cudaDataType type_b, int ldb, const void* beta, void* c, cudaDataType type_c, int ldc,
                            cublasComputeType_t compute, cublasGemmAlgo_t algorithm) {
  return cublasGemmStridedBatchedEx(handle, op_a, op_b, m, n, k, alpha, a, type_a, lda, 0, b, type_b, ldb, 0, beta, c,
                                    type_c, ldc, 0, 1, compute, algorithm);
}

}  // extern "C"
