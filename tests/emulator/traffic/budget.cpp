// The bytes that the kernels of a training step move, beside those that build/bench roofline says they must.
#include <doctest/doctest.h>
#include <cmath>
#include "engine/profile.h"
#include "models/train_step.h"
#include "tests/bench/budget.h"
#include "tests/emulator/traffic.h"
#include "tests/synthetic.h"

TEST_SUITE_BEGIN("traffic");

namespace {

// S/16 but for its depth.
ViTConfig two_blocks(const char* attention, const char* pool, bool qk_norm) {
  ViTConfig config;
  config.depth = 2;
  config.attention = attention, config.pool = pool, config.qk_norm = qk_norm;
  return config;
}

// The second step's, by parts.
std::map<std::string, Work> counted(const ViTConfig& config, int batch) {
  auto device = make_cuda({.precision = Precision::bf16});
  ViT vit(*device, config);
  vit.initialise(0);
  Adam adam(vit.parameters(), {});
  TrainStep step(vit, adam, {.loss = "softmax"});
  const MadeUpPixels data = made_up_pixels(config, batch);
  const HostImages images(data.pixels, config.mean, config.std);
  step(images, data.labels, 1e-3);
  emulator::take_launches();
  step(images, data.labels, 1e-3);
  std::map<std::string, Work> parts;
  for (const emulator::Launch& l : emulator::take_launches()) {
    Work& w = parts[std::string(part_of(l.kernel.empty() ? l.name : l.kernel))];
    w.read += double(l.read), w.written += double(l.written), w.launches++;
  }
  return parts;
}

} // namespace

TEST_CASE("every part of a step moves what the budget says, within 5 %") {
  struct Case {
    const char *attention, *pool;
    bool qk_norm;
  };
  for (const Case& c : {Case{"softmax", "cls", false}, {"relu", "gap", true}}) {
    const ViTConfig config = two_blocks(c.attention, c.pool, c.qk_norm);
    const int batch = 2;
    const StepBudget budget = step_budget(config, batch, Precision::bf16, {1, 1, 1});
    Work all;
    for (const auto& [part, w] : counted(config, batch)) {
      REQUIRE(budget.parts.contains(part));
      const Work& expected = budget.parts.at(part);
      INFO(c.attention, " ", c.pool, ", ", part, ": read ", w.read, " of ", expected.read, ", written ", w.written,
           " of ", expected.written);
      CHECK(std::abs(w.bytes() - expected.bytes()) <= 0.05 * expected.bytes());
      CHECK(w.launches == expected.launches);
      all.read += w.read, all.written += w.written;
    }
    const Work expected = budget.total();
    INFO(c.attention, " ", c.pool, ", all: read ", all.read, " of ", expected.read, ", written ", all.written, " of ",
         expected.written);
    CHECK(std::abs(all.bytes() - expected.bytes()) <= 0.05 * expected.bytes());
  }
}

TEST_SUITE_END();
