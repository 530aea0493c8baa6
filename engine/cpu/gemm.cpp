#include "engine/cpu/gemm.h"
#include <Eigen/Core>
#include <algorithm>
#include <fmt/format.h>
#include "engine/error.h"
#ifdef RELUCENT_ONEDNN
#include <dnnl.h>
#endif

namespace {
using Matrix = Eigen::Matrix<real, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
using Stride = Eigen::OuterStride<>;

// Bias and residual go into c first, so that the product adds to them while they are in the cache.
real prepare(const Gemm& p) {
  if (!p.bias && !p.residual) return p.beta;
  for (int i = 0; i < p.m; i++) {
    real* c = p.c + size_t(i) * p.stride_c();
    const real* r = p.residual ? p.residual + size_t(i) * p.stride_c() : nullptr;
    for (int j = 0; j < p.n; j++) c[j] = (p.beta == 0 ? 0 : p.beta * c[j]) + (p.bias ? p.bias[j] : 0) + (r ? r[j] : 0);
  }
  return 1;
}
}  // namespace

void gemm_eigen(const Gemm& p) {
  const real beta = prepare(p);
  const Eigen::Map<const Matrix, 0, Stride> a(p.a, p.ta ? p.k : p.m, p.ta ? p.m : p.k, Stride(p.stride_a()));
  const Eigen::Map<const Matrix, 0, Stride> b(p.b, p.tb ? p.n : p.k, p.tb ? p.k : p.n, Stride(p.stride_b()));
  Eigen::Map<Matrix, 0, Stride> c(p.c, p.m, p.n, Stride(p.stride_c()));
  if (beta == 0) c.setZero();
  else if (beta != 1) c *= beta;
  if (p.ta && p.tb) c.noalias() += p.alpha * a.transpose() * b.transpose();
  else if (p.ta) c.noalias() += p.alpha * a.transpose() * b;
  else if (p.tb) c.noalias() += p.alpha * a * b.transpose();
  else c.noalias() += p.alpha * a * b;
}

std::string eigen_name() { return fmt::format("Eigen {}.{}.{}", EIGEN_WORLD_VERSION, EIGEN_MAJOR_VERSION, EIGEN_MINOR_VERSION); }

#ifdef RELUCENT_ONEDNN
const bool has_onednn = true;

void gemm_onednn(const Gemm& p) {
  const real beta = prepare(p);
  const dnnl_status_t status = dnnl_sgemm(p.ta ? 'T' : 'N', p.tb ? 'T' : 'N', p.m, p.n, p.k, p.alpha, p.a, p.stride_a(), p.b, p.stride_b(), beta,
                                          p.c, p.stride_c());
  if (status != dnnl_success) fail(ExitCode::failed, "oneDNN: product of {} x {} x {} failed with status {}", p.m, p.n, p.k, int(status));
}

std::string onednn_name() {
  const dnnl_version_t* v = dnnl_version();
  return fmt::format("oneDNN {}.{}.{}", v->major, v->minor, v->patch);
}
#else
const bool has_onednn = false;

void gemm_onednn(const Gemm&) { fail(ExitCode::failed, "oneDNN is not built in; install libdnnl-dev and build again"); }
std::string onednn_name() { return "no oneDNN"; }
#endif
