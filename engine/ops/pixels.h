// Images on their way from the host to the model: bytes, which become values where they are used. A byte is a quarter
// of a float on the way to a GPU and in the memory of the loader, and nothing is lost: pixels are bytes until here.
// defines: HostImages, pixel_value, pixels, images_leaf
#pragma once
#include "engine/tape.h"

// A batch [n, S, S, 3] in host memory: bytes, of which v is low + (high - low) (v / 255) to the model, or values as the
// model wants them.
struct HostImages {
  std::span<const uint8_t> bytes = {};
  std::span<const float> values = {};
  float low = -1, high = 1;
  HostImages() = default;
  HostImages(std::span<const uint8_t> bytes, float low, float high) : bytes(bytes), low(low), high(high) {}
  HostImages(std::span<const float> values) : values(values) {}
  HostImages(const std::vector<float>& values) : values(values) {}
  size_t size() const { return values.empty() ? bytes.size() : values.size(); }
  const void* data() const { return values.empty() ? static_cast<const void*>(bytes.data()) : values.data(); }
  size_t size_bytes() const { return values.empty() ? bytes.size() : values.size_bytes(); }
  HostImages part(size_t first, size_t n) const {
    HostImages some = *this;
    if (values.empty()) some.bytes = bytes.subspan(first, n);
    else some.values = values.subspan(first, n);
    return some;
  }
};

// In this order, as TensorFlow's value_range does it (BigVision's pp/ops_image.py); range: high - low
template <class T>
HD inline T pixel_value(uint8_t pixel, T low, T range) {
  return low + range * (T(pixel) / T(255));
}

struct Pixels {
  real* y;
  const uint8_t* bytes;
  real low, range;
  HD void operator()(size_t i) const { y[i] = pixel_value(bytes[i], low, range); }
};

// bytes on the device, of `shape` -> values; no gradient
inline Tensor pixels(Tape& t, Shape shape, const uint8_t* bytes, float low, float high) {
  Tensor y = t.make("pixels", shape, {});
  t.device.each(shape.size(), Pixels{t.value(y), bytes, real(low), real(high) - real(low)});
  return y;
}

// Those images on the tape. A device that is the host reads them where they are: they must stay until clear().
inline Tensor images_leaf(Tape& t, Shape shape, const HostImages& images) {
  if (images.size() != shape.size())
    fail(ExitCode::failed, "images: {} values, expected {}", images.size(), shape.text());
  if (!images.values.empty()) return t.borrow("images", shape, images.values);
  if (t.device.is_host()) return pixels(t, shape, images.bytes.data(), images.low, images.high);
  const Temporary<uint8_t> bytes = t.temporary<uint8_t>(shape.size());
  t.device.upload(bytes.data, images.bytes.data(), images.bytes.size());
  return pixels(t, shape, bytes.data, images.low, images.high);
}
