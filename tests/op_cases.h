// Every op and every attention function on small inputs: for the gradient checks in double and for comparing devices.
// defines: Input, Op, OpCase, op_cases, activation_cases, attention_cases, family_cases
#pragma once
#include <functional>
#include <string>
#include <vector>
#include "engine/attention/differential.h"
#include "engine/attention/families.h"
#include "engine/attention/laser.h"
#include "engine/attention/talking_heads.h"
#include "engine/error.h"
#include "engine/ops/activations.h"
#include "engine/ops/add.h"
#include "engine/ops/channel_gate.h"
#include "engine/ops/layernorm.h"
#include "engine/ops/layerscale.h"
#include "engine/ops/mlp.h"
#include "engine/ops/loss.h"
#include "engine/ops/mixup.h"
#include "engine/ops/patches.h"
#include "engine/ops/remat.h"
#include "engine/ops/rmsnorm.h"
#include "engine/ops/scale_shift.h"
#include "engine/ops/tokens.h"
#include "engine/random.h"

struct Input {
  Shape shape;
  double scale = 1, centre = 0;         // values are centre + scale N(0,1)
  bool differentiate = true;
  std::function<double(Random&)> draw = {};   // instead of the normal distribution
};
using Op = std::function<Tensor(Tape&, const std::vector<Tensor>&)>;

struct OpCase {
  std::string name;
  std::vector<Input> inputs;
  Op op;
};

