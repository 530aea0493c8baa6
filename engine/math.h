// Scalar functions that vectorise: no branches, no calls, no tables, so a loop over them becomes SIMD code. The float
// forms are our own; double (the gradient checks) takes the standard library. Errors: largest seen over every float of
// the range that matters (tests/math.cpp).
// defines: HD, exponential, hyperbolic_tangent, error_function, log1p_unit, logistic, softplus
#pragma once
#include <bit>
#include <cmath>
#include <cstdint>

#ifdef __CUDACC__
#define HD __host__ __device__
#else
#define HD
#endif

// e^x to 1.2 ulp; 0 below -86.9 (e^x < 1.9e-38), infinity above 88.73, NaN for NaN. x = n log 2 + r, |r| <= log(2) / 2.
HD inline float exponential(float x) {
  constexpr float shift = 0x1.8p23f + 126;
  const float limited = 89 < x ? 89 : x;                               // a NaN passes
  const float shifted = limited * 1.44269504f + shift;  // its low bits hold n + 126, rounded: the exponent of 2^(n-1)
  const float n = shifted - shift;
  const float r = (limited - n * 0.693145752f) - n * 1.42860677e-6f;   // log 2 in two parts: the first product is exact
  const float twice =
      2 + r * (2 + r * (1 + r * (0.333331534f + r * (0.0833331084f + r * (0.0167264658f + r * 0.00278525016f)))));
  const float scale = std::bit_cast<float>(std::bit_cast<uint32_t>(shifted) << 23);
  return x < -86.9f ? 0 : twice * scale;
}
HD inline double exponential(double x) { return std::exp(x); }

// tanh(x) to 1.4 ulp: an odd polynomial near 0, 1 - 2 / (e^2|x| + 1) beyond
HD inline float hyperbolic_tangent(float x) {
  const float s = x * x, a = std::fabs(x);
  const float small =
      x +
      x * s * (-0.333332839f + s * (0.133314913f + s * (-0.0537434982f + s * (0.0206505876f + s * -0.00571704537f))));
  const float large = std::copysign(1 - 2 / (exponential(2 * (a > 10 ? 10 : a)) + 1), x);
  return a < 0.625f ? small : large;
}
HD inline double hyperbolic_tangent(double x) { return std::tanh(x); }

// erf(x) to 1.2 ulp: an odd polynomial near 0, 1 - e^(-x - x p(x)) beyond
HD inline float error_function(float x) {
  const float s = x * x, a = std::fabs(x), t = a > 4 ? 4 : a;
  const float small = x + x * (0.128379167f + s * (-0.376126354f + s * (0.11283711f + s * (-0.0268599994f +
                      s * (0.00520212996f + s * (-0.000815208694f + s * 8.40017270e-05f))))));
  const float p = 0.128544899f + t * (0.635656529f + t * (0.105202901f + t * (-0.0226119976f + t * (0.00289229302f +
                  t * (-3.60618574e-05f + t * (-4.82028123e-05f + t * 5.15092898e-06f))))));
  const float large = std::copysign(1 - exponential(-t - t * p), x);
  return a < 0.92f ? small : large;
}
HD inline double error_function(double x) { return std::erf(x); }

// log(1 + u) for 0 <= u <= 1, to 1.4 ulp: 2 atanh(s), s = u / (2 + u), as an odd polynomial with 2 s = u - s u
HD inline float log1p_unit(float u) {
  const float s = u / (2 + u), z = s * s;
  return u - s * (u - z * (0.666664131f + z * (0.40021699f + z * (0.279991411f + z * 0.280244586f))));
}
HD inline double log1p_unit(double u) { return std::log1p(u); }

// 1 / (1 + e^-x) to 2.6 ulp; 0 where e^-x is infinite
template <class T> HD inline T logistic(T x) { return 1 / (1 + exponential(-x)); }

// log(1 + e^x) to 2.6 ulp; 0 where e^x is
template <class T> HD inline T softplus(T x) { return (x > 0 ? x : T(0)) + log1p_unit(exponential(-std::fabs(x))); }
