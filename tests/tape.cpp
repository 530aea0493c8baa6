// The tape: accumulation, its errors, memory.
#include <doctest/doctest.h>
#include <functional>
#include <memory>
#include "engine/ops/activations.h"
#include "engine/ops/layernorm.h"
#include "engine/ops/mlp.h"
#include "engine/ops/loss.h"
#include "models/train_step.h"
#include "tests/difference.h"
#include "tests/error_of.h"
#include "tests/synthetic.h"
#include "tests/test_device.h"

TEST_SUITE_BEGIN("tape");

namespace {

// y = x Wᵀ + x for one row of two, W = [1 2; 3 4]: d Σy / dx = [1 + 3 + 1, 2 + 4 + 1]
struct Doubled {
  explicit Doubled(Device& device)
      : x(device, {1, 2}), w(device, {1, 2, 3, 4}), dx(device, {100, 200}), dw(device, {0, 0, 0, 0}) {}
  DeviceValues x, w, dx, dw;
  Tensor operator()(Tape& tape, bool add) {
    Tensor in = tape.leaf("x", {1, 2}, x.data(), dx.data(), add);
    return linear(tape, in, tape.leaf("w", {2, 2}, w.data(), dw.data(), add), {}, in);
  }
};

}  // namespace

TEST_CASE("gradients of a tensor that is used twice add up") {
  auto device = test_device(1);
  Tape tape(*device);
  Doubled doubled(*device);
  Tensor y = doubled(tape, false);
  CHECK(tape.download(y) == std::vector<float>{6, 13});
  tape.backward(y);
  CHECK(doubled.dx.read() == std::vector<float>{5, 7});
  CHECK(doubled.dw.read() == std::vector<float>{1, 2, 1, 2});
}

TEST_CASE("gradients are added to what a leaf had before, if asked for") {
  auto device = test_device(1);
  Tape tape(*device);
  Doubled doubled(*device);
  for (int pass = 0; pass < 3; pass++) {
    tape.clear();
    tape.backward(doubled(tape, true));
  }
  CHECK(doubled.dx.read() == std::vector<float>{115, 221});
  CHECK(doubled.dw.read() == std::vector<float>{3, 6, 3, 6});
}

TEST_CASE("a leaf on which the loss does not depend has gradient 0") {
  auto device = test_device(1);
  Tape tape(*device);
  const DeviceValues x(*device, {1, 2}), dx(*device, {7, 7}), unused_dx(*device, {7, 7});
  tape.leaf("unused", {2}, x.data(), unused_dx.data());
  tape.backward(mean(tape, tape.leaf("x", {2}, x.data(), dx.data())));
  CHECK(dx.read() == std::vector<float>{0.5f, 0.5f});
  CHECK(unused_dx.read() == std::vector<float>{0, 0});
}

TEST_CASE("errors") {
  auto device = test_device(1);
  Tape tape(*device);
  Doubled doubled(*device);
  Tensor y = doubled(tape, false);
  tape.backward(y);
  CHECK(says(error_of(ExitCode::failed, [&] { tape.backward(y); }), {"backward", "already", "clear"}));
  CHECK_FALSE(tape.is_lost(y));
  tape.drop(y);
  CHECK(tape.is_lost(y));
  CHECK(says(error_of(ExitCode::failed, [&] { tape.value(y); }), {"linear", "cannot compute it again"}));
  tape.clear();
  for (const std::function<void()>& use : std::initializer_list<std::function<void()>>{
           [&] { tape.value(y); }, [&] { tape.download(y); }, [&] { tape.gradient(y); }, [&] { tape.backward(y); },
           [&] { gelu(tape, y); }}) {
    tape.clear();
    CHECK(says(error_of(ExitCode::failed, use), {"tape", "[1, 2]", "cleared"}));
  }
  Tape other(*device);
  CHECK(says(error_of(ExitCode::failed, [&] { gelu(other, y); }), {"tape", "[1, 2]", "another tape"}));
  CHECK(
      says(error_of(ExitCode::failed, [&] { tape.input("x", {3}, std::vector<float>(2)); }), {"x", "2 values", "[3]"}));

  Tape inference(*device, false);
  y = doubled(inference, false);
  CHECK(says(error_of(ExitCode::failed, [&] { inference.backward(y); }), {"not recorded"}));
  inference.keep_only(inference.input("x", {1}, std::vector<float>(1)), y);
  CHECK(says(error_of(ExitCode::failed, [&] { inference.value(y); }), {"linear", "forgotten"}));
}