inline std::vector<OpCase> op_cases() {
  const Input labels{{3, 5}, 1, 0, false, [](Random& random) { return random.uniform(); }};
  using In = const std::vector<Tensor>&;
  return {
      {"linear", {{{2, 3, 4}}, {{5, 4}}, {{5}}}, [](Tape& t, In x) { return linear(t, x[0], x[1], x[2]); }},
      {"linear without bias", {{{300, 4}}, {{5, 4}}}, [](Tape& t, In x) { return linear(t, x[0], x[1]); }},
      {"linear with residual",
       {{{2, 3, 4}}, {{5, 4}}, {{5}}, {{2, 3, 5}}},
       [](Tape& t, In x) { return linear(t, x[0], x[1], x[2], x[3]); }},
      {"residual twice",
       {{{2, 4}}, {{4, 4}}, {{4}}},
       [](Tape& t, In x) { return linear(t, linear(t, x[0], x[1], x[2], x[0]), x[1], x[2], x[0]); }},
      {"layernorm", {{{3, 5, 7}}, {{7}, 0.5, 1}, {{7}}}, [](Tape& t, In x) { return layernorm(t, x[0], x[1], x[2]); }},
      {"layernorm of many rows",
       {{{150, 6}}, {{6}, 0.5, 1}, {{6}}},
       [](Tape& t, In x) { return layernorm(t, x[0], x[1], x[2]); }},
      {"headnorm", {{{2, 3, 14}}, {{4}, 0.5, 1}}, [](Tape& t, In x) { return headnorm(t, x[0], 3, 2, x[1]); }},
      {"dropped and remade",
       {{{3, 6}}, {{6}, 0.5, 1}, {{6}}, {{4, 6}}, {{4, 4}}},
       [](Tape& t, In x) {
         Tensor n = layernorm(t, x[0], x[1], x[2]), h = linear(t, n, x[3]);
         t.drop(n);
         Tensor a = gelu(t, h), y = linear(t, a, x[4]);
         t.drop(a);
         return y;
       }},
      {"a residual that is dropped",
       {{{3, 6}}, {{6}, 0.5, 1}, {{6}}, {{6, 6}}, {{6}}},
       [](Tape& t, In x) {
         Tensor n = layernorm(t, x[0], x[1], x[2]), y = linear(t, x[0], x[3], x[4], n);
         t.drop(n);
         return gelu(t, y);
       }},
      {"mlp",
       {{{2, 3, 4}}, {{5, 4}}, {{5}}, {{6, 5}}, {{6}}},
       [](Tape& t, In x) { return mlp(t, x[0], {x[1], x[2], x[3], x[4]}, {}); }},
      {"mlp of a norm that is dropped, both layers of the same weights",
       {{{7, 4}}, {{4}, 0.5, 1}, {{4}}, {{4, 4}}, {{4}}},
       [](Tape& t, In x) {
         Tensor n = layernorm(t, x[0], x[1], x[2]), y = mlp(t, n, {x[3], x[4], x[3], x[4]}, x[0]);
         t.drop(n);
         return gelu(t, y);
       }},
      {"tanh", {{{4, 9}}}, [](Tape& t, In x) { return tanh_op(t, x[0]); }},
      {"layerscale", {{{3, 5, 7}}, {{3, 5, 7}}, {{7}}}, [](Tape& t, In x) { return layerscale(t, x[0], x[1], x[2]); }},
      {"layerscale of itself", {{{150, 4}}, {{4}}}, [](Tape& t, In x) { return layerscale(t, x[0], x[0], x[1]); }},
      {"silu", {{{4, 9}, 2}}, [](Tape& t, In x) { return silu(t, x[0]); }},
      {"channel gate",
       {{{2, 3, 5}}, {{2, 3, 5}}, {{5}}},
       [](Tape& t, In x) { return channel_gate(t, x[0], x[1], x[2]); }},
      {"channel gate of a norm",
       {{{150, 4}}, {{4}}, {{4}}},
       [](Tape& t, In x) { return channel_gate(t, rmsnorm(t, x[0], 0, 1, 4, x[1]), x[0], x[2]); }},
      {"rmsnorm of heads",
       {{{2, 3, 8}}, {{4}, 0.5, 1}},
       [](Tape& t, In x) { return rmsnorm(t, x[0], 0, 2, 4, x[1], 1e-5, 0.7); }},
      {"rmsnorm of part, without a scale", {{{2, 3, 11}}}, [](Tape& t, In x) { return rmsnorm(t, x[0], 4, 2, 3, {}); }},
      {"scale and shift", {{{2, 3, 5}}, {{5}}, {{5}}}, [](Tape& t, In x) { return scale_shift(t, x[0], x[1], x[2]); }},
      {"attention with wide values",
       {{{2, 7, 3}}, {{2, 7, 3}}, {{2, 7, 10}}},
       [](Tape& t, In x) { return attention(t, {x[0]}, {x[1]}, {x[2]}, 1, 3, "softmax", 1, nullptr, {}, 10); }},
      {"add", {{{2, 5}}, {{2, 5}}}, [](Tape& t, In x) { return add(t, x[0], x[1]); }},
      {"add to itself", {{{2, 5}}}, [](Tape& t, In x) { return add(t, x[0], tanh_op(t, x[0])); }},
      {"patches", {{{2, 6, 5, 3}}}, [](Tape& t, In x) { return patches(t, x[0], 2); }},
      {"add_position", {{{3, 4, 5}}, {{1, 4, 5}}}, [](Tape& t, In x) { return add_position(t, x[0], x[1]); }},
      {"prepend_token", {{{1, 1, 5}}, {{3, 4, 5}}}, [](Tape& t, In x) { return prepend_token(t, x[0], x[1]); }},
      {"repeat", {{{1, 1, 5}}}, [](Tape& t, In x) { return repeat(t, x[0], 3); }},
      {"mean_tokens", {{{3, 4, 5}}}, [](Tape& t, In x) { return mean_tokens(t, x[0]); }},
      {"first_token", {{{3, 4, 5}}}, [](Tape& t, In x) { return first_token(t, x[0]); }},
      {"softmax_cross_entropy",
       {{{3, 5}, 2}, labels},
       [](Tape& t, In x) { return softmax_cross_entropy(t, x[0], x[1]); }},
      {"sigmoid_cross_entropy",
       {{{3, 5}, 2}, labels},
       [](Tape& t, In x) { return sigmoid_cross_entropy(t, x[0], x[1]); }},
      {"mean", {{{7}}}, [](Tape& t, In x) { return mean(t, x[0]); }},
      {"mean of more", {{{7}}}, [](Tape& t, In x) { return mean(t, x[0], 10); }},
      {"mixup", {{{3, 2, 5}}}, [](Tape& t, In x) { return mixup(t, x[0], real(0.7)); }},
      {"mixup of one", {{{1, 5}}}, [](Tape& t, In x) { return mixup(t, x[0], real(0.7)); }},
      {"rematerialised",
       {{{4, 6}}, {{6, 6}}, {{6}}},
       [](Tape& t, In x) {
         Tensor w = x[1], b = x[2];
         return rematerialised(t, x[0], [=, &t](Tape& part, Tensor y) {
           auto leaf = [&](Tensor p) {
             const Gradient g = part.recording() ? t.add_gradient(p) : Gradient{nullptr, 0};
             return part.leaf("input", p.shape, t.value(p), g.data, g.add);
           };
           return linear(part, gelu(part, linear(part, y, leaf(w), leaf(b))), leaf(w), {}, y);
         });
       }},
  };
}

