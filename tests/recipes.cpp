// Recipes with a name, and what a step does beside forward and backward: mixup, micro-batches, rematerialisation.
#include <doctest/doctest.h>
#include <cmath>
#include "engine/ops/mixup.h"
#include "models/init.h"
#include "models/recipes.h"
#include "models/train_step.h"
#include "tests/error_of.h"
#include "tests/synthetic.h"
#include "tests/test_device.h"

TEST_SUITE_BEGIN("recipes");

namespace {

// Losses, norms and values after three steps.
std::vector<double> train(Device& device, const StepOptions& options, double mix = 1, int batch_size = 8) {
  const ViTConfig config = small_vit("relu");
  const MadeUpBatch batch = made_up_batch(config, batch_size);
  ViT vit(device, config);
  vit.initialise(1);
  Adam adam(vit.parameters(), {.lr = 1e-3});
  TrainStep step(vit, adam, options);
  std::vector<double> all;
  for (int t = 0; t < 3; t++) {
    const StepResult r = step(batch.images, batch.labels, 1, mix);
    all.insert(all.end(), {r.loss, r.gradient_norm});
  }
  for (const Parameter& p : vit.parameters().list()) for (float x : vit.parameters().get(p)) all.push_back(x);
  return all;
}

// Relative to values above 1: a class token that starts at 0 makes norms of 1e7.
double difference(const std::vector<double>& a, const std::vector<double>& b) {
  double largest = 0;
  for (size_t i = 0; i < a.size(); i++)
    largest = std::max(largest, std::abs(a[i] - b[i]) / std::max(1.0, std::abs(a[i])));
  return largest;
}

}  // namespace

TEST_CASE("micro-batches add up to the batch, also one that is smaller and with mixup across them") {
  auto device = test_device(2);
  for (const double mix : {1.0, 0.7}) {
    const std::vector<double> whole = train(*device, {.loss = "sigmoid"}, mix);
    for (int micro : {1, 3, 4, 8, 100}) {
      const std::vector<double> parts = train(*device, {.loss = "sigmoid", .micro_batch = micro}, mix);
      INFO("micro-batch ", micro, " mix ", mix, ": ", difference(whole, parts));
      if (micro >= 8) CHECK(parts == whole);
      else CHECK(difference(whole, parts) <= 2e-4);           // Adam makes steps of lr of what is rounding alone
    }
  }
}

TEST_CASE("correct examples are counted over all micro-batches") {
  auto device = test_device(2);
  ViTConfig config = small_vit("relu");
  config.depth = 1, config.pool = "gap";
  const MadeUpBatch batch = made_up_batch(config, 8);
  ViT vit(*device, config);
  vit.initialise(1);
  Adam adam(vit.parameters(), {.lr = 3e-3, .weight_decay = 0});
  TrainStep step(vit, adam, {.loss = "softmax", .micro_batch = 3});
  StepResult last{};
  for (int t = 0; t < 11; t++) last = step(batch.images, batch.labels, 1);
  CHECK(last.correct == 8);
}

TEST_CASE("rematerialised blocks: the same bits, less memory") {
  auto device = test_device(2);
  CHECK(train(*device, {.loss = "sigmoid"}) == train(*device, {.loss = "sigmoid", .rematerialise = true}));
  CHECK(train(*device, {.loss = "sigmoid", .micro_batch = 3}) ==
        train(*device, {.loss = "sigmoid", .micro_batch = 3, .rematerialise = true}));
  size_t held[2];
  for (const bool rematerialise : {false, true}) {
    ViTConfig config = small_vit("relu");
    config.depth = 6;
    ViT vit(*device, config);
    vit.initialise(1);
    Tape tape(*device);
    const MadeUpBatch batch = made_up_batch(config, 8);
    tape.backward(vit.forward(tape, tape.input("images", {8, 32, 32, 3}, batch.images), {}, nullptr,
                              {.rematerialise = rematerialise}));
    held[rematerialise] = tape.bytes_held();
  }
  CHECK(held[1] < 0.5 * held[0]);
}

TEST_CASE("mixup: every example with the one before it, the first with the last") {
  auto device = test_device();
  Tape tape(*device);
  Tensor y = mixup(tape, tape.input("x", {3, 2}, std::vector<float>{1, 2, 10, 20, 100, 200}), 0.75f);
  CHECK(tape.download(y) == std::vector<float>{25.75f, 51.5f, 7.75f, 15.5f, 77.5f, 155});
  CHECK(train(*device, {.loss = "softmax"}, 0.6) != train(*device, {.loss = "softmax"}));
}

