// Where the time goes: a device that passes everything on to another and measures it, part by part.
// defines: part_of, Profiler
#pragma once
#include <chrono>
#include <map>
#include <string>
#include <string_view>
#include <vector>
#include "engine/forwarding_device.h"

// The part of a step that a kernel belongs to, by its name as C++ or a GPU's profiler writes it: products, attention,
// normalisation, activations, "bias, rounding and sums", optimizer, other.
std::string_view part_of(std::string_view kernel);

// Waits for the device after every pass, so that each gets its own time also on a GPU; there the sum is more than a
// step that overlaps. Times are wall-clock seconds since construction or reset().
class Profiler final : public ForwardingDevice {
 public:
  using ForwardingDevice::ForwardingDevice;
  // part: products, attention, normalisation, ...
  struct Pass { std::string part, name; double seconds; size_t calls; };
  std::vector<Pass> passes() const;                                          // longest first
  std::string table(double seconds) const;  // of parts, as shares of `seconds`; what is missing is "idle"
  std::string table() const;                                                 // since construction or reset()
  void reset() { times_.clear(), products_ = {}, start_ = std::chrono::steady_clock::now(); }

  void gemm(const Gemm& product) override { measure(products_, [&] { inner_.gemm(product); }); }
  // Where pieces stay in the cache or the library does it, what follows a product is part of it; else it is a pass of
  // its own.
  void gemm_then(const Gemm& p, std::type_index body, const void* fields) override {
    if (keeps_pieces(p, body, fields)) measure(products_, [&] { inner_.gemm_then(p, body, fields); });
    else Device::gemm_then(p, body, fields);
  }
  void run(std::type_index body, size_t n, const void* fields) override {
    measure(times_[body], [&] { inner_.run(body, n, fields); });
  }
  void run_tiles(const TilesBody& body) override { measure(times_[body.type], [&] { inner_.run_tiles(body); }); }

 private:
  struct Time { double seconds = 0; size_t calls = 0; };
  template <class Work> void measure(Time& time, Work work) {
    const auto start = std::chrono::steady_clock::now();
    work();
    inner_.download(nullptr, nullptr, 0);
    time.seconds += std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    time.calls++;
  }
  std::map<std::type_index, Time> times_;
  Time products_;
  std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
};
