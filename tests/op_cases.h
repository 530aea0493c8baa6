// Every op and every attention function on small inputs: for the gradient checks in double and for comparing devices.
// defines: Input, Op, OpCase, op_cases, attention_cases
#pragma once
#include <functional>
#include <string>
#include <vector>
#include "engine/attention/attention.h"
#include "engine/error.h"
#include "engine/ops/activations.h"
#include "engine/ops/layernorm.h"
#include "engine/ops/layerscale.h"
#include "engine/ops/linear_gelu.h"
#include "engine/ops/loss.h"
#include "engine/ops/mixup.h"
#include "engine/ops/patches.h"
#include "engine/ops/remat.h"
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
      {"linear with residual", {{{2, 3, 4}}, {{5, 4}}, {{5}}, {{2, 3, 5}}}, [](Tape& t, In x) { return linear(t, x[0], x[1], x[2], x[3]); }},
      {"residual twice", {{{2, 4}}, {{4, 4}}, {{4}}}, [](Tape& t, In x) { return linear(t, linear(t, x[0], x[1], x[2], x[0]), x[1], x[2], x[0]); }},
      {"layernorm", {{{3, 5, 7}}, {{7}, 0.5, 1}, {{7}}}, [](Tape& t, In x) { return layernorm(t, x[0], x[1], x[2]); }},
      {"layernorm of many rows", {{{150, 6}}, {{6}, 0.5, 1}, {{6}}}, [](Tape& t, In x) { return layernorm(t, x[0], x[1], x[2]); }},
      {"headnorm", {{{2, 3, 14}}, {{4}, 0.5, 1}}, [](Tape& t, In x) { return headnorm(t, x[0], 3, 2, x[1]); }},
      {"dropped and remade", {{{3, 6}}, {{6}, 0.5, 1}, {{6}}, {{4, 6}}, {{4, 4}}}, [](Tape& t, In x) {
         Tensor n = layernorm(t, x[0], x[1], x[2]), h = linear(t, n, x[3]);
         t.drop(n);
         Tensor a = gelu(t, h, false), y = linear(t, a, x[4]);
         t.drop(a);
         return y;
       }},
      {"gelu", {{{4, 9}, 2}}, [](Tape& t, In x) { return gelu(t, x[0], false); }},
      {"gelu erf", {{{4, 9}, 2}}, [](Tape& t, In x) { return gelu(t, x[0], true); }},
      {"linear and gelu", {{{2, 3, 4}}, {{5, 4}}, {{5}}, {{3, 5}}}, [](Tape& t, In x) { return linear(t, linear_gelu(t, x[0], x[1], x[2], false), x[3]); }},
      {"linear and gelu erf, read twice", {{{7, 4}}, {{4, 4}}, {{4}}, {{4, 4}}}, [](Tape& t, In x) {
         Tensor a = linear_gelu(t, x[0], x[1], x[2], true);
         return linear(t, a, x[3], {}, linear(t, a, x[1]));
       }},
      {"linear and gelu, read by a product and as it is", {{{7, 4}}, {{4, 4}}, {{4}}}, [](Tape& t, In x) {
         Tensor a = linear_gelu(t, x[0], x[1], x[2], false);
         return linear(t, a, x[1], x[2], a);
       }},
      {"tanh", {{{4, 9}}}, [](Tape& t, In x) { return tanh_op(t, x[0]); }},
      {"gate", {{{4, 9}}, {{4, 9}, 2}}, [](Tape& t, In x) { return gate(t, x[0], x[1]); }},
      {"layerscale", {{{3, 5, 7}}, {{3, 5, 7}}, {{7}}}, [](Tape& t, In x) { return layerscale(t, x[0], x[1], x[2]); }},
      {"layerscale of itself", {{{150, 4}}, {{4}}}, [](Tape& t, In x) { return layerscale(t, x[0], x[0], x[1]); }},
      {"patches", {{{2, 6, 5, 3}}}, [](Tape& t, In x) { return patches(t, x[0], 2); }},
      {"add_position", {{{3, 4, 5}}, {{1, 4, 5}}}, [](Tape& t, In x) { return add_position(t, x[0], x[1]); }},
      {"prepend_token", {{{1, 1, 5}}, {{3, 4, 5}}}, [](Tape& t, In x) { return prepend_token(t, x[0], x[1]); }},
      {"repeat", {{{1, 1, 5}}}, [](Tape& t, In x) { return repeat(t, x[0], 3); }},
      {"mean_tokens", {{{3, 4, 5}}}, [](Tape& t, In x) { return mean_tokens(t, x[0]); }},
      {"first_token", {{{3, 4, 5}}}, [](Tape& t, In x) { return first_token(t, x[0]); }},
      {"softmax_cross_entropy", {{{3, 5}, 2}, labels}, [](Tape& t, In x) { return softmax_cross_entropy(t, x[0], x[1]); }},
      {"sigmoid_cross_entropy", {{{3, 5}, 2}, labels}, [](Tape& t, In x) { return sigmoid_cross_entropy(t, x[0], x[1]); }},
      {"mean", {{{7}}}, [](Tape& t, In x) { return mean(t, x[0]); }},
      {"mean of more", {{{7}}}, [](Tape& t, In x) { return mean(t, x[0], 10); }},
      {"mixup", {{{3, 2, 5}}}, [](Tape& t, In x) { return mixup(t, x[0], real(0.7)); }},
      {"mixup of one", {{{1, 5}}}, [](Tape& t, In x) { return mixup(t, x[0], real(0.7)); }},
      {"rematerialised", {{{4, 6}}, {{6, 6}}, {{6}}}, [](Tape& t, In x) {
         Tensor w = x[1], b = x[2];
         return rematerialised(t, x[0], [=, &t](Tape& part, Tensor y) {
           auto leaf = [&](Tensor p) { return part.leaf("input", p.shape, t.value(p), part.recording() ? t.add_gradient(p).data : nullptr, true); };
           return linear(part, gelu(part, linear(part, y, leaf(w), leaf(b)), false), leaf(w), {}, y);
         });
       }},
  };
}

