// What an exact resume reads: a training state of a small model.
#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iterator>

#include "engine/safetensors.h"
#include "models/checkpoint.h"
#include "tests/fuzz/fuzz.h"
#include "tests/mutate.h"

namespace {
// Holds the parameters, which start from zeros; reading a state computes nothing.
class Memory final : public Device {
 public:
  std::string description() const override { return "memory"; }
  void* allocate(size_t bytes) override { return std::malloc(std::max<size_t>(bytes, 1)); }
  void release(void* memory) override { std::free(memory); }
  bool is_host() const override { return true; }
  void upload(void* device, const void* host, size_t bytes) override { std::memcpy(device, host, bytes); }
  void download(void* host, const void* device, size_t bytes) override { std::memcpy(host, device, bytes); }
  void gemm(const Gemm&) override { std::abort(); }
  void run(std::type_index body, size_t n, const void* fields) override {
    if (body != typeid(Fill)) std::abort();
    for (size_t i = 0; i < n; i++) (*static_cast<const Fill*>(fields))(i);
  }
  void run_tiles(const TilesBody&) override { std::abort(); }
};

const ViTConfig config{.image_size = 8, .patch = 4, .width = 8, .depth = 1, .heads = 2, .mlp_width = 16, .classes = 3};

struct Model {
  Memory device;
  ViT vit{device, config};
  Adam adam{vit.parameters(), {}};
  MovingAverage average{vit.parameters(), 0.9};
};
Model& model() {
  static Model one;
  return one;
}
}  // namespace

void run(Bytes input) {
  std::string bytes = text_of(input);
  right_checksum(bytes);
  const auto path = scratch("last.state", bytes);
  for (MovingAverage* average : {static_cast<MovingAverage*>(nullptr), &model().average}) {
    const TrainingState state = load_state(path, model().vit, model().adam, field_texts(config), average);
    if (state.step < 0 || state.step != saved_step(path) || state.window.steps < 0) std::abort();
  }
}

// Whole states; the same with a tensor cut to half; with a number negative.
std::vector<std::string> seeds() {
  std::vector<std::string> written;
  for (MovingAverage* average : {static_cast<MovingAverage*>(nullptr), &model().average}) {
    const auto path = scratch("seed.state", "");
    save_state(path, model().vit, model().adam, {.step = 7, .window = {}, .logs = {{"metrics.csv", 12}}},
               field_texts(config), average);
    const SafeTensors state(path);
    const auto write = [&](const std::string& half, const std::string& negative) {
      auto metadata = state.metadata();
      if (!negative.empty()) metadata[negative] = "-" + metadata[negative];
      std::vector<StoredTensor> tensors;
      for (const auto& [name, tensor] : state.tensors()) {
        tensors.push_back(tensor);
        if (name != half) continue;
        tensors.back().shape = {tensor.shape[0] / 2};
        const size_t size = tensor.bytes.size() / size_t(tensor.shape[0]);
        tensors.back().bytes = tensor.bytes.first(size * size_t(tensor.shape[0] / 2));
      }
      const auto part = scratch("part.state", "");
      write_safetensors(part, tensors, metadata);
      std::ifstream file(part, std::ios::binary);
      written.emplace_back(std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>());
    };
    write("", "");
    for (const auto& [name, tensor] : state.tensors()) write(name, "");
    for (const auto& [key, value] : state.metadata())
      if (key.starts_with("state.")) write("", key);
  }
  return written;
}