TEST_CASE("after clear the same computation gives the same bits, in the same memory") {
  auto device = test_device(1);
  const ViTConfig config = small_vit("relu");
  const MadeUpBatch batch = made_up_batch(config, 4);
  ViT vit(*device, config);
  vit.initialise(1);
  Tape tape(*device);
  std::vector<float> logits[2];
  size_t held = 0;
  for (auto& l : logits) {
    tape.clear();
    Tensor y = vit.forward(tape, tape.input("images", {4, 32, 32, 3}, batch.images));
    l = tape.download(y);
    tape.backward(y);
    vit.parameters().forget_gradients();
    CHECK((held == 0 || tape.bytes_held() == held));
    held = tape.bytes_held();
  }
  CHECK(logits[0] == logits[1]);
}

TEST_CASE(
    "a backward pass that is told what will be read gives the rest back as it goes: the same gradients in less "
    "memory") {
  auto device = test_device(1);
  ViTConfig config = small_vit("softmax");
  config.width = 192, config.mlp_width = 768, config.depth = 6;  // gradients as large as activations
  const MadeUpBatch batch = made_up_batch(config, 4);
  size_t held[2];
  std::vector<float> gradients[2], logits[2];
  for (const bool frees : {false, true}) {
    ViT vit(*device, config);
    vit.initialise(1);
    vit.parameters().set("head.weight", random_values(1920, 1));
    Tape tape(*device);
    Tensor y = vit.forward(tape, tape.input("images", {4, 32, 32, 3}, batch.images)),
           loss = mean(tape, loss_op(tape, "softmax", y, tape.input("labels", {4, config.classes}, batch.labels)));
    logits[frees] = tape.download(y);
    if (frees) tape.backward(loss, {loss, y});
    else tape.backward(loss);
    held[frees] = tape.bytes_held();
    CHECK(tape.download(y) == logits[frees]);
    CHECK(std::isfinite(tape.download(loss)[0]));
    for (size_t i = 0; i < tape.size(); i++)
      if (tape.op(i) == "attention") {
        CHECK(tape.is_lost(tape.tensor(i)) == frees);
        if (frees)
          CHECK(says(error_of(ExitCode::failed, [&] { tape.value(tape.tensor(i)); }), {"attention", "forgotten"}));
      }
    for (const Parameter& p : vit.parameters().list())
      for (const float g : vit.parameters().gradient(p)) gradients[frees].push_back(g);
  }
  CHECK(logits[0] == logits[1]);
  CHECK(gradients[0] == gradients[1]);
  CHECK(held[1] < 0.9 * double(held[0]));
}

TEST_CASE(
    "an MLP's gradients are those of its parts, its hidden layer kept or made again, and kept takes more memory") {
  struct Roomy final : CountingDevice {
    Roomy(std::unique_ptr<Device> device, size_t spare) : CountingDevice(std::move(device)), spare(spare) {}
    size_t spare_memory() const override { return spare; }
    size_t spare;
  };
  enum { parts, made_again, kept };
  for (const Precision precision : {Precision::f32, Precision::bf16})
    for (const bool has_residual : {false, true}) {
      const int C = 48, M = 192, rows = 64;
      std::vector<float> results[3];
      size_t held[3];
      for (const int way : {parts, made_again, kept}) {
        Roomy device(exact_test_device(1, precision), way == kept ? size_t(1) << 30 : 0);
        const DeviceValues x_values(device, random_values(rows * C, 1)), w1(device, random_values(M * C, 2)),
            w2(device, random_values(C * M, 3));
        const DeviceValues b1(device, random_values(M, 4)), b2(device, random_values(C, 5));
        const DeviceValues dx(device, std::vector<float>(rows * C)), dw1(device, std::vector<float>(M * C)),
            dw2(device, std::vector<float>(C * M)), db1(device, std::vector<float>(M)),
            db2(device, std::vector<float>(C));
        Tape tape(device);
        const MlpParameters p{
            tape.leaf("w1", {M, C}, w1.data(), dw1.data()), tape.leaf("b1", {M}, b1.data(), db1.data()),
            tape.leaf("w2", {C, M}, w2.data(), dw2.data()), tape.leaf("b2", {C}, b2.data(), db2.data())};
        Tensor x = tape.leaf("x", {rows, C}, x_values.data(), dx.data()), residual = has_residual ? x : Tensor{};
        Tensor y = way == parts ? linear(tape, gelu(tape, linear(tape, x, p.w1, p.b1)), p.w2, p.b2, residual)
                                : mlp(tape, x, p, residual);
        tape.backward(y, {y});
        held[way] = tape.bytes_held();
        for (const std::vector<float>& part :
             {tape.download(y), dx.read(), dw1.read(), dw2.read(), db1.read(), db2.read()})
          results[way].insert(results[way].end(), part.begin(), part.end());
      }
      INFO(std::string(has_residual ? "residual, " : ""), std::string(precision == Precision::f32 ? "f32" : "bf16"));
      CHECK(largest_error(results[made_again], results[kept]) <= 1e-6);
      CHECK(norm_error(results[made_again], results[parts]) <= (precision == Precision::f32 ? 1e-6 : 1e-2));
      CHECK(held[made_again] < held[kept]);
    }
}

