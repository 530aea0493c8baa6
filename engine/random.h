// Counter-based random numbers: Philox4x32-10 (Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3").
// A number is a pure function of (seed, stream, index), so workers, threads and a resumed run need no shared state.
// defines: philox, Random
#pragma once
#include <array>
#include <cmath>
#include <cstdint>

// One block: four 32-bit words from a 128-bit counter and a 64-bit key. Test vectors: Random123, kat_vectors.
inline std::array<uint32_t, 4> philox(std::array<uint32_t, 4> c, std::array<uint32_t, 2> key) {
  for (int round = 0; round < 10; round++) {
    const uint64_t a = uint64_t(0xD2511F53u) * c[0], b = uint64_t(0xCD9E8D57u) * c[2];
    c = {uint32_t(b >> 32) ^ c[1] ^ key[0], uint32_t(b), uint32_t(a >> 32) ^ c[3] ^ key[1], uint32_t(a)};
    key = {key[0] + 0x9E3779B9u, key[1] + 0xBB67AE85u};
  }
  return c;
}

// A sequence of numbers named by (seed, purpose, item): the item is a parameter, an epoch, a sample ...
class Random {
 public:
  Random(uint64_t seed, uint32_t purpose, uint64_t item)
      : key_{uint32_t(seed), uint32_t(seed >> 32)}, counter_{0, purpose, uint32_t(item), uint32_t(item >> 32)} {}

  uint32_t bits() {
    if (used_ == 4) { block_ = philox(counter_, key_); counter_[0]++; used_ = 0; }
    return block_[used_++];
  }
  // [0, 1), 24 bits: exact in float and in double
  double uniform() { return (bits() >> 8) * 0x1p-24; }
  double uniform(double low, double high) { return low + (high - low) * uniform(); }
  // [0, n) without bias: multiply-shift with rejection (Lemire 2019); n > 0
  uint32_t below(uint32_t n) {
    uint64_t product = uint64_t(bits()) * n;
    if (uint32_t(product) < n)
      for (const uint32_t threshold = -n % n; uint32_t(product) < threshold;) product = uint64_t(bits()) * n;
    return uint32_t(product >> 32);
  }
  // N(0, 1) by Box and Muller; two uniforms a number
  double normal() {
    const double radius = std::sqrt(-2 * std::log(1 - uniform()));
    return radius * std::cos(6.283185307179586 * uniform());
  }
  // N(0, 1) restricted to [-2, 2], by rejection
  double truncated_normal() {
    double x;
    do x = normal(); while (std::abs(x) > 2);
    return x;
  }

 private:
  std::array<uint32_t, 2> key_;
  std::array<uint32_t, 4> counter_, block_{};
  int used_ = 4;
};

// The purposes in use, so that no two share a sequence.
namespace purpose {
enum : uint32_t {
  initialisation = 1,
  order = 2,
  augmentation = 3,
  drawing = 4,
  synthetic = 5,
  mixup = 6,
  features = 7
};
}
