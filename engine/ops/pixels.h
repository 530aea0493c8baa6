// Images on their way from the host to the model: bytes, which become values where they are used. A byte is a quarter
// of a float on the way to a GPU and in the memory of the loader, and nothing is lost: pixels are bytes until here.
// defines: HostImages, pixel_value, pixels, images_leaf
#pragma once
#include "engine/channels.h"
#include "engine/tape.h"

// A batch [n, S, S, 3] in host memory: bytes, of which v is (v / 255 - mean) / std of its channel to the model, or
// values as the model wants them.
struct HostImages {
  std::span<const uint8_t> bytes = {};
  std::span<const float> values = {};
  Channels mean{}, std{1, 1, 1};
  HostImages() = default;
  HostImages(std::span<const uint8_t> bytes, const Channels& mean, const Channels& std)
      : bytes(bytes), mean(mean), std(std) {}
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

// In this order, as PyTorch's models have it; with mean and std 0.5 the bits are those of TensorFlow's
// value_range(-1, 1) (BigVision's pp/ops_image.py), for twos change no rounding.
template <class T>
HD inline T pixel_value(uint8_t channel, T mean, T std) {
  return (T(channel) / T(255) - mean) / std;
}

// of pixel i, three channels side by side
struct Pixels {
  real* y;
  const uint8_t* bytes;
  Channels mean, std;
  HD void operator()(size_t i) const {
    for (int c = 0; c < 3; c++) y[3 * i + c] = pixel_value(bytes[3 * i + c], real(mean[c]), real(std[c]));
  }
};

// bytes on the device, of `shape` [n, S, S, 3] -> values; no gradient
inline Tensor pixels(Tape& t, Shape shape, const uint8_t* bytes, const Channels& mean, const Channels& std) {
  Tensor y = t.make("pixels", shape, {});
  t.device.each(shape.size() / 3, Pixels{t.value(y), bytes, mean, std});
  return y;
}

// Those images on the tape. A device that is the host reads them where they are: they must stay until clear().
inline Tensor images_leaf(Tape& t, Shape shape, const HostImages& images) {
  if (images.size() != shape.size())
    fail(ExitCode::failed, "images: {} values, expected {}", images.size(), shape.text());
  if (!images.values.empty()) return t.borrow("images", shape, images.values);
  if (t.device.is_host()) return pixels(t, shape, images.bytes.data(), images.mean, images.std);
  const Temporary<uint8_t> bytes = t.temporary<uint8_t>(shape.size());
  t.device.upload(bytes.data, images.bytes.data(), images.bytes.size());
  return pixels(t, shape, bytes.data, images.mean, images.std);
}