TEST_CASE("the memory of a training step is what its estimate says") {
  for (const Precision precision : {Precision::f32, Precision::bf16}) {
    auto device = test_device(2, precision);
    ViTConfig config = small_vit("relu");
    config.depth = 6;
    const MadeUpBatch batch = made_up_batch(config, 64);
    ViT vit(*device, config);
    Adam adam(vit.parameters(), {});
    TrainStep step(vit, adam, {.loss = "softmax"});
    step(batch.images, batch.labels, 1);
    const double estimate = 64 * kept_bytes(config, false, device->rounds_operands());
    CHECK(double(step.tape().bytes_held()) > 0.85 * estimate);
    CHECK(double(step.tape().bytes_held()) <
          1.15 * estimate + double(device->slab(0)));  // a GPU's pool asks for whole slabs
  }
}

TEST_CASE("a training step allocates nothing after the first") {
  CountingDevice device;
  {
    ViTConfig config = small_vit("relu");
    config.learn = "alpha,bias,temperature,layerscale";
    const MadeUpBatch batch = made_up_batch(config, 4);
    ViT vit(device, config);
    Adam adam(vit.parameters(), {});
    TrainStep step(vit, adam, {.loss = "sigmoid"});
    step(batch.images, batch.labels, 1);
    const int allocations = device.allocations;
    const size_t taken = step.tape().allocations();
    CHECK(taken > 0);
    for (int i = 0; i < 3; i++) step(batch.images, batch.labels, 1);
    CHECK(device.allocations == allocations);
    CHECK(step.tape().allocations() == taken);
    CHECK(device.releases == 0);
  }
  CHECK(device.releases == device.allocations);
}

TEST_CASE("what is dropped and computed again has the same bits") {
  auto device = test_device(1);
  const std::vector<float> x = random_values(64 * 48, 1);
  const DeviceValues w(*device, random_values(48 * 48, 2)), scale(*device, random_values(48, 3)),
      shift(*device, random_values(48, 4));
  std::vector<float> logits[2], dw[2], dscale[2];
  size_t held[2];
  for (const bool drop : {false, true}) {
    const DeviceValues dw_values(*device, std::vector<float>(48 * 48)), dscale_values(*device, std::vector<float>(48));
    Tape tape(*device);
    Tensor y = tape.input("x", {64, 48}, x), weight = tape.leaf("w", {48, 48}, w.data(), dw_values.data());
    Tensor s = tape.leaf("scale", {48}, scale.data(), dscale_values.data());
    for (int layer = 0; layer < 3; layer++) {
      Tensor n = layernorm(tape, y, s, tape.leaf("shift", {48}, shift.data())), h = linear(tape, n, weight);
      if (drop) tape.drop(n);
      Tensor a = gelu(tape, h);
      y = linear(tape, a, weight);
      if (drop) tape.drop(a);
    }
    held[drop] = tape.bytes_held();
    logits[drop] = tape.download(y);
    tape.backward(y);
    dw[drop] = dw_values.read();
    dscale[drop] = dscale_values.read();
  }
  CHECK(logits[0] == logits[1]);
  CHECK(dw[0] == dw[1]);
  CHECK(dscale[0] == dscale[1]);
  CHECK(held[1] < held[0]);
}

