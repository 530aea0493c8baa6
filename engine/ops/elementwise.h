// Bodies over plain arrays.
// defines: previous, Divisor, Output, output_to, widened, put, KeepNothing, Fill, Noise, Accumulate, Round, Widen
#pragma once
#include <bit>
#include "engine/bf16.h"
#include "engine/error.h"
#include "engine/math.h"
#include "engine/tensor.h"

// Every backward body adds to its gradient where `add`, else writes it and does not read. (int: a bool field keeps g++
// from making SIMD code.)
HD inline real previous(int add, const real& gradient) { return add ? gradient : real(0); }

// n / divisor for n < 2^31 by one multiplication and a shift (Granlund & Montgomery 1994, fig. 4.1): a GPU divides in
// some 50 instructions, and one that is done for every element keeps memory waiting.
struct Divisor {
  uint32_t divisor, factor;
  int shift;
  // for numbers up to `most`
  Divisor(int divisor, size_t most) : divisor(uint32_t(divisor)), shift(31 + std::bit_width(uint32_t(divisor) - 1)) {
    if (divisor < 1 || most >= size_t(1) << 31)
      fail(ExitCode::failed, "{} rows of {}: expected fewer than 2^31 rows, and at least 1; try a smaller --batch",
           most, divisor);
    factor = uint32_t(((uint64_t(1) << shift) + divisor - 1) / divisor);
  }
  HD size_t divide(size_t n) const { return size_t(uint64_t(uint32_t(n)) * factor >> shift); }
};

// What a body writes: reals or, for products, values rounded to bfloat16; the other is null.
struct Output {
  real* full;
  bf16* rounded = nullptr;
  HD Output operator+(size_t n) const { return rounded ? Output{nullptr, rounded + n} : Output{full + n}; }
  HD void set(size_t i, real x) const { if (rounded) rounded[i] = to_bf16(float(x)); else full[i] = x; }
};
inline Output output_to(real* full) { return {full}; }
inline Output output_to(bf16* rounded) { return {nullptr, rounded}; }

// Values whose type says how they are kept. put returns what a reader will find.
HD inline real widened(real x) { return x; }
HD inline real widened(bf16 x) { return from_bf16(x); }
HD inline real put(real& to, real x) { return to = x; }
HD inline real put(bf16& to, real x) { return from_bf16(to = to_bf16(float(x))); }

struct KeepNothing { HD void operator()(size_t /*row*/, int /*column*/, real /*value*/) const {} };

struct Fill {
  real *y, value;
  HD void operator()(size_t i) const { y[i] = value; }
};

// Numbers in [-1, 1) that differ in every bit, for measurements: constant values draw less power and run faster than
// real ones.
struct Noise {
  real* y;
  HD void operator()(size_t i) const {                           // the finaliser of MurmurHash3
    uint32_t h = uint32_t(i) + 0x9E3779B9u;
    h = (h ^ h >> 16) * 0x85EBCA6Bu;
    h = (h ^ h >> 13) * 0xC2B2AE35u;
    y[i] = real(int32_t(h ^ h >> 16)) * real(0x1p-31);
  }
};

struct Accumulate {
  real* y; const real* x; int add;
  HD void operator()(size_t i) const { y[i] = previous(add, y[i]) + x[i]; }
};

struct Round {
  bf16* y; const real* x;
  HD void operator()(size_t i) const { y[i] = to_bf16(float(x[i])); }
};

struct Widen {
  real* y; const bf16* x;
  HD void operator()(size_t i) const { y[i] = from_bf16(x[i]); }
};
