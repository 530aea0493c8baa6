// Work on many items by several threads, its results taken in order.
// defines: in_order
#pragma once
#include <algorithm>
#include <atomic>
#include <exception>
#include <thread>
#include <type_traits>
#include <vector>

// take(i, work(i)) for i = 0 ... n-1: work in any thread, take in this one. No more than a few results a thread wait at
// a time. The first error in the order of the items ends it.
template <class Work, class Take>
void in_order(size_t n, int threads, Work work, Take take) {
  struct Slot {
    std::invoke_result_t<Work, size_t> result;
    std::exception_ptr error;
  };
  std::vector<Slot> slots(size_t(threads) * 16);
  for (size_t begin = 0; begin < n; begin += slots.size()) {
    const size_t count = std::min(slots.size(), n - begin);
    std::atomic<size_t> next = 0;
    const auto run = [&] {
      for (size_t at; (at = next++) < count;) {
        slots[at] = {};
        try {
          slots[at].result = work(begin + at);
        } catch (...) {
          slots[at].error = std::current_exception();
        }
      }
    };
    {
      std::vector<std::jthread> others;
      for (int i = 1; i < threads; i++) others.emplace_back(run);
      run();
    }
    for (size_t at = 0; at < count; at++) {
      if (slots[at].error) std::rethrow_exception(slots[at].error);
      take(begin + at, std::move(slots[at].result));
    }
  }
}