TEST_CASE("what follows a product piece by piece is what follows it as a pass of its own") {
  struct Passes final : CountingDevice {
    using CountingDevice::CountingDevice;
    bool keeps_pieces(const Gemm&, std::type_index, const void*) const override { return false; }
    void gemm_then(const Gemm& product, std::type_index body, const void* fields) override {
      Device::gemm_then(product, body, fields);
    }
    ColumnTeams column_teams(size_t, int) const override { return {16, 12, 5, 3}; }
    bool keeps_rounded_weights() const override { return true; }
  };
  for (const Precision precision : {Precision::f32, Precision::bf16}) {
    CountingDevice pieces(test_device(2, precision));
    Passes passes(test_device(2, precision));
    std::vector<float> results[2];
    for (Device* device : {static_cast<Device*>(&pieces), static_cast<Device*>(&passes)}) {
      const int C = 96, rows = 1500;
      const DeviceValues w(*device, random_values(C * C, 2)), b(*device, random_values(C, 3)),
          scale(*device, random_values(C, 4)), x_values(*device, random_values(rows * C, 1));
      const DeviceValues dw(*device, std::vector<float>(C * C)), db(*device, std::vector<float>(C)),
          dscale(*device, std::vector<float>(C)), dx(*device, std::vector<float>(rows * C));
      Tape tape(*device);
      Tensor x = tape.leaf("x", {rows, C}, x_values.data(), dx.data()),
             weight = tape.leaf("w", {C, C}, w.data(), dw.data()), bias = tape.leaf("b", {C}, b.data(), db.data());
      Tensor s = tape.leaf("scale", {C}, scale.data(), dscale.data());
      // read by layernorm, then as residual
      Tensor sum = linear(tape, x, weight, bias, x), n = layernorm(tape, sum, s, bias);
      Tensor y = mlp(tape, n, {weight, bias, weight, bias}, sum);
      Tensor z = linear(tape, y, weight);  // read by a product
      tape.backward(z);
      std::vector<float>& all = results[device == &passes];
      for (const std::vector<float>& part :
           {tape.download(z), tape.download(sum), dw.read(), db.read(), dscale.read(), dx.read()})
        all.insert(all.end(), part.begin(), part.end());
    }
    CHECK(largest_error(results[1], results[0]) <= (precision == Precision::f32 ? 1e-5 : 1e-3));
  }
}

TEST_CASE("what only products read is kept rounded, and says so where something else reads it") {
  CountingDevice device(exact_test_device(1, Precision::bf16));
  if (!device.rounds_operands()) return;
  const DeviceValues w(device, random_values(48 * 48, 2)), b(device, random_values(48, 3)),
      dw(device, std::vector<float>(48 * 48));
  Tape tape(device);
  Tensor weight = tape.leaf("w", {48, 48}, w.data(), dw.data()), bias = tape.leaf("b", {48}, b.data());
  Tensor x = tape.input("x", {64, 48}, random_values(64 * 48, 1)),
         a = layernorm(tape, x, bias, bias, Kept::for_products);
  for (float v : tape.download(a)) CHECK(v == from_bf16(to_bf16(v)));
  CHECK(says(error_of(ExitCode::failed, [&] { tape.value(a); }), {"layernorm", "[64, 48]", "products alone"}));
  const std::vector<float> before = tape.download(a);
  tape.drop(a);
  CHECK(tape.download(a) == before);
  Tensor y = linear(tape, a, weight);
  tape.keep_for_products(y);
  CHECK(says(error_of(ExitCode::failed, [&] { tape.value(y); }), {"linear", "products alone"}));
}

TEST_CASE("leaves are rounded once in the life of a tape that is told so, and anew by the next") {
  CountingDevice device(test_device(1, Precision::bf16));
  if (!device.rounds_operands()) return;
  std::vector<float> weights = random_values(32 * 48, 2);
  const DeviceValues w(device, weights);
  const std::vector<float> x = random_values(8 * 48, 1);
  auto pass = [&](Tape& tape) {
    tape.clear();
    return tape.download(linear(tape, tape.input("x", {8, 48}, x), tape.leaf("w", {32, 48}, w.data())));
  };
  const std::vector<float> expected = [&] { Tape tape(device, false); return pass(tape); }();
  Tape keeping(device, false);
  keeping.keep_leaves();
  CHECK(pass(keeping) == expected);
  const int held = device.allocations;
  for (float& v : weights) v *= 2;
  device.upload(w.data(), weights.data(), weights.size() * sizeof(float));
  CHECK(pass(keeping) == expected);                                       // as it was told
  CHECK(device.allocations == held);
  CHECK(device.packs <= 1);
  Tape next(device, false);
  next.keep_leaves();
  CHECK(pass(next) != expected);
}

