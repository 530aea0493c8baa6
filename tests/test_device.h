// The device that tests of ops and models run on: the CPU, or with RELUCENT_TEST_DEVICE=cuda a GPU or its emulation.
// defines: on_cuda, test_device, exact_test_device, DeviceValues, CountingDevice
#pragma once
#include <cstdlib>
#include <memory>
#include <string_view>
#include <vector>
#include "engine/device.h"

inline bool on_cuda() {
  const char* device = std::getenv("RELUCENT_TEST_DEVICE");
  return device && std::string_view(device) == "cuda";
}
inline std::unique_ptr<Device> test_device(int threads = 1, Precision precision = Precision::f32) {
  if (on_cuda())
    return make_cuda(
        {.precision = precision, .spare_memory = 0});  // as scarce as on the CPU: what is dropped is computed again
  return make_cpu(threads, precision);
}
// The same, but no product's last step is the library's, which rounds elsewhere: for tests of the same bits.
inline std::unique_ptr<Device> exact_test_device(int threads, Precision precision) {
  if (on_cuda()) return make_cuda({.precision = precision, .fused_products = false, .spare_memory = 0});
  return make_cpu(threads, precision);
}

// Values in the memory of a device.
class DeviceValues {
 public:
  DeviceValues(Device& device, const std::vector<float>& values) : device_(device), n_(values.size()), data_(static_cast<float*>(device.allocate(n_ * sizeof(float)))) {
    device_.upload(data_, values.data(), n_ * sizeof(float));
  }
  ~DeviceValues() { device_.release(data_); }
  DeviceValues(const DeviceValues&) = delete;
  float* data() const { return data_; }
  std::vector<float> read() const {
    std::vector<float> values(n_);
    device_.download(values.data(), data_, n_ * sizeof(float));
    return values;
  }

 private:
  Device& device_;
  size_t n_;
  float* data_;
};

// Passes everything on and counts allocations.
class CountingDevice : public Device {
 public:
  std::string description() const override { return inner_->description(); }
  void* allocate(size_t bytes) override { allocations++; return inner_->allocate(bytes); }
  void release(void* memory) override { releases++; inner_->release(memory); }
  size_t slab(size_t held) const override { return inner_->slab(held); }
  bool is_host() const override { return inner_->is_host(); }
  void upload(void* device, const void* host, size_t bytes) override { inner_->upload(device, host, bytes); }
  void download(void* host, const void* device, size_t bytes) override { inner_->download(host, device, bytes); }
  void gemm(const Gemm& product) override { inner_->gemm(product); }
  size_t packed_bytes(int n, int k) const override { return inner_->packed_bytes(n, k); }
  void pack(void* to, const real* w, int n, int k) override { packs++, inner_->pack(to, w, n, k); }
  bool rounds_operands() const override { return inner_->rounds_operands(); }
  bool keeps_pieces(const Gemm& p, std::type_index body, const void* fields) const override {
    return inner_->keeps_pieces(p, body, fields);
  }
  size_t spare_memory() const override { return inner_->spare_memory(); }
  void gemm_then(const Gemm& product, std::type_index body, const void* fields) override { inner_->gemm_then(product, body, fields); }
  bool fuses_attention() const override { return inner_->fuses_attention(); }
  std::optional<size_t> fuses(const TilesBody& body) const override { return inner_->fuses(body); }
  ColumnTeams column_teams(size_t rows, int columns) const override { return inner_->column_teams(rows, columns); }
  bool keeps_rounded_weights() const override { return inner_->keeps_rounded_weights(); }
  void run(std::type_index body, size_t n, const void* fields) override { inner_->run(body, n, fields); }
  void run_tiles(const TilesBody& body) override { inner_->run_tiles(body); }
  explicit CountingDevice(std::unique_ptr<Device> inner = test_device(1)) : inner_(std::move(inner)) {}
  int allocations = 0, releases = 0, packs = 0;

 private:
  std::unique_ptr<Device> inner_;
};
