// The order of samples, as a pure function of (seed, epoch, position): a resumed run or another machine needs no state.
// defines: Permutation, Order
#pragma once
#include <algorithm>
#include <bit>
#include <cstdint>
#include <utility>

#include "engine/random.h"

// A random bijection on [0, n) without memory: a Feistel network on the smallest even number of bits that holds n;
// a result outside [0, n) is mapped again until it is inside (Black and Rogaway 2002, "cycle walking").
class Permutation {
 public:
  Permutation(uint64_t n, uint64_t seed, uint64_t epoch)
      : n_(n), half_(std::max(min_half, (int(std::bit_width(n - 1)) + 1) / 2)),
        key_{uint32_t(seed), uint32_t(seed >> 32)}, epoch_{uint32_t(epoch), uint32_t(epoch >> 32)} {}

  uint64_t operator()(uint64_t position) const {
    do position = encrypt(position); while (position >= n_);
    return position;
  }

 private:
  static constexpr int min_half = 4, rounds = 8;    // fewer bits or rounds make some orders of a small set unlikely

  uint64_t encrypt(uint64_t x) const {
    const uint64_t mask = (uint64_t(1) << half_) - 1;
    uint64_t left = x >> half_, right = x & mask;
    for (uint32_t round = 0; round < rounds; round++) {
      const uint64_t noise = philox({uint32_t(right), purpose::order | round << 16, epoch_[0], epoch_[1]}, key_)[0];
      left = std::exchange(right, left ^ (noise & mask));
    }
    return left << half_ | right;
  }

  uint64_t n_;
  int half_;
  std::array<uint32_t, 2> key_, epoch_;
};

// Training as one endless sequence of samples: epoch after epoch, each in its own order.
struct Order {
  struct Place {
    uint64_t epoch, sample;
  };
  uint64_t n, seed;

  Place operator()(uint64_t position) const {
    const uint64_t epoch = position / n;
    return {epoch, Permutation(n, seed, epoch)(position % n)};
  }
};