TEST_CASE(
    "weights that are kept are packed once where the device has an order for them: the same products, by row alone for "
    "any number of threads") {
  for (const Precision precision : {Precision::f32, Precision::bf16}) {
    std::vector<float> results[3];
    for (const int threads : {1, 2, 3}) {
      CountingDevice device(test_device(threads, precision));
      const int rows = 700, in = 100, out = 130;
      const DeviceValues w(device, random_values(out * in, 2)), b(device, random_values(out, 3)),
          w2(device, random_values(in * out, 4)), b2(device, random_values(in, 5));
      const std::vector<float> x = random_values(rows * in, 1);
      auto pass = [&](Tape& tape, bool whole) {
        tape.clear();
        Tensor input = tape.borrow("x", {rows, in}, x), weight = tape.leaf("w", {out, in}, w.data()),
               bias = tape.leaf("b", {out}, b.data());
        const MlpParameters p{weight, bias, tape.leaf("w2", {in, out}, w2.data()), tape.leaf("b2", {in}, b2.data())};
        return tape.download(whole ? mlp(tape, input, p, {}) : linear(tape, input, weight, bias));
      };
      Tape plain(device, false), keeping(device, false);
      keeping.keep_leaves();
      for (const bool whole : {false, true}) {
        const std::vector<float> kept = pass(keeping, whole);
        CHECK(largest_error(kept, pass(plain, whole)) <= (precision == Precision::f32 ? 1e-6 : whole ? 4e-3 : 1e-6));
        CHECK(pass(keeping, whole) == kept);
        results[threads - 1].insert(results[threads - 1].end(), kept.begin(), kept.end());
      }
      CHECK(device.packs == (device.packed_bytes(out, in) > 0) + (device.packed_bytes(in, out) > 0));
    }
    CHECK(results[1] == results[0]);
    CHECK(results[2] == results[0]);
  }
}

TEST_CASE("dropping twice is dropping once") {
  auto device = test_device(1);
  Tape tape(*device);
  Tensor y = gelu(tape, tape.input("x", {2}, std::vector<float>{1, -1}));
  const std::vector<float> before = tape.download(y);
  tape.drop(y);
  tape.drop(y);
  Tensor other = gelu(tape, y);
  CHECK(tape.download(y) == before);
  CHECK(tape.value(y) != tape.value(other));
  CHECK(tape.value(other));
}

TEST_CASE("all but one tensor is given back where nothing is recorded, and nothing where it is") {
  auto device = test_device(1);
  const int C = 48, rows = 64;
  const DeviceValues w(*device, random_values(C * C, 2)), b(*device, random_values(C, 3));
  std::vector<float> sum[2];
  for (const bool recording : {true, false}) {
    Tape tape(*device, recording);
    Tensor before = tape.input("before", {rows, C}, random_values(rows * C, 4));
    Tensor x = tape.input("x", {rows, C}, random_values(rows * C, 1)), weight = tape.leaf("w", {C, C}, w.data()),
           bias = tape.leaf("b", {C}, b.data());
    Tensor h = linear(tape, x, weight), y = linear(tape, h, weight, bias, h);
    tape.keep_only(y, x);
    for (Tensor other : {x, h}) CHECK(tape.is_lost(other) == !recording);
    CHECK_FALSE(tape.is_lost(before));
    tape.input("other", {rows, C}, random_values(rows * C, 6));  // takes memory where it is free
    sum[recording] = tape.download(y);
  }
  CHECK(sum[0] == sum[1]);
}

TEST_CASE("without recording: the same logits, in memory that does not grow with the depth") {
  auto device = test_device(2);
  for (const char* pool : {"gap", "cls", "map"}) {
    std::vector<size_t> held, held_recorded;
    for (int depth : {3, 7}) {
      ViTConfig config = small_vit("gelu");
      config.pool = pool;
      config.depth = depth;
      const MadeUpBatch batch = made_up_batch(config, 4);
      ViT vit(*device, config);
      vit.initialise(1);
      vit.parameters().set("head.weight", random_values(480, 1));
      Tape recorded(*device), inference(*device, false);
      auto logits = [&](Tape& tape) {
        return tape.download(vit.forward(tape, tape.input("images", {4, 32, 32, 3}, batch.images)));
      };
      CHECK(logits(recorded) == logits(inference));
      held_recorded.push_back(recorded.bytes_held());
      held.push_back(inference.bytes_held());
    }
    CHECK(held[0] < held_recorded[0]);
    CHECK(held[1] == held[0]);
    CHECK(held_recorded[1] > 2 * held_recorded[0]);
  }
}

TEST_SUITE_END();
