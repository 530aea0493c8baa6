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

// e^x to 1.4 ulp; 0 below -103.9, infinity above 88.73, NaN for NaN. x = n log 2 + r, |r| <= log(2) / 2.
HD inline float exponential(float x) {
  const float clamped = x < -104 ? -104 : x > 89 ? 89 : x;             // a NaN passes both comparisons
  const float shifted = clamped * 1.44269504f + 0x1.8p23f;             // the low bits of `shifted` hold n, rounded
  const float n = shifted - 0x1.8p23f;
  const float r = (clamped - n * 0.693145752f) - n * 1.42860677e-6f;   // log 2 in two parts: the first product is exact
  const float p = 1 + r + r * r * (0.5f + r * (0.166665767f + r * (0.0416665542f + r * (0.00836323288f + r * 0.00139262508f))));
  // 2^n in two factors, so that neither leaves the range of normal numbers
  const int32_t exponent = std::bit_cast<int32_t>(shifted) - 0x4B400000, half = exponent >> 1;
  const float scale = std::bit_cast<float>((half + 127) << 23), rest = std::bit_cast<float>((exponent - half + 127) << 23);
  return p * scale * rest;
}
HD inline double exponential(double x) { return std::exp(x); }

// tanh(x) to 1.4 ulp: an odd polynomial near 0, 1 - 2 / (e^2|x| + 1) beyond
HD inline float hyperbolic_tangent(float x) {
  const float s = x * x, a = std::fabs(x);
  const float small = x + x * s * (-0.333332839f + s * (0.133314913f + s * (-0.0537434982f + s * (0.0206505876f + s * -0.00571704537f))));
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

// 1 / (1 + e^-x) to 3 ulp, without overflow on either side
template <class T> HD inline T logistic(T x) {
  const T e = exponential(-std::fabs(x)), p = 1 / (1 + e);
  return x < 0 ? e * p : p;
}

// log(1 + e^x) to 2.6 ulp
template <class T> HD inline T softplus(T x) { return (x > 0 ? x : T(0)) + log1p_unit(exponential(-std::fabs(x))); }