// Every activation of the MLP, and every function of a gate.
inline std::vector<OpCase> activation_cases() {
  using In = const std::vector<Tensor>&;
  std::vector<OpCase> cases;
  for (const std::string& name : MlpActivations::names()) {
    cases.push_back({"gelu " + name, {{{4, 9}, 2}}, [=](Tape& t, In x) { return gelu(t, x[0], name); }});
    cases.push_back({"mlp " + name + ", added to its input",
                     {{{7, 4}}, {{5, 4}}, {{5}}, {{4, 5}}, {{4}}},
                     [=](Tape& t, In x) { return mlp(t, x[0], {x[1], x[2], x[3], x[4]}, x[0], name); }});
  }
  for (const std::string& name : GateFunctions::names())
    cases.push_back(
        {"gate " + name, {{{4, 9}}, {{4, 9}, 2}}, [=](Tape& t, In x) { return gate(t, x[0], x[1], name); }});
  return cases;
}

// From the packed projection to the gated output, as in a block: qkv[B,L,3D] -> o[B,L,D]
inline OpCase attention_case(const std::string& function, double alpha, int B, int H, int Lq, int L, int d,
                             bool qk_norm, bool gated) {
  const int D = H * d;
  const Input scale{{d}, 0.3, 1};
  const bool number = !AttentionFunctions::find(function)->number.empty();
  return {fmt::format("{} alpha {} L {} {} {}", function, alpha, L, qk_norm, gated),
          {{{B, Lq, D}}, {{B, L, 2 * D}}, scale, scale, {{B, Lq, D}}, {{H}, 0.5}},
          [=](Tape& t, const std::vector<Tensor>& x) {
            HeadView q{x[0]}, k{x[1]};
            if (qk_norm) q = {headnorm(t, x[0], 0, H, x[2])}, k = {headnorm(t, x[1], 0, H, x[3])};
            Tensor o =
                attention(t, q, k, {x[1], D}, H, d, function, alpha, nullptr, {.number = number ? x[5] : Tensor{}});
            return gated ? gate(t, o, x[4]) : o;
          }};
}

// All that a function can learn, for each head or (shared) for all.
inline OpCase learned_case(const AttentionFunctionInfo& f, bool gamma, bool shared, int B, int H, int Lq, int L,
                           int d) {
  std::vector<Input> inputs{{{B, Lq, H * d}}, {{B, L, 2 * H * d}}};
  auto add = [&](bool there, int n) {
    if (there) inputs.push_back({{n}, 0.3, 0.2});
    return there ? int(inputs.size()) - 1 : -1;
  };
  const int n = shared ? 1 : H;
  const Learned<int> at{add(f.scaled_by_length && !gamma, n), add(f.scaled_by_length && gamma, n),
                        add(f.shift_matters, n), add(f.scale_matters, n), add(!f.number.empty(), H)};
  return {fmt::format("{} learned {} {} L {}", f.name, gamma, shared, L), inputs,
          [=, name = f.name](Tape& t, const std::vector<Tensor>& x) {
            return attention(t, {x[0]}, {x[1]}, {x[1], H * d}, H, d, name, 1, nullptr,
                             at.map<Tensor>([&](int i) { return i < 0 ? Tensor{} : x[i]; }));
          }};
}