// From the packed projection to the gated output, as in a block: qkv[B,L,3D] -> o[B,L,D]
inline OpCase attention_case(const std::string& function, double alpha, int B, int H, int Lq, int L, int d, bool qk_norm, bool gated) {
  const int D = H * d;
  const Input scale{{d}, 0.3, 1};
  const bool number = !AttentionFunctions::find(function)->number.empty();
  return {fmt::format("{} alpha {} L {} {} {}", function, alpha, L, qk_norm, gated), {{{B, Lq, D}}, {{B, L, 2 * D}}, scale, scale, {{B, Lq, D}}, {{H}, 0.5}}, [=](Tape& t, const std::vector<Tensor>& x) {
            HeadView q{x[0]}, k{x[1]};
            if (qk_norm) q = {headnorm(t, x[0], 0, H, x[2])}, k = {headnorm(t, x[1], 0, H, x[3])};
            Tensor o = attention(t, q, k, {x[1], D}, H, d, function, alpha, nullptr, {.number = number ? x[5] : Tensor{}});
            return gated ? gate(t, o, x[4]) : o;
          }};
}

// All that a function can learn, for each head or (shared) for all.
inline OpCase learned_case(const AttentionFunctionInfo& f, bool gamma, bool shared, int B, int H, int Lq, int L, int d) {
  std::vector<Input> inputs{{{B, Lq, H * d}}, {{B, L, 2 * H * d}}};
  auto add = [&](bool there, int n) { if (there) inputs.push_back({{n}, 0.3, 0.2}); return there ? int(inputs.size()) - 1 : -1; };
  const int n = shared ? 1 : H;
  const Learned<int> at{add(f.scaled_by_length && !gamma, n), add(f.scaled_by_length && gamma, n), add(f.shift_matters, n), add(f.scale_matters, n), add(!f.number.empty(), H)};
  return {fmt::format("{} learned {} {} L {}", f.name, gamma, shared, L), inputs, [=, name = f.name](Tape& t, const std::vector<Tensor>& x) {
            return attention(t, {x[0]}, {x[1]}, {x[1], H * d}, H, d, name, 1, nullptr, at.map<Tensor>([&](int i) { return i < 0 ? Tensor{} : x[i]; }));
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
    add(1, 2, 1, 1, 5, 3, false, false);                                                      // one query, as in the pooling head
    for (bool gamma : {false, true})
      for (bool shared : {false, true}) cases.push_back(learned_case(function, gamma, shared, 2, 2, 3, 7, 3));
  }
  return cases;
}
