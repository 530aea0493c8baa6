// Every op and every attention function through the tape, and that no op of the models lacks a row here.
#include <set>
#include "models/vit.h"
#include "tests/double/gradient_check.h"

TEST_SUITE_BEGIN("gradients");

TEST_CASE("every op") {
  auto device = make_cpu(1);
  std::set<std::string> checked{"leaf"};
  for (const OpCase& c : op_cases())
    for (const std::string& op : check_gradients(*device, c)) checked.insert(op);
  for (const OpCase& c : activation_cases())
    for (const std::string& op : check_gradients(*device, c)) checked.insert(op);
  for (const OpCase& c : family_cases())
    for (const std::string& op : check_gradients(*device, c)) checked.insert(op);
  checked.insert("attention");       // the next test case

  std::vector<ViTConfig> configs;
  auto add = [&](auto change) {
    ViTConfig config{.image_size = 8,
                     .patch = 4,
                     .width = 8,
                     .depth = 1,
                     .heads = 2,
                     .mlp_width = 8,
                     .classes = 3,
                     .head_hidden = true,
                     .qk_norm = true,
                     .gate = true};
    change(configs.emplace_back(config));
  };
  for (const char* pool : {"gap", "cls", "map"})
    add([&](ViTConfig& c) { c.pool = pool, c.attention = "relu", c.learn = "alpha,bias,temperature,layerscale"; });
  for (const auto& family : LinearFamilies::all()) add([&](ViTConfig& c) { c.attention = family.name; });
  for (const char* form : {"differential", "laser", "talking-heads"}) add([&](ViTConfig& c) { c.form = form; });
  for (const char* norm : {"rms", "rela"}) add([&](ViTConfig& c) { c.output_norm = norm; });
  add([](ViTConfig& c) { c.gate_function = "sigmoid", c.block = "hybrid-norm"; });
  add([](ViTConfig& c) { c.gate = false, c.block = "gau"; });
  for (const ViTConfig& config : configs) {
    ViT vit(*device, config);
    std::vector<real> images(8 * 8 * 3);
    Tape tape(*device);
    vit.forward(tape, tape.leaf("images", {1, 8, 8, 3}, images.data()));
    std::set<std::string> leaves{"images", "constants"};
    for (const Parameter& p : vit.parameters().list()) leaves.insert(p.name);
    for (size_t i = 0; i < tape.size(); i++)
      if (std::string op(tape.op(i)); !leaves.count(op))
        CHECK_MESSAGE(checked.count(op), op << " of the ViT has no gradient check");
  }
}

TEST_CASE("every attention function, qk-norm and gate on and off") {
  auto device = make_cpu(1);
  for (const OpCase& c : attention_cases()) check_gradients(*device, c);
}
TEST_SUITE_END();