TEST_CASE("mixup coefficients: max(a, 1 - a) of a Beta(p, p), one for each step") {
  for (const double p : {0.2, 0.5, 0.8, 1.0}) {
    double sum = 0, squares = 0;
    const int n = 40000;
    for (int step = 0; step < n; step++) {
      const double a = mixup_coefficient(p, 1, step);
      CHECK((a >= 0.5 && a <= 1));
      sum += a, squares += (2 * a - 1) * (2 * a - 1);
    }
    CHECK(squares / n == doctest::Approx(1 / (2 * p + 1)).epsilon(0.02));  // 4 var of Beta(p, p) = 1 / (2 p + 1)
    if (p == 1.0) CHECK(sum / n == doctest::Approx(0.75).epsilon(0.01));
  }
  CHECK(mixup_coefficient(0.5, 1, 7) == mixup_coefficient(0.5, 1, 7));
  CHECK(mixup_coefficient(0.5, 1, 7) != mixup_coefficient(0.5, 2, 7));
  CHECK(mixup_coefficient(0.5, 1, 7) != mixup_coefficient(0.5, 1, 8));
}

TEST_CASE("recipes: the fields of BigVision's configurations") {
  TrainOptions i1k, i21k, s16, figure2, figure3, figure4;
  apply_recipe(i1k, "i1k", "S/16");
  CHECK(i1k.steps == 92897);
  CHECK(i1k.batch == 4096);
  CHECK(i1k.loss == "sigmoid");
  CHECK(i1k.warmup_steps(i1k.steps) == 10000);
  CHECK(i1k.adam == AdamOptions{.lr = 1e-3, .weight_decay = 1e-4, .clip = 1});
  CHECK(i1k.mixup == 0.5);
  CHECK(to_text(i1k.preprocess.randaug) == "2,15");
  ViTConfig c = i1k.model.config();
  CHECK((c.pool == "cls" && c.position == "learned" && c.head_hidden && c.head_bias == -6.9 && c.qk_norm &&
         c.width == 384 && c.patch == 16));
  c.qk_norm = false, c.classes = 1000;
  CHECK(parameter_count(c) == 22198120);
  apply_recipe(i21k, "i21k", "S/32");
  CHECK((i21k.classes == 21843 && i21k.mixup == 0 && i21k.preprocess.randaug.ops == 0 && i21k.steps == 93335));
  c = i21k.model.config();
  CHECK((c.pool == "gap" && !c.head_hidden && c.head_bias == -10 && c.patch == 32));
  apply_recipe(s16, "vit-s16-i1k", "");
  c = s16.model.config();
  CHECK((c.pool == "gap" && c.position == "sincos2d" && c.head_hidden && !c.qk_norm && s16.loss == "softmax" &&
         s16.batch == 1024 && s16.steps == 111477 && s16.mixup == 0.2));
  c.classes = 1000;
  CHECK(parameter_count(c) == 22122472);
  apply_recipe(figure2, "figure2-small", "");
  CHECK(figure2.grid().size() == 1 + 7 * 5);
  apply_recipe(figure3, "figure3", "S/8");
  CHECK(
      (!figure3.model.config().qk_norm && figure3.grid().size() == 10 && to_text(figure3.preprocess.randaug) == "2,0"));
  apply_recipe(figure4, "figure4-small", "");
  CHECK(figure4.model.config().gate);
  CHECK(says(error_of(ExitCode::usage,
                      [] {
                        TrainOptions o;
                        apply_recipe(o, "i2k", "");
                      }),
             {"--preset", "'i2k'", "did you mean i1k?"}));
  CHECK(says(error_of(ExitCode::usage,
                      [] {
                        TrainOptions o;
                        apply_recipe(o, "i1k", "H/14");
                      }),
             {"--model", "'H/14'", "S/16"}));
}

TEST_CASE("position embeddings at another grid: bilinear, corners on corners") {
  const std::vector<float> two{0, 1, 2, 3};                                      // 2 x 2, one channel
  CHECK(resample_positions(two, 2, 3) == std::vector<float>{0, 0.5f, 1, 1, 1.5f, 2, 2, 2.5f, 3});
  CHECK(resample_positions(two, 2, 2) == two);
  CHECK(resample_positions(resample_positions(two, 2, 3), 3, 2) == two);
}

TEST_SUITE_END();
