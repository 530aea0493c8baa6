// RandAugment (Cubuk et al. 2019) as BigVision defines it: a few random operations in sequence, in the
// float32 arithmetic of TensorFlow's own kernels (compile with -ffp-contract=off: a fused multiply-add
// rounds differently, as oneDNN's do in Sharpness, by 1).
// defines: RandAugment, randaugment, parse_randaug, to_text, Operation, operations
#pragma once
#include <array>
#include <string>

#include "data/image.h"
#include "engine/random.h"

struct RandAugment {
  int ops = 0;              // how many operations are applied; 0: off
  int magnitude = 0;        // of all of them; 0 is not off: it inverts, darkens and flattens
  bool repaired = false;    // without the upstream quirks that `operations` lists
  bool operator==(const RandAugment&) const = default;
};

// Each operation is picked uniformly, repeats allowed, and always applied. What has no source pixel becomes 128.
void randaugment(Image& image, const RandAugment& options, Random& random);

RandAugment parse_randaug(const std::string& text);    // of --randaug: "2,15", "2,15,repaired", "0" or "none"
std::string to_text(const RandAugment& options);       // what parse_randaug reads

struct Operation {
  const char* name;
  double (*level)(double m);    // of m = magnitude / 10; operations without one ignore it
  bool either_sign;             // the level is negated every second time
  void (*apply)(Image& image, double level, Random& random);
};

// All operations in upstream's order. The quirks of the original, each of which `repaired` puts right:
//   Posterize keeps the upper int(4m) bits, but the shift is a byte cut to 7: 1 bit, not 0, at M = 0 and above M = 22;
//   Solarize inverts from int(256m) on, but that is a byte and wraps: all is inverted at M = 10 and 20, half at 15;
//   Contrast moves away from the mean gray, but takes the count of pixels / 256 (196 at 224 x 224) for it.
const std::array<Operation, 16>& operations(bool repaired);
