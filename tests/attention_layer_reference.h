// The attention of a block in double, from the papers' formulas: every weight of every pair of tokens is written out,
// also where the engine never makes them.
// defines: Rows, dot, LayerReference
#pragma once
#include <cmath>
#include "engine/attention/families.h"
#include "engine/parameters.h"
#include "models/attention/list.h"
#include "models/config.h"
#include "tests/attention_reference.h"

using Rows = std::vector<Row>;                                         // [L, channels], of one image

inline double dot(const Row& a, const Row& b) {
  double s = 0;
  for (size_t c = 0; c < a.size(); c++) s += a[c] * b[c];
  return s;
}
inline Rows columns(const Rows& x, int first, int count) {
  Rows y;
  for (const Row& row : x) y.emplace_back(row.begin() + first, row.begin() + first + count);
  return y;
}
template <class F> Rows map_values(Rows x, F f) {
  for (size_t i = 0; i < x.size(); i++)
    for (size_t c = 0; c < x[i].size(); c++) x[i][c] = f(i, int(c), x[i][c]);
  return x;
}
inline double sigmoid(double x) { return 1 / (1 + std::exp(-x)); }
inline double silu(double x) { return x * sigmoid(x); }

// o_i = Σ_j weights_ij v_j
inline Rows weighted(const Rows& weights, const Rows& v) {
  Rows o;
  for (const Row& w : weights) {
    Row& row = o.emplace_back(v[0].size());
    for (size_t j = 0; j < v.size(); j++)
      for (size_t c = 0; c < row.size(); c++) row[c] += w[j] * v[j][c];
  }
  return o;
}
inline Rows scores(const Rows& q, const Rows& k) {
  Rows s;
  for (const Row& a : q)
    for (s.emplace_back(); const Row& b : k) s.back().push_back(dot(a, b) / std::sqrt(a.size()));
  return s;
}
inline Rows weights_of(const ViTConfig& c, const Rows& s) {
  Rows a;
  for (const Row& row : s) a.push_back(reference_function(c.attention, c.alpha).forward(row));
  return a;
}

// The L x L weights that a linear family stands for.
inline Rows linear_weights(const ViTConfig& c, const Rows& q, const Rows& k, int layer) {
  const int L = int(q.size()), d = int(q[0].size());
  const std::string& name = c.attention;
  std::function<double(int i, int j)> similarity;
  bool normalised = true;
  auto sum_of = [&](const Row& a, const Row& b, auto f) {
    double s = 0;
    for (int r = 0; r < d; r++) s += f(a[r]) * f(b[r]);
    return s;
  };
  auto relu = [](double x) { return std::max(x, 0.0); };
  if (name == "linear-elu1")
    similarity = [&](int i, int j) { return sum_of(q[i], k[j], [](double x) { return x > 0 ? x + 1 : std::exp(x); }); };
  if (name == "linear-relu") similarity = [&](int i, int j) { return sum_of(q[i], k[j], relu); };
  if (name == "cosformer")
    similarity = [&](int i, int j) { return sum_of(q[i], k[j], relu) * std::cos(M_PI / 2 * (i - j) / L); };
  if (name == "linear-identity")
    normalised = false,
    similarity = [&](int i, int j) { return dot(q[i], k[j]) / std::sqrt(d) * std::pow(L, -c.alpha); };
  Row q_norm(d), k_norm(d);
  for (int i = 0; i < L; i++)
    for (int r = 0; r < d; r++) q_norm[r] += std::abs(q[i][r]), k_norm[r] += std::abs(k[i][r]);
  if (name == "sima") normalised = false, similarity = [&](int i, int j) {
    double s = 0;
    for (int r = 0; r < d; r++) s += q[i][r] / q_norm[r] * k[j][r] / k_norm[r];
    return s;
  };
  if (name.starts_with("performer")) similarity = [&](int i, int j) {
    const std::vector<double> w = Performer::constants(L, d, layer);
    Row a = q[i], b = k[j];
    for (Row* x : {&a, &b})
      for (double& v : *x) v *= std::pow(d, -0.25);
    double s = 0;
    for (size_t r = 0; r < w.size() / d; r++) {
      const Row direction(w.begin() + r * d, w.begin() + (r + 1) * d);
      if (name == "performer")
        s += std::exp(dot(direction, a) - dot(a, a) / 2) * std::exp(dot(direction, b) - dot(b, b) / 2);
      else s += (relu(dot(direction, a)) + 1e-3) * (relu(dot(direction, b)) + 1e-3);
    }
    return s;
  };
  REQUIRE_MESSAGE(similarity, "write the formula of '" << name << "' here");
  Rows weights(L, Row(L));
  for (int i = 0; i < L; i++) {
    double sum = 0;
    for (int j = 0; j < L; j++) sum += weights[i][j] = similarity(i, j);
    for (int j = 0; normalised && sum != 0 && j < L; j++) weights[i][j] /= sum;      // a query without a feature gets 0
  }
  return weights;
}

