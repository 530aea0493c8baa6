// What a probe is handed while attention computes: scores, weights and their gradients tile by tile, and what the
// products read and made.
// defines: AttentionTile, AttentionOperands, AttentionProbe
#pragma once
#include "engine/attention/heads.h"
#include "engine/device.h"

// One tile as a probe sees it: row-major [rows, L] in host memory, valid during the call. dA and dS are null in a
// forward pass. S is what φ sees: with a learned temperature or bias τ q·k/√d + b. dS is the gradient of q·k/√d.
struct AttentionTile {
  int image, head, first_row, rows, L;
  const real *S, *A, *dA = nullptr, *dS = nullptr;
};
// What a backward pass read and made, on the device.
struct AttentionOperands {
  AttentionShape n;
  HeadOperands q, k, v, d_o, dq, dk, dv;
};
struct AttentionProbe {
  virtual ~AttentionProbe() = default;
  // Called while the real computation passes, from several threads at once, never twice at once for the same image and
  // head. With recording on, it is called again with gradients in the backward pass.
  virtual void tile(const AttentionTile& tile) = 0;
  // Called once after the tiles of a backward pass. Differential attention's maps have half of their head's values
  // each; LASER's values are the exponentials that it weighs.
  virtual void operands(Device&, const AttentionOperands&) {}
};
