#include "engine/cuda/gemm.h"
#include "engine/error.h"

std::string CudaProducts::description() const {
  const int version = cublas_.version();
  const char* arithmetic = precision_ == Precision::f32    ? "in f32"
                           : precision_ == Precision::tf32 ? "in TF32"
                                                           : "in bf16";
  return fmt::format("cuBLAS {}.{} {}{}", version / 10000, version / 100 % 100, arithmetic,
                     with_epilogues_ ? " with what follows them" : "");
}

const bf16* CudaProducts::round(gpu::Buffer& to, const real* x, int rows_, int columns, int stride, int batch,
                                size_t step) {
  bf16* rounded = static_cast<bf16*>(to.at_least(size_t(batch) * rows_ * columns * sizeof(bf16)));
  rows(size_t(batch) * rows_, RoundRows{.y = rounded,
                                                .x = x,
                                                .rows = rows_,
                                                .columns = columns,
                                                .stride = stride,
                                                .step = step});
  return rounded;
}

CudaProducts::Rounded CudaProducts::rounded(const Gemm& p) {
  Rounded r{p.a.rounded, p.b.rounded, p.stride_a(), p.stride_b(), p.step_a, p.step_b};
  auto round_here = [&](const bf16*& to, const Operand& x, int i, int rows_, int columns, int& stride, size_t& step) {
    if (to) return;
    to = round(rounded_[i], x.full, rows_, columns, stride, p.batch, step);
    stride = columns, step = size_t(rows_) * columns;
  };
  round_here(r.a, p.a, 0, p.ta ? p.k : p.m, p.ta ? p.m : p.k, r.lda, r.step_a);
  round_here(r.b, p.b, 1, p.tb ? p.n : p.k, p.tb ? p.k : p.n, r.ldb, r.step_b);
  return r;
}

std::optional<LibraryEpilogue> CudaProducts::epilogue(const Gemm& p, std::type_index body, const void* fields) {
  if (!with_epilogues_) return {};
  const auto epilogue = library_epilogue(body, fields);
  return epilogue && with_epilogues_->has(p, *epilogue) ? epilogue : std::nullopt;
}

void CudaProducts::operator()(const Gemm& p, const LibraryEpilogue& epilogue) {
  const void* bias = epilogue.bias;
  if (bias && !epilogue.residual) bias = round(rounded_[2], epilogue.bias, 1, p.n, p.n, 1, 0);
  const Rounded r = rounded(p);
  (*with_epilogues_)(p, epilogue, r.a, r.lda, r.b, r.ldb, bias);
}

// cuBLAS thinks in columns: to it a row-major matrix is its transpose, and the product is cᵀ = op(b)ᵀ op(a)ᵀ.
void CudaProducts::operator()(const Gemm& p) {
  const void *a = p.a.full, *b = p.b.full;
  int lda = p.stride_a(), ldb = p.stride_b();
  size_t step_a = p.step_a, step_b = p.step_b;
  const bool bf16_inputs = precision_ == Precision::bf16;
  if (bf16_inputs) {
    const Rounded r = rounded(p);
    a = r.a, b = r.b, lda = r.lda, ldb = r.ldb, step_a = r.step_a, step_b = r.step_b;
  }
  const cudaDataType inputs = bf16_inputs ? CUDA_R_16BF : CUDA_R_32F;
  const cublasComputeType_t compute = precision_ == Precision::tf32 ? CUBLAS_COMPUTE_32F_FAST_TF32 : CUBLAS_COMPUTE_32F;
  const cublasOperation_t op_a = p.ta ? CUBLAS_OP_T : CUBLAS_OP_N, op_b = p.tb ? CUBLAS_OP_T : CUBLAS_OP_N;
  if (p.batch == 1)
    cublas_.gemm(op_b, op_a, p.n, p.m, p.k, &p.alpha, b, inputs, ldb, a, inputs, lda, &p.beta, p.c, CUDA_R_32F,
                 p.stride_c(), compute, CUBLAS_GEMM_DEFAULT);
  else
    cublas_.gemm_batch(op_b, op_a, p.n, p.m, p.k, &p.alpha, b, inputs, ldb, (long long)step_b, a, inputs, lda,
                       (long long)step_a, &p.beta, p.c, CUDA_R_32F, p.stride_c(), (long long)p.step_c, p.batch, compute,
                       CUBLAS_GEMM_DEFAULT);
}