// Every function with qk-norm and gate on and off, and with what it can learn
inline std::vector<OpCase> attention_cases() {
  std::vector<OpCase> cases;
  for (const auto& function : AttentionFunctions::all()) {
    auto add = [&](auto... arguments) { cases.push_back(attention_case(function.name, arguments...)); };
    for (int L : {1, 5, 17})
      for (bool qk_norm : {false, true})
        for (bool gated : {false, true}) add(1, 1, 2, L, L, 3, qk_norm, gated);
    add(1, 1, 1, 50, 50, 4, true, true), add(1, 1, 1, 50, 50, 2, false, false);
    add(0.5, 2, 2, 5, 5, 3, true, false), add(0, 1, 1, 5, 5, 3, false, false), add(2, 1, 1, 5, 5, 3, false, false);
    add(1, 2, 1, 1, 5, 3, false, false);  // one query, as in the pooling head
    for (bool gamma : {false, true})
      for (bool shared : {false, true}) cases.push_back(learned_case(function, gamma, shared, 2, 2, 3, 7, 3));
  }
  return cases;
}

// Values and constants of a family as a block has them: q, k, v side by side in x[B,L,3D], constants as an input
// without gradient.
inline OpCase family_case(const std::string& family, double alpha, int B, int H, int L, int d) {
  const int D = H * d;
  Shape constants = {1};
  std::vector<double> values = {0};
  LinearFamilies::visit(family, alpha, L, [&](auto f) {
    if (const std::vector<double> some = f.constants(L, d, 0); !some.empty())
      constants = f.constants_shape(L, d), values = some;
  });
  // from the first again for another device
  auto draw = [values, i = size_t(0)](Random&) mutable { return values[i++ % values.size()]; };
  return {fmt::format("{}, alpha {} B {} H {} L {} d {}", family, alpha, B, H, L, d),
          {{{B, L, 3 * D}}, {constants, 1, 0, false, draw}},
          [=](Tape& t, const std::vector<Tensor>& x) {
            Tensor o;
            LinearFamilies::visit(family, alpha, L,
                                  [&](auto f) { o = f(t, {{x[0]}, {x[0], D}, {x[0], 2 * D}, H, d, x[1]}); });
            return o;
          }};
}

// Every linear family, and what does something else than o = φ(S) v, with every φ
inline std::vector<OpCase> family_cases() {
  std::vector<OpCase> cases;
  for (const auto& family : LinearFamilies::all()) {
    // there x / |x|: its gradient is rounding
    if (family.name != "sima") cases.push_back(family_case(family.name, 1, 2, 2, 1, 3));
    for (int L : {2, 5, 17}) cases.push_back(family_case(family.name, 1, 2, 2, L, 3));
    cases.push_back(family_case(family.name, 0.5, 1, 1, 6, 8));
    cases.push_back(family_case(family.name, 1, 3, 1, 50, 4));
  }
  for (const auto& function : AttentionFunctions::all())
    for (int L : {1, 5, 17}) {
      if (!function.number.empty()) continue;  // no form has a place for it
      const int B = 2, H = 2, d = 3, D = H * d;
      const auto name = [&](const char* op) { return fmt::format("{} {} L {}", op, function.name, L); };
      const double alpha = 1;
      cases.push_back({name("differential"),
                       {{{B, L, 3 * D}}, {{d}, 0.5}, {{d}, 0.5}, {{d}, 0.5}, {{d}, 0.5}},
                       [=](Tape& t, const std::vector<Tensor>& x) {
                         Tensor lambda = differential_lambda(t, x[1], x[2], x[3], x[4], 0.2);
                         return differential_attention(t, {x[0]}, {x[0], D}, {x[0], 2 * D}, H, d, function.name, alpha,
                                                       lambda);
                       }});
      cases.push_back(
          {name("talking heads"), {{{B, L, 3 * D}}, {{H, H}}, {{H, H}}}, [=](Tape& t, const std::vector<Tensor>& x) {
             return talking_heads_attention(t, {x[0]}, {x[0], D}, {x[0], 2 * D}, H, d, function.name, alpha, x[1],
                                            x[2]);
           }});
      if (function.always_positive)
        cases.push_back({name("laser"), {{{B, L, 3 * D}}}, [=](Tape& t, const std::vector<Tensor>& x) {
                           return laser_attention(t, {x[0]}, {x[0], D}, {x[0], 2 * D}, H, d, function.name, alpha);
                         }});
    }
  return cases;
}
