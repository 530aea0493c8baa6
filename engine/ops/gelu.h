// The two forms of GELU (Hendrycks & Gimpel 2016): value and slope.
// defines: GeluTanh, GeluErf
#pragma once
#include "engine/math.h"

// gelu(x) = x/2 (1 + tanh(√(2/π) (x + 0.044715 x³))), the form of jax.nn.gelu
struct GeluTanh {
  template <class T> HD static T value(T x) { return x / 2 * (1 + hyperbolic_tangent(inner(x))); }
  template <class T> HD static T slope(T x) {
    const T t = hyperbolic_tangent(inner(x));
    return (1 + t) / 2 + x / 2 * (1 - t * t) * T(0.7978845608028654) * (1 + T(3 * 0.044715) * x * x);
  }
  template <class T> HD static T inner(T x) { return T(0.7978845608028654) * (x + T(0.044715) * x * x * x); }
};

// gelu(x) = x/2 (1 + erf(x/√2)), the form of torch.nn.GELU and timm
struct GeluErf {
  template <class T> HD static T value(T x) { return x / 2 * (1 + error_function(x * T(0.7071067811865476))); }
  template <class T> HD static T slope(T x) {
    return (1 + error_function(x * T(0.7071067811865476))) / 2 + x * exponential(-x * x / 2) * T(0.3989422804014327);
  }
};
