// Where the heads of q, k, v, of the output and of their gradients lie in memory.
// defines: HeadRows, HeadOperands, HeadOutputs, AttentionShape
#pragma once
#include "engine/device.h"
#include "engine/ops/elementwise.h"

// q, k, v, o or their gradients: element (b, i, h, c) lies at data + (b L + i) width + h d + c
template <class T> struct HeadRows {
  T* data; int L, width;
  HD T* at(size_t b, int i, int h, int d) const { return data + (b * L + i) * size_t(width) + h * d; }
  HD size_t step() const { return size_t(L) * width; }                   // from image to image
};

// The same of what products alone read: reals, or rounded values.
struct HeadOperands {
  Operand data; int L, width;
  Operand at(size_t b, int i, int h, int d) const {
    Operand x = data;
    x += (b * L + i) * size_t(width) + h * d;
    return x;
  }
  size_t step() const { return size_t(L) * width; }
  HeadRows<const real> full() const { return {data.full, L, width}; }      // null where rounded
};

// Where attention writes: reals or, where it is fused, values rounded for products; the other is null.
struct HeadOutputs : HeadRows<real> {
  bf16* rounded = nullptr;
  HeadOutputs(HeadRows<real> full) : HeadRows<real>(full) {}
  HeadOutputs(real* full, int L, int width) : HeadRows<real>{full, L, width} {}
  HeadOutputs(const Output& to, int L, int width) : HeadRows<real>{to.full, L, width}, rounded(to.rounded) {}
  HeadOutputs from_column(int column) const {
    return {rounded ? Output{nullptr, rounded + column} : Output{data + column}, L, width};
  }
};

struct AttentionShape {
  int B, H, Lq, L, d, dv = d;                                              // dv: channels of a head's values
};
