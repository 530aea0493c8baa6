// images[B,H,W,3] -> the pixels of each patch [B, H/P · W/P, 3 P P], patches row by row, pixels in the order of timm's
// patch_embed.proj.weight[D,3,P,P]. With `linear` behind it: BigVision's strided convolution without padding.
// defines: patches
#pragma once
#include "engine/error.h"
#include "engine/ops/elementwise.h"
#include "engine/tape.h"

struct PatchGrid {
  int height, width, P;
  HD int rows() const { return height / P; }
  HD int columns() const { return width / P; }
  // calls f(position in the patch, position in images) for every value of a patch
  template <class Team, class F> HD void walk(Team team, size_t patch, F f) const {
    const int per_image = rows() * columns();
    const size_t image = patch / per_image;
    const int y0 = int(patch % per_image) / columns() * P, x0 = int(patch % per_image) % columns() * P;
    for (int channel = 0; channel < 3; channel++)
      for (int y = 0; y < P; y++) {
        const size_t from = ((image * height + y0 + y) * width + x0) * 3 + channel;
        const int to = (channel * P + y) * P;
        team.each(P, [&](int x) { f(to + x, from + 3 * x); });
      }
  }
};
struct PatchesForward {
  Output y; const real* images; PatchGrid grid;
  template <class Team> HD void operator()(Team team, size_t patch) const {
    const size_t row = patch * 3 * grid.P * grid.P;
    grid.walk(team, patch, [&](int to, size_t from) { y.set(row + to, images[from]); });
  }
};
struct PatchesBackward {
  real* dimages; const real* dy; PatchGrid grid;
  template <class Team> HD void operator()(Team team, size_t patch) const {
    const real* row = dy + patch * 3 * grid.P * grid.P;
    grid.walk(team, patch, [&](int to, size_t from) { dimages[from] += row[to]; });
  }
};

inline Tensor patches(Tape& t, Tensor images, int P, Kept kept = Kept::full) {
  if (images.shape.rank() != 4 || images.shape[3] != 3 || images.shape[1] < P || images.shape[2] < P)
    fail(ExitCode::failed, "patches: images are {}, expected [B, H, W, 3] with H, W of at least one {} x {} patch", images.shape.text(), P, P);
  const PatchGrid grid{images.shape[1], images.shape[2], P};
  const size_t n = size_t(images.shape[0]) * grid.rows() * grid.columns();
  Tensor y = t.make("patches", {images.shape[0], grid.rows() * grid.columns(), 3 * P * P}, {images}, kept);
  t.device.rows(n, PatchesForward{t.output(y), t.value(images), grid});
  t.on_backward(y, [=, &t] { t.device.rows(n, PatchesBackward{t.add_into_gradient(images), t.gradient(y), grid}); });
  return y;
}
