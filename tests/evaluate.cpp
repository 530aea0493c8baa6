// Accuracy on a source: each image once, ranks as argmax has them, and the way out before the end.
#include <doctest/doctest.h>
#include "data/synthetic.h"
#include "models/checkpoint.h"
#include "models/evaluate.h"
#include "models/init.h"
#include "tests/error_of.h"
#include "tests/synthetic.h"
#include "tests/temp_dir.h"
#include "tests/test_device.h"

TEST_SUITE_BEGIN("evaluate");

TEST_CASE("a head at zero chooses the first class, and row sums are those of the function") {
  TempDir dir;
  write_drawn_set(dir.path() / "set", 50, 30, 32, 1);
  const Index index = Index::open((dir.path() / "set" / "val-0000.tar").string(), {});
  int first = 0, first_five = 0;
  for (size_t i = 0; i < index.size(); i++) first += index.label(i) == 0, first_five += index.label(i) < 5;
  auto device = make_cpu(2);
  ViTConfig config{.image_size = 32, .patch = 8, .width = 16, .depth = 2, .heads = 2, .mlp_width = 16, .classes = 10};
  const LoaderOptions options{.batch = 8, .preprocess = {.image_size = 32, .crop = "none"}};
  for (const char* function : {"softmax", "sigmoid"}) {
    config.attention = function;
    config.alpha = 0;
    ViT vit(*device, config);
    vit.initialise(1);
    Loader loader(index, options);
    uint64_t last = 0;
    const Evaluation e = evaluate(vit, loader, "softmax", [&](uint64_t done) { last = done; return true; });
    CHECK(e.complete);
    CHECK(e.count == 30);
    CHECK(last == 30);
    CHECK(e.correct == uint64_t(first));
    CHECK(e.correct5 == uint64_t(first_five));
    CHECK(e.loss == doctest::Approx(2.302585));
    CHECK(e.row_sum == doctest::Approx(std::string(function) == "softmax" ? 1 : 8).epsilon(0.05));  // sigmoid: L / 2
    Loader again(index, options);
    const Evaluation part = evaluate(vit, again, "softmax", [](uint64_t done) { return done < 16; });
    CHECK_FALSE(part.complete);
    CHECK(part.count == 16);
  }
}

TEST_CASE("between training steps it uses the memory of the step") {
  TempDir dir;
  write_drawn_set(dir.path() / "set", 50, 30, 32, 1);
  const Index index = Index::open((dir.path() / "set" / "val-0000.tar").string(), {});
  CountingDevice device;
  const ViTConfig config{
      .image_size = 32, .patch = 8, .width = 64, .depth = 4, .heads = 2, .mlp_width = 256, .classes = 10};
  ViT vit(device, config);
  vit.initialise(1);
  Tape tape(device);
  Loader loader(index, {.batch = 10, .preprocess = {.image_size = 32, .crop = "none"}});
  tape.backward(vit.forward(tape, tape.input("images", {10, 32, 32, 3}, std::vector<float>(10 * 32 * 32 * 3))));
  const size_t held = tape.bytes_held();
  const int allocations = device.allocations;
  CHECK(evaluate(vit, loader, "softmax", [](uint64_t) { return true; }, &tape).count == 30);
  CHECK(tape.bytes_held() < 1.01 * double(held));
  CHECK(device.allocations <= allocations + 2);                   // labels and losses
}

TEST_CASE("at another image size the positions are resampled, and the weights' factor is the exponent's") {
  auto device = make_cpu(1);
  ViTConfig config{.image_size = 32,
                   .patch = 4,
                   .width = 8,
                   .depth = 2,
                   .heads = 2,
                   .mlp_width = 8,
                   .classes = 10,
                   .attention = "relu"};
  const auto weights_of = [&](const ViTConfig& c) {
    ViT vit(*device, c);
    vit.initialise(1);
    return Weights{c, tensors_of(vit), {}};
  };
  const auto factor = [](const Weights& w) { return std::pow(w.config.tokens(), -w.config.alpha); };
  for (const auto& [exponent, expected] : {std::pair{std::optional<double>(), 1.0 / 256},
                                           {std::optional(1.0), 1.0 / 256},
                                           {std::optional(0.0), 1.0 / 64},
                                           {std::optional(0.5), 1.0 / 128},
                                           {std::optional(2.0), 1.0 / 1024}}) {
    Weights w = weights_of(config);
    const std::vector<float> positions = w.tensors.at("pos_embed").data;
    at_image_size(w, 64, exponent);
    CHECK(w.config.tokens() == 256);
    CHECK(factor(w) == doctest::Approx(expected));
    CHECK(w.tensors.at("pos_embed").data == resample_positions(positions, 8, 16));
    CHECK(w.tensors.at("pos_embed").shape == std::vector<int64_t>{1, 256, 8});
  }
  config.alpha = 0;
  Weights sum = weights_of(config);
  at_image_size(sum, 16, 1.0);
  CHECK(factor(sum) == doctest::Approx(4));                       // 1 at 64 tokens, so four times that at 16
  CHECK(ViT(*device, sum.config).config().alpha < 0);
  config.pool = "cls";
  Weights cls = weights_of(config);
  at_image_size(cls, 16, {});
  CHECK(cls.config.tokens() == 17);

  const auto refused = [&](const char* attention, const char* learn, int size) {
    ViTConfig c = config;
    c.pool = "gap", c.attention = attention, c.learn = learn;
    Weights w = weights_of(c);
    return error_of(ExitCode::usage, [&] { at_image_size(w, size, 1.0); });
  };
  CHECK(says(refused("softmax", "", 64), {"--alpha", "softmax has no exponent"}));
  CHECK(says(refused("relu", "alpha", 64), {"--alpha", "were learned"}));
  CHECK(says(refused("relu", "", 4), {"one token"}));
  CHECK(says(refused("relu", "", 2), {"patch"}));
}

TEST_SUITE_END();
