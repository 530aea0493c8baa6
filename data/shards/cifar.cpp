#include "data/shards/cifar.h"

#include "data/shards/shard.h"
#include "engine/error.h"

namespace {
constexpr int side = 32;
constexpr size_t plane = side * side;

bool is_cifar100(const std::filesystem::path& path) { return path.stem() == "train" || path.stem() == "test"; }

// data_batch_1.bin ... test_batch.bin (CIFAR-10), train.bin, test.bin (CIFAR-100)
bool is_cifar(const std::filesystem::path& path) {
  const std::string stem = path.stem().string();
  const bool named = stem.starts_with("data_batch_") || stem == "test_batch" || is_cifar100(path);
  return named && path.extension() == ".bin" && !std::filesystem::is_directory(path);
}

class CifarShard : public FileShard {
 public:
  using FileShard::FileShard;

  // CIFAR-100 has two labels a record: the second one, of the 100 classes, is taken.
  Scan scan() const override {
    const size_t labels = is_cifar100(path()) ? cifar100_labels : 1, record = labels + cifar_pixels;
    const int classes = labels == cifar100_labels ? 100 : 10;
    if (file().size() % record)
      fail(ExitCode::data, "{}: {} bytes are no whole number of CIFAR-{}'s records of {}; copy it again", file().name(),
           file().size(), classes, record);
    Scan scan;
    uint8_t bytes[cifar100_labels] = {};
    for (uint64_t at = 0; at < file().size(); at += record) {
      if (file().read(at, bytes, labels) < labels)
        fail(ExitCode::data, "{} shrank while it was read, at offset {}", file().name(), at);
      const int label = bytes[labels - 1];
      if (label >= classes)
        fail(ExitCode::data, "{}: record {} at offset {}: label {}, expected 0 to {}: is it CIFAR-{}?", file().name(),
             at / record, at, label, classes - 1, classes);
      scan.samples.push_back({.offset = at + labels, .header = uint16_t(labels), .size = cifar_pixels, .label = label});
    }
    return scan;
  }

  // The number of the record.
  std::string name_of(const Scan& scan, size_t k) const override {
    const Sample& sample = scan.samples[k];
    return std::to_string((sample.offset - sample.header) / (sample.header + sample.size));
  }
  Image decode(std::span<const uint8_t> bytes) const override { return decode_cifar(bytes); }
};

constexpr const char* class_lists[] = {"batches.meta.txt", "fine_label_names.txt"};
}

extern const ShardFormat cifar_format{.recognises = is_cifar, .open = open_as<CifarShard>, .class_lists = class_lists};

Image decode_cifar(std::span<const uint8_t> planes) {
  Image image{side, side, std::vector<uint8_t>(cifar_pixels)};
  for (size_t i = 0; i < plane; i++)
    for (size_t c = 0; c < 3; c++) image.rgb[3 * i + c] = planes[c * plane + i];
  return image;
}
