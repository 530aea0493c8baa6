// How many values lie where: bins that are fixed before the first value comes, so that one pass suffices and counts of
// any parts add up exactly. A bin is an eighth of an octave of one sign: its edges are ±2^k (1 + m/8), m = 0 ... 7;
// smaller magnitudes than 2^-64 lie in the middle bin, larger ones than 2^32, infinities and NaN in the outer ones.
// defines: Histogram
#pragma once
#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstdint>

struct Histogram {
  static constexpr int lowest = -64, octaves = 96, side = 8 * octaves, bins = 2 * side + 1;
  std::array<uint64_t, bins> counts{};

  // The exponent of a float and the first three bits of its fraction are the number of its bin.
  static int bin_of(float x) {
    const uint32_t bits = std::bit_cast<uint32_t>(x);
    const int eighths = int((bits & 0x7FFFFFFF) >> 20) - (127 + lowest) * 8, k = eighths < -1     ? -1
                                                                                 : eighths < side ? eighths
                                                                                                  : side - 1;
    return side + (k + 1) * (1 - 2 * int(bits >> 31));
  }
  // Bin b reaches from edge(b) to edge(b + 1); both ends are finite.
  static double edge(int b) {
    const int k = b > side ? b - side - 1 : side - b;                    // eighths of octaves from 2^lowest
    return std::ldexp(1 + k % 8 / 8.0, lowest + k / 8) * (b > side ? 1 : -1);
  }
  uint64_t total() const {
    uint64_t n = 0;
    for (const uint64_t c : counts) n += c;
    return n;
  }
  void merge(const Histogram& other) { for (int b = 0; b < bins; b++) counts[b] += other.counts[b]; }
};
