// Where the time goes: a device that passes everything on to another and measures it, part by part.
// defines: part_of, Profiler
#pragma once
#include <chrono>
#include <map>
#include <string>
#include <string_view>
#include <vector>
#include "engine/device.h"

// The part of a step that a kernel belongs to, by its name as C++ or a GPU's profiler writes it: products, attention, normalisation,
// activations, "bias, rounding and sums", optimizer, other.
std::string_view part_of(std::string_view kernel);

// Waits for the device after every pass, so that each gets its own time also on a GPU; there the sum is more than a step that
// overlaps. Times are wall-clock seconds since construction or reset().
class Profiler final : public Device {
 public:
  explicit Profiler(Device& device) : device_(device) {}
  struct Pass { std::string part, name; double seconds; size_t calls; };     // part: products, attention, normalisation, ...
  std::vector<Pass> passes() const;                                          // longest first
  std::string table(double seconds) const;                                   // of parts, as shares of `seconds`; what is missing is "idle"
  std::string table() const;                                                 // since construction or reset()
  void reset() { times_.clear(), products_ = {}, start_ = std::chrono::steady_clock::now(); }

  std::string description() const override { return device_.description(); }
  void* allocate(size_t bytes) override { return device_.allocate(bytes); }
  void release(void* memory) override { device_.release(memory); }
  size_t slab(size_t held) const override { return device_.slab(held); }
  bool is_host() const override { return device_.is_host(); }
  void upload(void* device, const void* host, size_t bytes) override { device_.upload(device, host, bytes); }
  void upload_early(void* device, const void* host, size_t bytes) override { device_.upload_early(device, host, bytes); }
  void download(void* host, const void* device, size_t bytes) override { device_.download(host, device, bytes); }
  size_t packed_bytes(int n, int k) const override { return device_.packed_bytes(n, k); }
  void pack(void* to, const real* w, int n, int k) override { device_.pack(to, w, n, k); }
  bool fuses_attention() const override { return device_.fuses_attention(); }
  std::optional<size_t> fuses(const TilesBody& body) const override { return device_.fuses(body); }
  bool keeps_pieces(const Gemm& p, std::type_index body, const void* fields) const override {
    return device_.keeps_pieces(p, body, fields);
  }
  size_t spare_memory() const override { return device_.spare_memory(); }
  bool rounds_operands() const override { return device_.rounds_operands(); }
  ColumnTeams column_teams(size_t rows, int columns) const override { return device_.column_teams(rows, columns); }
  bool keeps_rounded_weights() const override { return device_.keeps_rounded_weights(); }
  void gemm(const Gemm& product) override { measure(products_, [&] { device_.gemm(product); }); }
  // Where pieces stay in the cache or the library does it, what follows a product is part of it; else it is a pass of
  // its own.
  void gemm_then(const Gemm& p, std::type_index body, const void* fields) override {
    if (keeps_pieces(p, body, fields)) measure(products_, [&] { device_.gemm_then(p, body, fields); });
    else Device::gemm_then(p, body, fields);
  }
  void run(std::type_index body, size_t n, const void* fields) override { measure(times_[body], [&] { device_.run(body, n, fields); }); }
  void run_tiles(const TilesBody& body) override { measure(times_[body.type], [&] { device_.run_tiles(body); }); }

 private:
  struct Time { double seconds = 0; size_t calls = 0; };
  template <class Work> void measure(Time& time, Work work) {
    const auto start = std::chrono::steady_clock::now();
    work();
    device_.download(nullptr, nullptr, 0);
    time.seconds += std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    time.calls++;
  }
  Device& device_;
  std::map<std::type_index, Time> times_;
  Time products_;
  std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
};