struct LayerReference {
  const ViTConfig& c;
  const Parameters& parameters;
  int layer;
  std::string prefix = fmt::format("blocks.{}.attn.", layer);

  Row get(const std::string& name) const {
    const std::vector<float> v = parameters.get(parameters.find(prefix + name));
    return {v.begin(), v.end()};
  }
  Rows linear(const Rows& x, const std::string& name) const {
    const Row w = get(name + ".weight"), b = get(name + ".bias");
    const size_t in = x[0].size();
    Rows y;
    for (const Row& row : x)
      for (y.emplace_back(); size_t o : indices(b.size()))
        y.back().push_back(b[o] + dot(row, Row(w.begin() + o * in, w.begin() + (o + 1) * in)));
    return y;
  }
  static std::vector<size_t> indices(size_t n) {
    std::vector<size_t> v(n);
    for (size_t i = 0; i < n; i++) v[i] = i;
    return v;
  }
  // (x - mean) / √(variance + 1e-6), or without the mean, over groups of |w| channels
  Rows norm(const Rows& x, const std::string& w_name, bool centred, double epsilon = 1e-6,
            const std::string& b_name = "") const {
    const Row w = get(w_name), b = b_name.empty() ? Row(w.size()) : get(b_name);
    Rows y = x;
    for (Row& row : y)
      for (size_t first = 0; first < row.size(); first += w.size()) {
        double mean = 0, square = 0;
        for (size_t i = 0; i < w.size(); i++) mean += centred ? row[first + i] / w.size() : 0;
        for (size_t i = 0; i < w.size(); i++) square += std::pow(row[first + i] - mean, 2) / w.size();
        for (size_t i = 0; i < w.size(); i++)
          row[first + i] = (row[first + i] - mean) / std::sqrt(square + epsilon) * w[i] + b[i];
      }
    return y;
  }

