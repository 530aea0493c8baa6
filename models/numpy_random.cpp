#include "models/numpy_random.h"
#include <array>
#include <bit>
#include <stddef.h>
#include <utility>

// A hash whose multiplier changes with every word.
class SeedHash {
 public:
  SeedHash(uint32_t start, uint32_t factor) : multiplier_(start), factor_(factor) {}
  uint32_t operator()(uint32_t word) {
    word ^= multiplier_;
    multiplier_ *= factor_;
    word *= multiplier_;
    return word ^ word >> 16;
  }

 private:
  uint32_t multiplier_, factor_;
};

// SeedSequence(seed).generate_state(4, uint64). NumPy hashes a 0 for each word that the seed lacks.
static std::array<uint64_t, 4> seed_sequence(uint64_t seed) {
  std::array<uint32_t, 4> pool{uint32_t(seed), uint32_t(seed >> 32), 0, 0};
  SeedHash in(0x43b0d7e5, 0x931e8875), out(0x8b51f9dd, 0x58f38ded);
  for (uint32_t& word : pool) word = in(word);
  for (int from = 0; from < 4; from++) {
    for (int to = 0; to < 4; to++) {
      if (from == to) continue;
      const uint32_t mixed = 0xca01f9dd * pool[to] - 0x4973f715 * in(pool[from]);
      pool[to] = mixed ^ mixed >> 16;
    }
  }
  std::array<uint64_t, 4> state{};
  for (int i = 0; i < 8; i++) state[i / 2] |= uint64_t(out(pool[i % 4])) << 32 * (i % 2);
  return state;
}

NumpyRandom::NumpyRandom(uint64_t seed) {
  const auto [start_high, start_low, stream_high, stream_low] = seed_sequence(seed);
  increment_ = (uint128(stream_high) << 64 | stream_low) << 1 | 1;
  step();
  state_ += uint128(start_high) << 64 | start_low;
  step();
}

void NumpyRandom::step() {
  constexpr uint128 multiplier = uint128(0x2360ed051fc65da4) << 64 | 0x4385df649fccf645;
  state_ = state_ * multiplier + increment_;
}

uint64_t NumpyRandom::bits() {
  step();
  return std::rotr(uint64_t(state_ >> 64) ^ uint64_t(state_), int(state_ >> 122));
}

// 32 bits: the lower half of a word, and the upper one the next time.
uint32_t NumpyRandom::half() {
  has_upper_ = !has_upper_;
  if (!has_upper_) return upper_;
  const uint64_t word = bits();
  upper_ = uint32_t(word >> 32);
  return uint32_t(word);
}

// [0, max]: as many bits as max has, drawn until they are not above it.
uint32_t NumpyRandom::up_to(uint32_t max) {
  const uint32_t mask = uint32_t((uint64_t(1) << std::bit_width(max)) - 1);
  uint32_t value;
  do value = half() & mask; while (value > max);
  return value;
}

std::vector<int64_t> NumpyRandom::permutation(std::vector<int64_t> values) {
  for (size_t i = values.size(); i-- > 1;) std::swap(values[i], values[up_to(uint32_t(i))]);
  return values;
}
