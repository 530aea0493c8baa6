// A tensor is a shape and a node of a tape: row-major, contiguous, at most four extents. Copying one copies 32 bytes.
// defines: real, Shape, Tensor
#pragma once
#include <array>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <string>
#include "engine/error.h"

#ifndef REAL
#define REAL float                     // the gradient checks compile the same sources with -DREAL=double
#endif
using real = REAL;

class Shape {
 public:
  Shape() = default;
  Shape(std::initializer_list<int> extents) {
    if (extents.size() > extent_.size())
      fail(ExitCode::failed, "shape: {} extents, at most {}", extents.size(), extent_.size());
    for (int n : extents) extent_[rank_++] = n;
  }
  int rank() const { return rank_; }
  int operator[](int i) const { return extent_[i < 0 ? rank_ + i : i]; }      // from the end when negative
  size_t size() const { size_t n = 1; for (int i = 0; i < rank_; i++) n *= extent_[i]; return n; }
  int last() const { return (*this)[-1]; }
  size_t rows() const { return size() / last(); }                             // all extents but the last
  Shape with_last(int n) const { Shape s = *this; s.extent_[rank_ - 1] = n; return s; }
  bool operator==(const Shape&) const = default;
  std::string text() const {
    std::string s = "[";
    for (int i = 0; i < rank_; i++) s += (i ? ", " : "") + std::to_string(extent_[i]);
    return s + "]";
  }

 private:
  std::array<int, 4> extent_{};
  int rank_ = 0;
};

struct Tensor {
  Shape shape;
  int node = -1;
  uint64_t tape = 0;                   // which, and since which clear()
  explicit operator bool() const { return node >= 0; }
};
