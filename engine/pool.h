// Device memory for what comes and goes with every step. It is taken from the device in slabs and cut to size: the
// smallest free piece that fits, neighbours joined again when they are given back. A step asks for the same sizes in
// the same order every time, so after the first the device is asked for nothing. Small blocks, which live long, are
// kept apart, or they would break up the room that one large block leaves to the next. Under AddressSanitizer what was
// given back is poisoned.
// defines: Arena, Pool
#pragma once
#include <algorithm>
#include <cstring>
#include <map>
#include <set>
#include <utility>
#include "engine/device.h"
#include "engine/error.h"

// There in a program that has the sanitizer.
extern "C" {
[[gnu::weak]] void __asan_poison_memory_region(const volatile void* memory, size_t bytes);
[[gnu::weak]] void __asan_unpoison_memory_region(const volatile void* memory, size_t bytes);
}

class Arena {
 public:
  inline static bool fills_with_nan = false;                   // in tests: what nobody wrote shows
  explicit Arena(Device& device) : device_(device) {}
  ~Arena() {
    for (auto& [memory, slab] : slabs_) {
      unpoison(memory, slab.size);
      device_.release(memory);
    }
  }
  Arena(const Arena&) = delete;

  char* take(size_t bytes) {
    auto fits = by_size_.lower_bound({bytes, nullptr});
    if (fits == by_size_.end()) fits = add_slab(bytes, std::max(bytes, device_.slab(used())));
    const auto [size, block] = *fits;
    remove_free(block, size);
    if (size > bytes) add_free(block + bytes, size - bytes);
    auto& [memory, slab] = *std::prev(slabs_.upper_bound(block));
    slab.used = std::max(slab.used, size_t(block + bytes - memory));
    unpoison(block, bytes);
    if (fills_with_nan && device_.is_host()) std::memset(block, 0xFF, bytes);
    return block;
  }
  void give(char* block, size_t bytes) {
    poison(block, bytes);
    const auto next = free_.upper_bound(block);
    if (next != free_.begin() && !slabs_.contains(block)) {
      if (const auto [before, size] = *std::prev(next); before + size == block) {
        remove_free(before, size);
        block = before, bytes += size;
      }
    }
    if (next != free_.end() && next->first == block + bytes && !slabs_.contains(next->first)) {
      const size_t size = next->second;
      remove_free(block + bytes, size);
      bytes += size;
    }
    add_free(block, bytes);
  }
  size_t used() const {                                        // bytes that were ever in use
    size_t bytes = 0;
    for (const auto& [memory, slab] : slabs_) bytes += slab.used;
    return bytes;
  }
  size_t allocations() const { return slabs_.size(); }

 private:
  struct Slab { size_t size, used; };
  void poison(const char* memory, size_t bytes) const {
    if (&__asan_poison_memory_region && device_.is_host()) __asan_poison_memory_region(memory, bytes);
  }
  void unpoison(const char* memory, size_t bytes) const {
    if (&__asan_unpoison_memory_region && device_.is_host()) __asan_unpoison_memory_region(memory, bytes);
  }
  using FreeBlock = std::set<std::pair<size_t, char*>>::iterator;
  FreeBlock add_slab(size_t least, size_t size) {
    char* memory = nullptr;
    try {
      memory = static_cast<char*>(device_.allocate(size));
    } catch (const Error&) {                                   // not so much at once
      if (size == least) throw;
      return add_slab(least, least);
    }
    slabs_[memory] = {size, 0};
    poison(memory, size);
    return add_free(memory, size);
  }
  FreeBlock add_free(char* block, size_t size) {
    free_[block] = size;
    return by_size_.insert({size, block}).first;
  }
  void remove_free(char* block, size_t size) {
    free_.erase(block);
    by_size_.erase({size, block});
  }

  Device& device_;
  std::map<char*, Slab> slabs_;
  std::map<char*, size_t> free_;                               // by address; no two are neighbours of one slab
  std::set<std::pair<size_t, char*>> by_size_;
};

class Pool {
 public:
  explicit Pool(Device& device) : small_(device), large_(device) {}
  template <class T>
  T* take(size_t n) {
    return reinterpret_cast<T*>(arena(whole(n * sizeof(T))).take(whole(n * sizeof(T))));
  }
  template <class T>
  void give(T* block, size_t n) {
    arena(whole(n * sizeof(T))).give(reinterpret_cast<char*>(block), whole(n * sizeof(T)));
  }
  size_t bytes_held() const { return small_.used() + large_.used(); }      // never shrinks: also the peak
  size_t allocations() const { return small_.allocations() + large_.allocations(); }

 private:
  // aligned as every device wants it
  static size_t whole(size_t bytes) { return (std::max<size_t>(bytes, 1) + 255) / 256 * 256; }
  Arena& arena(size_t bytes) { return bytes < size_t(1) << 20 ? small_ : large_; }
  Arena small_, large_;
};