  Rows heads(const Rows& q, const Rows& k, const Rows& v) const {
    const int H = c.heads, d = c.head_width(), L = int(q.size());
    auto head = [&](const Rows& x, int h, int width) { return columns(x, h * width, width); };
    Rows o(L);
    auto append = [&](const Rows& part) {
      for (int i = 0; i < L; i++) o[i].insert(o[i].end(), part[i].begin(), part[i].end());
    };
    if (c.attention == "hydra") {
      for (int i = 0; i < L; i++)
        for (int r = 0; r < H * d; r++) {
          double s = 0;
          for (int j = 0; j < L; j++) s += k[j][r] / std::sqrt(dot(k[j], k[j])) * v[j][r];
          o[i].push_back(q[i][r] / std::sqrt(dot(q[i], q[i])) * s);
        }
      return o;
    }
    std::vector<Rows> s, a;
    for (int h = 0; h < H; h++)
      if (is_linear(c.attention)) a.push_back(linear_weights(c, head(q, h, d), head(k, h, d), layer));
      else s.push_back(scores(head(q, h, d), head(k, h, d)));
    auto mixed = [&](const std::vector<Rows>& x, const char* name) {
      const Row w = get(name);
      std::vector<Rows> y(H, Rows(L, Row(L)));
      for (int h = 0; h < H; h++)
        for (int g = 0; g < H; g++)
          for (int i = 0; i < L; i++)
            for (int j = 0; j < L; j++) y[h][i][j] += w[h * H + g] * x[g][i][j];
      return y;
    };
    if (c.form == "talking-heads") s = mixed(s, "mix_scores");
    for (const Rows& each : s) a.push_back(weights_of(c, each));
    if (c.form == "talking-heads") a = mixed(a, "mix_weights");
    if (c.form == "differential") {
      const double first = 0.8 - 0.6 * std::exp(-0.3 * layer);
      const double lambda =
          std::exp(dot(get("lambda_q1"), get("lambda_k1"))) - std::exp(dot(get("lambda_q2"), get("lambda_k2"))) + first;
      for (int h = 0; h < H / 2; h++)
        append(
            weighted(map_values(a[2 * h], [&](size_t i, int j, double x) { return x - lambda * a[2 * h + 1][i][j]; }),
                     head(v, h, 2 * d)));
      return map_values(norm(o, "norm.weight", false, 1e-5), [&](size_t, int, double x) { return (1 - first) * x; });
    }
    const bool laser = c.form == "laser";
    for (int h = 0; h < H; h++) {
      const Rows values = map_values(head(v, h, d), [&](size_t, int, double x) { return laser ? std::exp(x) : x; });
      append(map_values(weighted(a[h], values), [&](size_t, int, double x) { return laser ? std::log(x) : x; }));
    }
    return o;
  }

  Rows operator()(const Rows& x, const Rows& n) const {
    auto add = [](const Rows& a, const Rows& b) {
      return map_values(a, [&](size_t i, int r, double v) { return v + b[i][r]; });
    };
    auto times = [](const Rows& a, const Rows& b, auto f) {
      return map_values(a, [&](size_t i, int r, double v) { return v * f(b[i][r]); });
    };
    auto qk_norm = [&](const Rows& y, const char* name) { return c.qk_norm ? norm(y, name, true) : y; };
    if (c.block == "gau") {
      auto activated = [&](const char* name) {
        return map_values(linear(n, name), [](size_t, int, double v) { return silu(v); });
      };
      const Rows z = activated("z");
      auto part = [&](const std::string& which) {
        const Row w = get(which + "_scale"), b = get(which + "_shift");
        return qk_norm(map_values(z, [&](size_t, int r, double v) { return w[r] * v + b[r]; }),
                       (which + "_norm.weight").c_str());
      };
      const Rows o = weighted(weights_of(c, scores(part("q"), part("k"))), activated("v"));
      return add(linear(times(o, linear(n, "u"), silu), "proj"), x);
    }
    const int D = c.width;
    const Rows qkv = linear(n, "qkv");
    Rows o = heads(qk_norm(columns(qkv, 0, D), "q_norm.weight"), qk_norm(columns(qkv, D, D), "k_norm.weight"),
                   columns(qkv, 2 * D, D));
    if (c.output_norm == "rms") o = norm(o, "norm.weight", false);
    if (c.output_norm == "rela") {
      const Row w = get("norm.gate");
      const Rows gate = map_values(o, [&](size_t, int r, double v) { return w[r] * v; });
      o = times(norm(o, "norm.weight", false), gate, sigmoid);
    }
    if (c.gate) o = times(o, linear(n, "gate"), c.gate_function == "sigmoid" ? sigmoid : silu);
    o = linear(o, "proj");
    return add(c.block == "hybrid-norm" ? norm(o, "post_norm.weight", true, 1e-6, "post_norm.bias") : o, x);
  }
};
