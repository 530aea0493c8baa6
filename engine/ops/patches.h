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
  // calls f(position in the row's patches, position in images) for every value of a row of patches: one line of the
  // image after the other
  template <class Team, class F> HD void walk(Team team, size_t row, F f) const {
    const size_t image = row / rows(), top = row % rows() * P;
    for (int y = 0; y < P; y++)
      for (int column = 0; column < columns(); column++) {
        const size_t from = ((image * height + top + y) * width + column * P) * 3;
        const int red = (column * 3 * P + y) * P, green = red + P * P, blue = green + P * P;
        team.each(
            P, [=](int x) { f(red + x, from + 3 * x), f(green + x, from + 3 * x + 1), f(blue + x, from + 3 * x + 2); });
      }
  }
  HD size_t size() const { return size_t(columns()) * 3 * P * P; }          // of a row of patches
};
struct PatchesForward {
  Output y; const real* images; PatchGrid grid;
  template <class Team> HD void operator()(Team team, size_t row) const {
    const Output patches = y + row * grid.size();
    grid.walk(team, row, [patches, from_images = images](int to, size_t from) { patches.set(to, from_images[from]); });
  }
};
struct PatchesBackward {
  real* dimages; const real* dy; PatchGrid grid;
  template <class Team> HD void operator()(Team team, size_t row) const {
    const real* patches = dy + row * grid.size();
    grid.walk(team, row, [patches, to_images = dimages](int to, size_t from) { to_images[from] += patches[to]; });
  }
};

inline Tensor patches(Tape& t, Tensor images, int P, Kept kept = Kept::full) {
  if (images.shape.rank() != 4 || images.shape[3] != 3 || images.shape[1] < P || images.shape[2] < P)
    fail(ExitCode::failed, "patches: images are {}, expected [B, H, W, 3] with H, W of at least one {} x {} patch",
         images.shape.text(), P, P);
  const PatchGrid grid{images.shape[1], images.shape[2], P};
  const size_t n = size_t(images.shape[0]) * grid.rows();
  Tensor y = t.make("patches", {images.shape[0], grid.rows() * grid.columns(), 3 * P * P}, {images}, kept);
  t.device.rows(n, PatchesForward{t.output(y), t.value(images), grid});
  t.on_backward(y, [=, &t] { t.device.rows(n, PatchesBackward{t.add_into_gradient(images), t.gradient(y), grid}); });
  return y;
}
