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
template <class T, class Convert>
const T* packed(const real* from, int rows, int columns, int stride, std::vector<T>& memory, Convert convert) {
  if (memory.size() < size_t(rows) * columns) memory.resize(size_t(rows) * columns);
  for (int i = 0; i < rows; i++) {
    const real* x = from + size_t(i) * stride;
    T* y = memory.data() + size_t(i) * columns;
#pragma omp simd
    for (int j = 0; j < columns; j++) y[j] = convert(x[j]);
  }
  return memory.data();
}
}  // namespace

void gemm_rounded(const Gemm& p, GemmFunction multiply) {
  static thread_local std::vector<real> a, b;
  auto round = [](real x) { return real(from_bf16(to_bf16(float(x)))); };
  Gemm rounded = p;
  rounded.a = packed(p.a.full, p.ta ? p.k : p.m, p.ta ? p.m : p.k, p.stride_a(), a, round);
  rounded.b = packed(p.b.full, p.tb ? p.n : p.k, p.tb ? p.k : p.n, p.stride_b(), b, round);
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

std::string eigen_name() {
  return fmt::format("Eigen {}.{}.{}", EIGEN_WORLD_VERSION, EIGEN_MAJOR_VERSION, EIGEN_MINOR_VERSION);
}

#ifdef RELUCENT_ONEDNN
const bool has_onednn = true;

namespace {
template <class T>
constexpr auto stored_as = std::is_same_v<T, float> ? dnnl::memory::data_type::f32 : dnnl::memory::data_type::bf16;

const dnnl::engine& cpu() {
  static thread_local const dnnl::engine engine(dnnl::engine::kind::cpu, 0);
  return engine;
}
dnnl::stream& stream() {
  static thread_local dnnl::stream stream(cpu());
  return stream;
}
using Description = dnnl::memory::desc;
using Dims = dnnl::memory::dims;

// Where the interfaces of oneDNN 2 and 3 differ.
#if DNNL_VERSION_MAJOR == 2
dnnl::matmul::primitive_desc chosen(const Description& a, const Description& b, const Description& c,
                                    const dnnl::primitive_attr& attributes) {
  return {dnnl::matmul::desc(a, b, c), attributes, cpu()};
}
void scale(dnnl::primitive_attr& attributes, dnnl::post_ops&, float by) { attributes.set_output_scales(0, {by}); }
bool in_blocks(const Description& d) {
  return d.data.format_kind == dnnl_blocked && d.data.format_desc.blocking.inner_nblks > 0;
}
#else
dnnl::matmul::primitive_desc chosen(const Description& a, const Description& b, const Description& c,
                                    const dnnl::primitive_attr& attributes) {
  return {cpu(), a, b, c, attributes};
}
void scale(dnnl::primitive_attr&, dnnl::post_ops& after, float by) {
  after.append_eltwise(dnnl::algorithm::eltwise_linear, by, 0);
}
bool in_blocks(const Description& d) {
  return d.get_format_kind() == dnnl::memory::format_kind::blocked && d.get_inner_nblks() > 0;
}
#endif

// What oneDNN would make of b[k,n] if it may choose, the same for any number of rows of a. It goes with contiguous rows
// of c alone.
Description packed_description(int n, int k, dnnl::memory::data_type type) {
  const Description a(Dims{512, k}, type, Dims{k, 1}), b(Dims{k, n}, type, dnnl::memory::format_tag::any);
  const Description c(Dims{512, n}, dnnl::memory::data_type::f32, Dims{n, 1});
  return chosen(a, b, c, {}).weights_desc();
}

template <class T> void matmul_into_column(const Gemm& p, const T* a, const void* b, int lda, int ldb);

// Rows of a start every lda elements, those of b every ldb; ldb 0: b is packed.
template <class T> void matmul(const Gemm& p, const T* a, const void* b, int lda, int ldb) {
  using namespace dnnl;
  if (p.n == 1 && p.stride_c() != 1) return matmul_into_column(p, a, b, lda, ldb);
  struct Product { memory a, b, c; dnnl::matmul multiply; };
  // Made once a thread for each kind of product, since making one costs more than a small product.
  static thread_local std::map<std::array<float, 10>, Product> products;

  const std::array<float, 10> key{float(p.m), float(p.n), float(p.k), float(p.ta), float(p.tb),
                                  p.alpha,    p.beta,     float(lda), float(ldb),  float(p.stride_c())};
  auto found = products.find(key);
  if (found == products.end()) {
    const Description a_shape(Dims{p.m, p.k}, stored_as<T>, p.ta ? Dims{1, lda} : Dims{lda, 1});
    const Description b_shape = ldb ? Description(Dims{p.k, p.n}, stored_as<T>, p.tb ? Dims{1, ldb} : Dims{ldb, 1})
                                    : packed_description(p.n, p.k, stored_as<T>);
    const Description c_shape(Dims{p.m, p.n}, memory::data_type::f32, Dims{p.stride_c(), 1});
    primitive_attr attributes;
    post_ops after;
    if (p.alpha != 1) scale(attributes, after, p.alpha);
    if (p.beta != 0) after.append_sum(p.beta);
    attributes.set_post_ops(after);
    const dnnl::matmul multiply(chosen(a_shape, b_shape, c_shape, attributes));
    found = products
                .emplace(key, Product{memory(a_shape, cpu(), nullptr), memory(b_shape, cpu(), nullptr),
                                      memory(c_shape, cpu(), nullptr), multiply})
                .first;
  }
  Product& product = found->second;
  product.a.set_data_handle(const_cast<T*>(a));
  product.b.set_data_handle(const_cast<void*>(b));
  product.c.set_data_handle(p.c);
  product.multiply.execute(stream(),
                           {{DNNL_ARG_SRC, product.a}, {DNNL_ARG_WEIGHTS, product.b}, {DNNL_ARG_DST, product.c}});
}

// A column with gaps between its rows: oneDNN 3.7 writes one of a product in bfloat16 as if there were none.
template <class T> void matmul_into_column(const Gemm& p, const T* a, const void* b, int lda, int ldb) {
  static thread_local std::vector<real> values;
  values.resize(p.m);
  for (int i = 0; i < p.m; i++) values[i] = p.c[size_t(i) * p.ldc];
  Gemm column = p;
  column.c = values.data(), column.ldc = 0;
  matmul(column, a, b, lda, ldb);
  for (int i = 0; i < p.m; i++) p.c[size_t(i) * p.ldc] = values[i];
}

template <class T> size_t packed_bytes(int n, int k) {
  const Description packed = packed_description(n, k, stored_as<T>);
  return in_blocks(packed) ? (packed.get_size() + 63) / 64 * 64 : 0;
}
template <class T> void pack(void* to, const real* w, int n, int k) {
  dnnl::memory from(Description(Dims{k, n}, dnnl::memory::data_type::f32, Dims{1, k}), cpu(), const_cast<real*>(w));
  dnnl::memory packed(packed_description(n, k, stored_as<T>), cpu(), to);
  dnnl::reorder(from, packed).execute(stream(), from, packed);
}
}  // namespace

size_t onednn_packed_bytes(int n, int k, bool rounded) {
  return rounded ? packed_bytes<bf16>(n, k) : packed_bytes<float>(n, k);
}
void onednn_pack(void* to, const real* w, int n, int k, bool rounded) {
  rounded ? pack<bf16>(to, w, n, k) : pack<float>(to, w, n, k);
}

bool has_onednn_bf16() { return __builtin_cpu_supports("avx512bf16"); }

void gemm_onednn_bf16(const Gemm& p) {
  static thread_local std::vector<bf16> a, b;
  auto rounded = [](const Operand& x, int rows, int columns, int stride, std::vector<bf16>& memory) {
    return x.rounded
               ? std::pair(x.rounded, stride)
               : std::pair(packed(x.full, rows, columns, stride, memory, [](real v) { return to_bf16(v); }), columns);
  };
  const auto [a_values, lda] = rounded(p.a, p.ta ? p.k : p.m, p.ta ? p.m : p.k, p.stride_a(), a);
  if (p.b.packed) return matmul(p, a_values, p.b.packed, lda, 0);
  const auto [b_values, ldb] = rounded(p.b, p.tb ? p.n : p.k, p.tb ? p.k : p.n, p.stride_b(), b);
  matmul(p, a_values, b_values, lda, ldb);
}
void gemm_onednn(const Gemm& p) {
  if (p.b.packed) return matmul(p, p.a.full, p.b.packed, p.stride_a(), 0);
  // x Wᵀ: its matmul reads a in place and transposes b faster than its sgemm; small products, where making the call
  // counts, are sgemm's.
  if (!p.ta && p.tb && 2.0 * p.m * p.n * p.k > 2e7) return matmul(p, p.a.full, p.b.full, p.stride_a(), p.stride_b());
  const dnnl_status_t status = dnnl_sgemm(p.ta ? 'T' : 'N', p.tb ? 'T' : 'N', p.m, p.n, p.k, p.alpha, p.a.full,
                                          p.stride_a(), p.b.full, p.stride_b(), p.beta, p.c, p.stride_c());
  if (status != dnnl_success)
    fail(ExitCode::failed, "oneDNN: product of {} x {} x {} failed with status {}", p.m, p.n, p.k, int(status));
}

std::string onednn_name() {
  const dnnl_version_t* v = dnnl_version();
  return fmt::format("oneDNN {}.{}.{}", v->major, v->minor, v->patch);
}
#else
const bool has_onednn = false;

void gemm_onednn(const Gemm&) { fail(ExitCode::failed, "oneDNN is not built in; install libdnnl-dev and build again"); }
bool has_onednn_bf16() { return false; }
void gemm_onednn_bf16(const Gemm& p) { gemm_onednn(p); }
size_t onednn_packed_bytes(int, int, bool) { return 0; }
void onednn_pack(void*, const real*, int, int, bool) {}
std::string onednn_name() { return "no oneDNN"; }
#endif
