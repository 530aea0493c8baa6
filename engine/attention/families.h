// The linear families: attention without an L x L matrix, one struct each, from q, k, v of a block to the heads'
// output. To add one, write its struct and append it to LinearFamilies: command line, help, checks and the table of
// README.md beside it take it from there. Some need numbers that no training changes, a function of (L, d, layer)
// alone: `constants` with their shape.
// defines: the families, LinearInputs, LinearFamilies
#pragma once
#include <algorithm>
#include <numeric>
#include "engine/attention/linear.h"
#include "engine/ops/rmsnorm.h"
#include "engine/random.h"

struct LinearInputs {
  HeadView q, k, v; int heads, d;
  Tensor constants;                                           // of F::constants, where it has some
};

struct LinearFamily : AttentionFunction {
  static constexpr bool shift_matters = false, scale_matters = false;      // no scores, so nothing of them is learned
  LinearFamily(double /*alpha*/, int /*L*/) {}
  static Shape constants_shape(int /*L*/, int /*d*/) { return {}; }
  static std::vector<double> constants(int /*L*/, int /*d*/, int /*layer*/) { return {}; }
  // of one head, without the projections before and after
  static double multiply_adds(double L, double d) { return 2 * L * d * d; }
};

// o = Σ_j f(q_i)·f(k_j) v_j / Σ_j f(q_i)·f(k_j), from features that are made again in the backward pass
inline Tensor normalised_attention(Tape& t, const LinearInputs& in, Tensor q, Tensor k, int m) {
  Tensor o = linear_attention(t, {q}, {k}, in.v, in.heads, m, in.d, true);
  t.drop(q), t.drop(k);
  return o;
}

struct LinearElu : LinearFamily {
  static constexpr std::string_view name = "linear-elu1", formula = "q' S / (q' z), q' = elu(q) + 1",
                                    source = "Katharopoulos et al. 2020, 2006.16236";
  using LinearFamily::LinearFamily;
  Tensor operator()(Tape& t, const LinearInputs& in) const {
    auto f = [&](HeadView x) { return pointwise_features<EluPlusOne>(t, "elu + 1 features", x, in.heads, in.d); };
    Tensor q = f(in.q), k = f(in.k);
    return normalised_attention(t, in, q, k, in.d);
  }
};

struct LinearRelu : LinearFamily {
  static constexpr std::string_view name = "linear-relu", formula = "q' S / (q' z), q' = max(q, 0)",
                                    source = "EfficientViT, Cai et al. 2023, 2205.14756";
  using LinearFamily::LinearFamily;
  Tensor operator()(Tape& t, const LinearInputs& in) const {
    auto f = [&](HeadView x) { return pointwise_features<Relu>(t, "max(x, 0) features", x, in.heads, in.d); };
    Tensor q = f(in.q), k = f(in.k);
    return normalised_attention(t, in, q, k, in.d);
  }
};

struct CosFormer : LinearFamily {
  static constexpr std::string_view name = "cosformer",
                                    formula = "q' S / (q' z), q'_i = max(q_i, 0) [sin(pi i/2L), cos(pi i/2L)]",
                                    source = "Qin et al. 2022, 2202.08791";
  using LinearFamily::LinearFamily;
  static Shape constants_shape(int L, int /*d*/) { return {L, 2}; }
  static std::vector<double> constants(int L, int /*d*/, int /*layer*/) {
    std::vector<double> waves;
    for (int i = 1; i <= L; i++)
      for (double wave : {std::sin(M_PI * i / (2 * L)), std::cos(M_PI * i / (2 * L))}) waves.push_back(wave);
    return waves;
  }
  static double multiply_adds(double L, double d) { return 4 * L * d * d; }
  Tensor operator()(Tape& t, const LinearInputs& in) const {
    auto f = [&](HeadView x) { return cosine_features(t, x, in.heads, in.d, in.constants); };
    Tensor q = f(in.q), k = f(in.k);
    return normalised_attention(t, in, q, k, 2 * in.d);
  }
};

struct SimA : LinearFamily {
  static constexpr std::string_view name = "sima",
                                    formula = "q' S, q' and k' over their l1 norm of all tokens, by channel",
                                    source = "Koohpayegani & Pirsiavash 2022, 2206.08898";
  using LinearFamily::LinearFamily;
  Tensor operator()(Tape& t, const LinearInputs& in) const {
    Tensor q = token_normalised(t, in.q, in.heads, in.d), k = token_normalised(t, in.k, in.heads, in.d);
    Tensor o = linear_attention(t, {q}, {k}, in.v, in.heads, in.d, in.d, false);
    t.drop(q), t.drop(k);
    return o;
  }
};

