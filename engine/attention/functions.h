// The attention functions φ: one struct each. A row of scores s[L] becomes a row of weights a[L]; backward turns d a
// into d s. To add one, write its struct in engine/attention/functions/ and append it to AttentionFunctions: the
// command line, the help, both devices and the gradient checks take it from there; the tests then ask for its row in
// README.md beside it and in tests/double/variants.txt.
// defines: AttentionFunctionList, PaperFunctions, AttentionFunctions
#pragma once
#include <algorithm>
#include <optional>
#include <string>
#include <vector>
#include "engine/attention/functions/normalised.h"
#include "engine/attention/functions/softmax.h"
#include "engine/attention/functions/threshold.h"
#include "engine/attention/info.h"
#include "engine/error.h"
#include "engine/named_list.h"
#include "engine/text.h"

template <class... F> struct AttentionFunctionList {
  using Named = NamedList<F...>;
  // calls f(function) with the one called `name`, made for α and L; false if there is none
  template <class Call> static bool visit(std::string_view name, double alpha, int L, Call call) {
    return Named::visit(name, [&]<class G>() { call(G(alpha, L)); });
  }
  // the same, but a usage error if there is none
  template <class Call> static void visit_known(std::string_view name, double alpha, int L, Call call) {
    if (!visit(name, alpha, L, call))
      fail(ExitCode::usage, "attention function '{}' is unknown, expected one of {}{}", name, names(),
           did_you_mean(name, names()));
  }
  template <class G> static AttentionFunctionInfo info() {
    return {.name = std::string(G::name),
            .formula = (G::scaled_by_length ? "L^-alpha " : "") + std::string(G::formula),
            .source = std::string(G::source),
            .scaled_by_length = G::scaled_by_length,
            .shift_matters = G::shift_matters,
            .scale_matters = G::scale_matters,
            .homogeneous = G::homogeneous,
            .always_positive = G::always_positive,
            .number = std::string(G::number)};
  }
  static std::vector<AttentionFunctionInfo> all() { return {info<F>()...}; }
  static std::optional<AttentionFunctionInfo> find(std::string_view name) {
    std::optional<AttentionFunctionInfo> found;
    Named::visit(name, [&]<class G>() { found = info<G>(); });
    return found;
  }
  static std::string names() {
    std::string list;
    ((list += (list.empty() ? "" : ", ") + std::string(F::name)), ...);
    return list;
  }
  template <class... More> using And = AttentionFunctionList<F..., More...>;
};

// Those of the paper (2309.08586): what its figures compare, and what the fused CUDA kernels are built for.
using PaperFunctions = AttentionFunctionList<Softmax, Relu, SquaredRelu, Gelu, Softplus, Identity, Relu6, Sigmoid>;
using AttentionFunctions =
    PaperFunctions::And<Silu, Mish, Elu, EluPlusOne, LeakyRelu, TanhFunction, Exponential, Laplace, Square, Cube,
                        Taylor, Stable, SigmoidBias, ReluFormer, ReluNormalised, EluNormalised, SigmoidNormalised,
                        StableMax, TaylorSoftmax, Softpick, StandardScores, SoftmaxOne, SoftmaxSink, ScalableSoftmax,
                        Sparsemax, Entmax15, Entmax125>;
