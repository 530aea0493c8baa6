// numpy.random.default_rng(seed), as far as it is needed to draw the sets that published results were measured on.
// defines: NumpyRandom
#pragma once
#include <cstdint>
#include <vector>

// PCG64 (PCG XSL RR 128/64, O'Neill 2014) seeded by NumPy's SeedSequence. Everything else draws from Random.
class NumpyRandom {
 public:
  explicit NumpyRandom(uint64_t seed);
  uint64_t bits();                                                 // bit_generator.random_raw()
  std::vector<int64_t> permutation(std::vector<int64_t> values);   // of fewer than 2^32 values

 private:
  using uint128 = unsigned __int128;
  void step();
  uint32_t half();
  uint32_t up_to(uint32_t max);

  uint128 state_ = 0, increment_;
  uint32_t upper_ = 0;                                             // the half not yet used
  bool has_upper_ = false;
};