struct LinearIdentity : LinearFamily {
  static constexpr std::string_view name = "linear-identity", formula = "q S / sqrt(d)",
                                    source = "2309.08586: identity, regrouped";
  static constexpr bool scaled_by_length = true;
  double scale;
  LinearIdentity(double alpha, int L) : LinearFamily(alpha, L), scale(std::pow(double(L), -alpha)) {}
  Tensor operator()(Tape& t, const LinearInputs& in) const {
    return linear_attention(t, in.q, in.k, in.v, in.heads, in.d, in.d, false, scale / std::sqrt(in.d));
  }
};

struct Hydra : LinearFamily {
  static constexpr std::string_view name = "hydra", formula = "q' * sum_j k'_j * v_j, q' = q / norm(q) of all heads",
                                    source = "Bolya et al. 2022, 2209.07484";
  using LinearFamily::LinearFamily;
  static double multiply_adds(double L, double d) { return 2 * L * d; }
  Tensor operator()(Tape& t, const LinearInputs& in) const {
    const int C = in.heads * in.d;
    auto unit = [&](HeadView x) { return rmsnorm(t, x.x, x.offset, 1, C, {}, 1e-6, 1 / std::sqrt(C)); };
    Tensor q = unit(in.q), k = unit(in.k), o = hydra_product(t, q, k, in.v);
    t.drop(q), t.drop(k);
    return o;
  }
};

// m = d ln d directions w, orthogonal in groups of d, as long as normal vectors are. Drawn once for each layer and not
// again during training (upstream: every 1000 steps), so that weights alone say what a model computes.
struct PerformerFamily : LinearFamily {
  using LinearFamily::LinearFamily;
  static int directions(double d) { return std::max(1, int(d * std::log(d))); }
  static Shape constants_shape(int /*L*/, int d) { return {directions(d), d}; }
  static std::vector<double> constants(int /*L*/, int d, int layer) {
    const int m = directions(d);
    Random random(0, purpose::features, uint64_t(layer));
    std::vector<double> w;
    auto normal_row = [&] { std::vector<double> row(d); for (double& x : row) x = random.normal(); return row; };
    auto dot = [&](const double* a, const double* b) { return std::inner_product(a, a + d, b, 0.0); };
    for (int r = 0; r < m; r++) {
      std::vector<double> row = normal_row();
      const std::vector<double> other = normal_row();  // its length becomes that of the row
      for (int earlier = r / d * d; earlier < r; earlier++) {                             // Gram and Schmidt
        const double* to = w.data() + size_t(earlier) * d;
        const double part = dot(row.data(), to) / dot(to, to);
        for (int c = 0; c < d; c++) row[c] -= part * to[c];
      }
      const double scale = std::sqrt(dot(other.data(), other.data()) / dot(row.data(), row.data()));
      for (double x : row) w.push_back(scale * x);
    }
    return w;
  }
  static double multiply_adds(double L, double d) { return 4 * L * directions(d) * d; }
};

struct Performer : PerformerFamily {
  static constexpr std::string_view name = "performer",
                                    formula = "q' S / (q' z), q'_r = exp(w_r.x - x.x/2), x = q / d^(1/4)",
                                    source = "Choromanski et al. 2021, 2009.14794";
  using PerformerFamily::PerformerFamily;
  Tensor operator()(Tape& t, const LinearInputs& in) const {
    Tensor q = positive_features(t, in.q, in.heads, in.d, in.constants, false),
           k = positive_features(t, in.k, in.heads, in.d, in.constants, true);
    return normalised_attention(t, in, q, k, directions(in.d));
  }
};

struct PerformerRelu : PerformerFamily {
  static constexpr std::string_view name = "performer-relu",
                                    formula = "q' S / (q' z), q'_r = max(w_r.x, 0) + 0.001, x = q / d^(1/4)",
                                    source = "2009.14794, section 4";
  using PerformerFamily::PerformerFamily;
  Tensor operator()(Tape& t, const LinearInputs& in) const {
    auto f = [&](HeadView x) { return relu_features(t, x, in.heads, in.d, in.constants); };
    Tensor q = f(in.q), k = f(in.k);
    return normalised_attention(t, in, q, k, directions(in.d));
  }
};

using LinearFamilies =
    AttentionFunctionList<LinearElu, LinearRelu, CosFormer, SimA, LinearIdentity, Hydra, Performer, PerformerRelu>;
