// Device memory by exact size: a training step asks for the same sizes every time, so after the first step every request
// finds a block that was given back.
// defines: Pool
#pragma once
#include <map>
#include <utility>
#include <vector>
#include "engine/device.h"

class Pool {
 public:
  explicit Pool(Device& device) : device_(device) {}
  ~Pool() { for (auto& [bytes, blocks] : free_) for (void* block : blocks) device_.release(block); }
  Pool(const Pool&) = delete;

  template <class T> T* take(size_t n) {
    const size_t bytes = n * sizeof(T);
    auto& blocks = free_[bytes];
    if (blocks.empty()) { held_ += bytes; allocations_++; return static_cast<T*>(device_.allocate(bytes)); }
    void* block = blocks.back();
    blocks.pop_back();
    return static_cast<T*>(block);
  }
  template <class T> void give(T* block, size_t n) { free_[n * sizeof(T)].push_back(block); }

  size_t bytes_held() const { return held_; }                  // never shrinks: also the peak
  size_t allocations() const { return allocations_; }

 private:
  Device& device_;
  std::map<size_t, std::vector<void*>> free_;
  size_t held_ = 0, allocations_ = 0;
};
