// Training steps on the CUDA device beside the same steps on the CPU.
#include <doctest/doctest.h>
#include "models/train_step.h"
#include "tests/difference.h"
#include "tests/synthetic.h"
#include "tests/test_device.h"

TEST_SUITE_BEGIN("training on cuda");

namespace {

struct Run {
  std::vector<double> losses, norms;
  std::map<std::string, std::vector<float>> values;
  bool operator==(const Run&) const = default;
};

// `steps` on changing batches
Run train(std::unique_ptr<Device> device, const ViTConfig& config, int steps, const std::string& loss = "sigmoid") {
  ViT vit(*device, config);
  vit.initialise(1);
  for (const Parameter& p : vit.parameters().list()) {  // what starts at 0 would have nothing to be relative to
    if (!p.name.ends_with(".bias") && p.name != "head.weight" && p.name != "cls_token") continue;
    std::vector<float> values = random_values(p.shape.size(), p.offset);
    for (float& x : values) x *= 0.05f;
    vit.parameters().set(p.name, values);
  }
  Adam adam(vit.parameters(), {.lr = 1e-3});
  TrainStep step(vit, adam, {.loss = loss});
  Run run;
  for (int t = 0; t < steps; t++) {
    MadeUpBatch batch = made_up_batch(config, 2);
    for (float& x : batch.images) x += 0.1f * float(t);
    const StepResult r = step(batch.images, batch.labels, 1);
    run.losses.push_back(r.loss);
    run.norms.push_back(r.gradient_norm);
  }
  for (const Parameter& p : vit.parameters().list()) run.values[p.name] = vit.parameters().get(p);
  return run;
}

ViTConfig two_blocks(const std::string& attention, int L, bool options) {
  ViTConfig config = small_vit(attention);
  config.image_size = L == 50 ? 28 : 56;
  // without it the gradient of the keys' bias is 0 but for rounding
  config.qk_norm = options || attention == "softmax";
  config.gate = options;
  REQUIRE(config.tokens() == L);
  return config;
}

}  // namespace

TEST_CASE("five steps of two blocks as on the CPU") {
  for (const char* attention : {"softmax", "relu", "relu2", "sigmoid"})
    for (int L : {50, 197}) {
      const ViTConfig config = two_blocks(attention, L, L == 50);
      const Run cuda = train(make_cuda(), config, 5), cpu = train(make_cpu(1), config, 5);
      for (size_t t = 0; t < cpu.losses.size(); t++) {
        INFO(std::string(attention), " L ", L, " step ", t);
        CHECK(std::abs(cuda.losses[t] - cpu.losses[t]) <= 1e-5 * std::max(1.0, cpu.losses[t]));
        CHECK(cuda.norms[t] == doctest::Approx(cpu.norms[t]).epsilon(1e-5));
      }
      for (const auto& [name, values] : cpu.values) {
        const double e = norm_error(cuda.values.at(name), values);
        INFO(std::string(attention), " L ", L, " ", name, ": ", e);
        CHECK(e <= 1e-4);
      }
    }
}

TEST_CASE("two steps of each family and form as on the CPU") {
  std::vector<ViTConfig> configs;
  auto add = [&](const char* attention, auto change) {
    change(configs.emplace_back(two_blocks(attention, 50, false)));
  };
  for (const char* family : {"linear-elu1", "cosformer", "sima", "hydra", "performer"}) add(family, [](ViTConfig&) {});
  for (const char* form : {"differential", "laser", "talking-heads"})
    add("softmax", [&](ViTConfig& c) { c.form = form, c.heads = 4; });
  for (const char* norm : {"rms", "rela"}) add("relu", [&](ViTConfig& c) { c.output_norm = norm; });
  for (const char* block : {"hybrid-norm", "gau"})
    add("sigmoid", [&](ViTConfig& c) { c.block = block, c.pool = block == std::string("gau") ? "gap" : c.pool; });
  add("softmax", [](ViTConfig& c) { c.gate = true, c.gate_function = "sigmoid"; });
  for (ViTConfig& config : configs) {
    config.qk_norm = true;
    const Run cuda = train(make_cuda(), config, 2), cpu = train(make_cpu(1), config, 2);
    const std::string name = config.attention + " " + config.form + " " + config.output_norm + " " + config.block;
    for (size_t t = 0; t < cpu.losses.size(); t++) {
      INFO(name, " step ", t);
      CHECK(std::abs(cuda.losses[t] - cpu.losses[t]) <= 1e-5 * std::max(1.0, cpu.losses[t]));
      CHECK(cuda.norms[t] == doctest::Approx(cpu.norms[t]).epsilon(1e-5));
    }
    for (const auto& [parameter, values] : cpu.values) {
      const double e = norm_error(cuda.values.at(parameter), values);
      INFO(name, " ", parameter, ": ", e);
      CHECK(e <= 1e-4);
    }
  }
}

TEST_CASE("two runs give the same bits") {
  const ViTConfig config = two_blocks("softmax", 50, true);
  CHECK(train(make_cuda(), config, 3) == train(make_cuda(), config, 3));
}

TEST_CASE("bf16 with fused attention as bf16 on the CPU") {
  for (const char* attention : {"softmax", "relu"}) {
    ViTConfig config = two_blocks(attention, 50, false);
    config.width = 64, config.heads = 1;
    const Run cuda = train(make_cuda({.precision = Precision::bf16}), config, 2),
              cpu = train(make_cpu(1, Precision::bf16), config, 2);
    for (size_t t = 0; t < 2; t++) CHECK(cuda.losses[t] == doctest::Approx(cpu.losses[t]).epsilon(4e-3));
    for (const auto& [name, values] : cpu.values) {
      const double e = norm_error(cuda.values.at(name), values);
      INFO(attention, " ", name, ": ", e);
      if (values != std::vector<float>(values.size()) && name.ends_with("weight")) CHECK(e <= 5e-3);
    }
  }
}

TEST_SUITE_END();
