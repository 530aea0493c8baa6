// What a probe is handed while attention computes: scores, weights and their gradients tile by tile, and what the products read and made.
// defines: HeadRows, HeadOperands, AttentionShape, AttentionTile, AttentionOperands, AttentionProbe
#pragma once
#include "engine/device.h"

// q, k, v, o or their gradients: element (b, i, h, c) lies at data + (b L + i) width + h d + c
template <class T> struct HeadRows {
  T* data; int L, width;
  HD T* at(size_t b, int i, int h, int d) const { return data + (b * L + i) * size_t(width) + h * d; }
  HD size_t step() const { return size_t(L) * width; }                   // from image to image
};

// The same of what products alone read: reals, or rounded values.
struct HeadOperands {
  Operand data; int L, width;
  Operand at(size_t b, int i, int h, int d) const { Operand x = data; x += (b * L + i) * size_t(width) + h * d; return x; }
  size_t step() const { return size_t(L) * width; }
  HeadRows<const real> full() const { return {data.full, L, width}; }      // null where rounded
};

struct AttentionShape {
  int B, H, Lq, L, d, dv = d;                                              // dv: channels of a head's values
};

// One tile as a probe sees it: row-major [rows, L] in host memory, valid during the call. dA and dS are null in a forward pass.
// S is what φ sees: with a learned temperature or bias τ q·k/√d + b. dS is the gradient of q·k/√d.
struct AttentionTile {
  int image, head, first_row, rows, L;
  const real *S, *A, *dA, *dS;
};
// What a backward pass read and made, on the device.
struct AttentionOperands {
  AttentionShape n;
  HeadOperands q, k, v, d_o, dq, dk, dv;
};
struct AttentionProbe {
  virtual ~AttentionProbe() = default;
  // Called while the real computation passes, from several threads at once, never twice at once for the same image and head.
  // With recording on, it is called again with gradients in the backward pass.
  virtual void tile(const AttentionTile& tile) = 0;
  // Called once after the tiles of a backward pass. Differential attention's maps have half of their head's values each; LASER's values are
  // the exponentials that it weighs.
  virtual void operands(Device&, const AttentionOperands&) {}
};
