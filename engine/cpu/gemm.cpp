#include "engine/cpu/gemm.h"
#include <Eigen/Core>
#include <algorithm>
#include <fmt/format.h>
#include <array>
#include <map>
#include <vector>
#include "engine/bf16.h"
#include "engine/error.h"
#ifdef RELUCENT_ONEDNN
#include <dnnl.hpp>
#endif

namespace {
using Matrix = Eigen::Matrix<real, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
using Stride = Eigen::OuterStride<>;

// The stored rows of a and b without gaps, each value through `convert`; `memory` is kept by each thread.
template <class T, class Convert> const T* packed(const real* from, int rows, int columns, int stride, std::vector<T>& memory, Convert convert) {
  if (memory.size() < size_t(rows) * columns) memory.resize(size_t(rows) * columns);
  for (int i = 0; i < rows; i++) {
    const real* x = from + size_t(i) * stride;
    T* y = memory.data() + size_t(i) * columns;
#pragma omp simd
    for (int j = 0; j < columns; j++) y[j] = convert(x[j]);
  }
  return memory.data();
}
template <class T, class Convert> std::pair<const T*, const T*> packed_inputs(const Gemm& p, Convert convert) {
  static thread_local std::vector<T> a, b;
  return {packed(p.a.full, p.ta ? p.k : p.m, p.ta ? p.m : p.k, p.stride_a(), a, convert), packed(p.b.full, p.tb ? p.n : p.k, p.tb ? p.k : p.n, p.stride_b(), b, convert)};
}
}  // namespace

void gemm_rounded(const Gemm& p, void (*multiply)(const Gemm&)) {
  Gemm rounded = p;
  const auto [a, b] = packed_inputs<real>(p, [](real x) { return real(from_bf16(to_bf16(float(x)))); });
  rounded.a = a, rounded.b = b;
  rounded.lda = rounded.ldb = 0;
  rounded.ldc = p.stride_c();
  multiply(rounded);
}

void gemm_eigen(const Gemm& p) {
  const Eigen::Map<const Matrix, 0, Stride> a(p.a.full, p.ta ? p.k : p.m, p.ta ? p.m : p.k, Stride(p.stride_a()));
  const Eigen::Map<const Matrix, 0, Stride> b(p.b.full, p.tb ? p.n : p.k, p.tb ? p.k : p.n, Stride(p.stride_b()));
  Eigen::Map<Matrix, 0, Stride> c(p.c, p.m, p.n, Stride(p.stride_c()));
  if (p.beta == 0) c.setZero();
  else if (p.beta != 1) c *= p.beta;
  if (p.ta && p.tb) c.noalias() += p.alpha * a.transpose() * b.transpose();
  else if (p.ta) c.noalias() += p.alpha * a.transpose() * b;
  else if (p.tb) c.noalias() += p.alpha * a * b.transpose();
  else c.noalias() += p.alpha * a * b;
}

std::string eigen_name() { return fmt::format("Eigen {}.{}.{}", EIGEN_WORLD_VERSION, EIGEN_MAJOR_VERSION, EIGEN_MINOR_VERSION); }

#ifdef RELUCENT_ONEDNN
const bool has_onednn = true;

void gemm_onednn(const Gemm& p) {
  const dnnl_status_t status = dnnl_sgemm(p.ta ? 'T' : 'N', p.tb ? 'T' : 'N', p.m, p.n, p.k, p.alpha, p.a.full, p.stride_a(), p.b.full, p.stride_b(), p.beta,
                                          p.c, p.stride_c());
  if (status != dnnl_success) fail(ExitCode::failed, "oneDNN: product of {} x {} x {} failed with status {}", p.m, p.n, p.k, int(status));
}

#if DNNL_VERSION_MAJOR == 2          // other versions have another interface: gemm_rounded takes their place
bool has_onednn_bf16() { return __builtin_cpu_supports("avx512bf16"); }

void gemm_onednn_bf16(const Gemm& p) {
  using namespace dnnl;
  struct Product { memory a, b, c; matmul multiply; };
  // Made once a thread for each kind of product, since making one costs more than a small product.
  static thread_local const engine cpu(engine::kind::cpu, 0);
  static thread_local stream stream_(cpu);
  static thread_local std::map<std::array<float, 10>, Product> products;

  const bool rounded = p.a.rounded && p.b.rounded;
  const auto [a, b] = rounded ? std::pair(p.a.rounded, p.b.rounded) : packed_inputs<bf16>(p, [](real x) { return to_bf16(x); });
  const int lda = rounded ? p.stride_a() : p.ta ? p.m : p.k, ldb = rounded ? p.stride_b() : p.tb ? p.k : p.n;
  const std::array<float, 10> key{float(p.m), float(p.n), float(p.k), float(p.ta), float(p.tb), p.alpha, p.beta, float(lda), float(ldb), float(p.stride_c())};
  auto found = products.find(key);
  if (found == products.end()) {
    using Dims = memory::dims;
    const memory::desc a_shape(Dims{p.m, p.k}, memory::data_type::bf16, p.ta ? Dims{1, lda} : Dims{lda, 1});
    const memory::desc b_shape(Dims{p.k, p.n}, memory::data_type::bf16, p.tb ? Dims{1, ldb} : Dims{ldb, 1});
    const memory::desc c_shape(Dims{p.m, p.n}, memory::data_type::f32, Dims{p.stride_c(), 1});
    primitive_attr attributes;
    if (p.alpha != 1) attributes.set_output_scales(0, {p.alpha});
    post_ops sum;
    if (p.beta != 0) sum.append_sum(p.beta);
    attributes.set_post_ops(sum);
    const matmul multiply(matmul::primitive_desc(matmul::desc(a_shape, b_shape, c_shape), attributes, cpu));
    found = products.emplace(key, Product{memory(a_shape, cpu, nullptr), memory(b_shape, cpu, nullptr), memory(c_shape, cpu, nullptr), multiply}).first;
  }
  Product& product = found->second;
  product.a.set_data_handle(const_cast<bf16*>(a));
  product.b.set_data_handle(const_cast<bf16*>(b));
  product.c.set_data_handle(p.c);
  product.multiply.execute(stream_, {{DNNL_ARG_SRC, product.a}, {DNNL_ARG_WEIGHTS, product.b}, {DNNL_ARG_DST, product.c}});
}
#else
bool has_onednn_bf16() { return false; }
void gemm_onednn_bf16(const Gemm& p) { gemm_rounded(p, gemm_onednn); }
#endif

std::string onednn_name() {
  const dnnl_version_t* v = dnnl_version();
  return fmt::format("oneDNN {}.{}.{}", v->major, v->minor, v->patch);
}
#else
const bool has_onednn = false;

void gemm_onednn(const Gemm&) { fail(ExitCode::failed, "oneDNN is not built in; install libdnnl-dev and build again"); }
bool has_onednn_bf16() { return false; }
void gemm_onednn_bf16(const Gemm& p) { gemm_onednn(p); }
std::string onednn_name() { return "no oneDNN"; }
#endif
