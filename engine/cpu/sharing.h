// Whether a pass is shared among threads: not if one thread ends it before the others are awake, which takes a few
// microseconds, or a turn of the scheduler where other programs run. The results are the same.
// defines: Sharing
#pragma once
#include <algorithm>
#include <chrono>
#include <limits>
#include <map>
#include <typeindex>

class Sharing {
 public:
  explicit Sharing(int threads) : threads_(threads) {}

  // Calls range(first, end, threads) for what makes up [0, n). The first passes of a kind and length are timed on one
  // thread, by a small part of each; the shortest counts, since a thread may be interrupted.
  template <class Range> void operator()(std::type_index kind, size_t n, Range range) {
    if (threads_ == 1 || n <= 1) return range(size_t(0), n, 1);
    Timing& timing = timings_[{kind, n}];
    size_t timed = 0;
    if (timing.passes < 3) {
      timed = std::max<size_t>(1, n / 64);
      const auto began = Clock::now();
      range(size_t(0), timed, 1);
      const double seconds = std::chrono::duration<double>(Clock::now() - began).count() * double(n) / double(timed);
      timing = {timing.passes + 1, std::min(timing.seconds, seconds)};
    }
    range(timed, n, timing.seconds < worth_sharing ? 1 : threads_);
  }

 private:
  using Clock = std::chrono::steady_clock;
  static constexpr double worth_sharing = 1e-4;                 // seconds on one thread
  struct Timing { int passes = 0; double seconds = std::numeric_limits<double>::infinity(); };
  int threads_;
  std::map<std::pair<std::type_index, size_t>, Timing> timings_;
};
