// Smooth functions by value and slope: the logistic and tanh, and gates of their own input: the two forms of GELU
// (Hendrycks & Gimpel 2016) and SiLU. To give the MLP another activation, write its struct and append it to
// MlpActivations: flag, help, check, both devices and the gradient checks take it from there.
// defines: Logistic, Tanh, GeluTanh, GeluErf, Swish, MlpActivations, GateFunctions
#pragma once
#include "engine/math.h"
#include "engine/named_list.h"

struct Logistic {
  static constexpr std::string_view name = "sigmoid";
  template <class T> HD static T value(T x) { return logistic(x); }
  template <class T> HD static T slope(T x) { const T s = logistic(x); return s * (1 - s); }
};

struct Tanh {
  template <class T> HD static T value(T x) { return hyperbolic_tangent(x); }
  template <class T> HD static T slope(T x) { const T t = hyperbolic_tangent(x); return 1 - t * t; }
};

// gelu(x) = x/2 (1 + tanh u) = x σ(2 u), u = √(2/π) (x + 0.044715 x³): the form of jax.nn.gelu. σ needs no second
// branch near 0.
struct GeluTanh {
  static constexpr std::string_view name = "tanh", source = "BigVision";
  template <class T> HD static T value(T x) { return x * logistic(twice_u(x)); }
  template <class T> HD static T slope(T x) {
    const T z = twice_u(x), s = logistic(z);
    return s + x * s * (1 - s) * T(2 * 0.7978845608028654) * (1 + T(3 * 0.044715) * x * x);
  }
  template <class T> HD static T twice_u(T x) { return T(2 * 0.7978845608028654) * x * (1 + T(0.044715) * x * x); }
};

// gelu(x) = x/2 (1 + erf(x/√2)), the form of torch.nn.GELU and timm
struct GeluErf {
  static constexpr std::string_view name = "erf", source = "timm";
  template <class T> HD static T value(T x) { return x / 2 * (1 + error_function(x * T(0.7071067811865476))); }
  template <class T> HD static T slope(T x) {
    return (1 + error_function(x * T(0.7071067811865476))) / 2 + x * exponential(-x * x / 2) * T(0.3989422804014327);
  }
};

// silu(x) = x σ(x) (Elfwing et al. 2017, 1702.03118)
struct Swish {
  static constexpr std::string_view name = "silu";
  template <class T> HD static T value(T x) { return x * logistic(x); }
  template <class T> HD static T slope(T x) { const T s = logistic(x); return s * (1 + x * (1 - s)); }
};

using MlpActivations = NamedList<GeluTanh, GeluErf>;
using GateFunctions = NamedList<Swish, Logistic>;
