// The device that tests of ops and models run on: the CPU, or with RELUCENT_TEST_DEVICE=cuda a GPU or its emulation.
// defines: on_cuda, test_device, exact_test_device, DeviceValues, CountingDevice
#pragma once
#include <cstdlib>
#include <memory>
#include <string_view>
#include <vector>
#include "engine/forwarding_device.h"

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
  DeviceValues(Device& device, const std::vector<float>& values)
      : device_(device), n_(values.size()), data_(static_cast<float*>(device.allocate(n_ * sizeof(float)))) {
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

// Counts allocations.
class CountingDevice : public ForwardingDevice {
 public:
  explicit CountingDevice(std::unique_ptr<Device> inner = test_device(1))
      : ForwardingDevice(*inner), owned_(std::move(inner)) {}
  void* allocate(size_t bytes) override { allocations++; return inner_.allocate(bytes); }
  void release(void* memory) override { releases++; inner_.release(memory); }
  void pack(void* to, const real* w, int n, int k) override { packs++, inner_.pack(to, w, n, k); }
  int allocations = 0, releases = 0, packs = 0;

 private:
  std::unique_ptr<Device> owned_;
};
