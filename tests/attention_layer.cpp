// The attention of a block, for every function, linear family, form, norm, gate and block.
#include <doctest/doctest.h>
#include <cmath>
#include <set>
#include "engine/attention/laser.h"
#include "engine/ops/layernorm.h"
#include "engine/ops/loss.h"
#include "models/attention/list.h"
#include "models/checkpoint.h"
#include "models/train_step.h"
#include "tests/attention_layer_reference.h"
#include "tests/difference.h"
#include "tests/error_of.h"
#include "tests/synthetic.h"
#include "tests/temp_dir.h"
#include "tests/test_device.h"

TEST_SUITE_BEGIN("attention layer");

namespace {

ViTConfig small(const std::string& attention) {
  return {.image_size = 16,
          .patch = 4,
          .width = 24,
          .depth = 2,
          .heads = 4,
          .mlp_width = 24,
          .classes = 5,
          .pool = "cls",
          .attention = attention};
}

// A config for everything that has a formula of its own.
std::vector<ViTConfig> all_configs() {
  std::vector<ViTConfig> configs;
  auto add = [&](const std::string& attention, auto change) { change(configs.emplace_back(small(attention))); };
  for (const auto& f : attention_infos())
    if (f.number.empty()) add(f.name, [](ViTConfig& c) { c.alpha = 0.5; });  // those with a number: tests/attention.cpp
  for (const char* f : {"performer", "hydra", "sima", "cosformer"})
    add(f, [](ViTConfig& c) { c.qk_norm = c.gate = true; });
  for (const char* f : {"softmax", "relu", "sigmoid"}) {
    for (const char* form : {"differential", "talking-heads", "laser"})
      if (form != std::string("laser") || f != std::string("relu"))
        for (bool more : {false, true}) add(f, [&](ViTConfig& c) { c.form = form, c.qk_norm = c.gate = more; });
    for (const char* norm : {"rms", "rela"}) add(f, [&](ViTConfig& c) { c.output_norm = norm; });
    for (const char* block : {"hybrid-norm", "gau"})
      for (bool qk_norm : {false, true})
        add(f, [&](ViTConfig& c) { c.block = block, c.qk_norm = qk_norm, c.pool = "gap"; });
    add(f, [](ViTConfig& c) { c.gate = true, c.gate_function = "sigmoid"; });
  }
  // several tiles
  for (const char* form : {"differential", "talking-heads"})
    add("softmax", [&](ViTConfig& c) { c.form = form, c.image_size = 80; });
  add("relu",
      [](ViTConfig& c) { c.form = "talking-heads", c.output_norm = "rela", c.block = "hybrid-norm", c.gate = true; });
  return configs;
}
std::string describe(const ViTConfig& c) {
  return fmt::format("{} {} {} {} qk-norm {} gate {} {}", c.attention, c.form, c.output_norm, c.block, c.qk_norm,
                     c.gate, c.gate_function);
}

// Every parameter away from where it starts: a norm's scale of 1 or a bias of 0 would hide mistakes.
void randomise(ViT& vit) {
  vit.initialise(1);
  for (const Parameter& p : vit.parameters().list()) {
    std::vector<float> values = vit.parameters().get(p), noise = random_values(values.size(), p.offset);
    for (size_t i = 0; i < values.size(); i++) values[i] += 0.3f * noise[i];
    vit.parameters().set(p.name, values);
  }
}

}  // namespace

TEST_CASE("every layer computes the formulas of its papers") {
  auto device = test_device(2);
  for (const ViTConfig& c : all_configs()) for (const int layer : {0, 1}) {
    ViT vit(*device, c);
    randomise(vit);
    const int B = 2, L = c.tokens(), D = c.width;
    const std::vector<float> x = random_values(size_t(B) * L * D, 1), n = random_values(size_t(B) * L * D, 2);
    Tape tape(*device);
    const AttentionConstants constants(*device, c);
    const Shape shape{B, L, D};
    const DeviceValues memory(*device, n);
    Tensor normed = layernorm(tape, tape.leaf("n", shape, memory.data()), vit.parameters().leaf(tape, "norm.weight"),
                              vit.parameters().leaf(tape, "norm.bias"));
    const std::vector<float> normed_values = tape.download(normed);
    Tensor y =
        attention_layer({tape, vit.parameters()}, c, layer, tape.input("x", shape, x), normed, constants, nullptr);
    const std::vector<float> got = tape.download(y);
    std::vector<double> expected;
    for (int b = 0; b < B; b++) {
      auto rows = [&](const std::vector<float>& values) {
        Rows r;
        for (int i = 0; i < L; i++)
          r.emplace_back(values.begin() + (size_t(b) * L + i) * D, values.begin() + (size_t(b) * L + i + 1) * D);
        return r;
      };
      const Rows y = LayerReference{c, vit.parameters(), layer}(rows(x), rows(normed_values));
      const int read = layer == 1 && c.pool == "cls" ? 1 : L;  // of the last layer the class token alone
      for (int i = 0; i < read; i++) expected.insert(expected.end(), y[i].begin(), y[i].end());
    }
    INFO(describe(c), ", layer ", layer);
    CHECK(largest_error(got, expected) <= 5e-6);
  }
}

TEST_CASE("identity as a linear family is identity: values and gradients") {
  auto device = test_device(2);
  ViTConfig c = small("identity");
  std::vector<float> values, dx;
  std::map<std::string, std::vector<float>> gradients;
  for (const char* attention : {"identity", "linear-identity"}) {
    c.attention = attention;
    c.alpha = 0.5, c.qk_norm = true;
    ViT vit(*device, c);
    randomise(vit);
    const MadeUpBatch batch = made_up_batch(c, 3);
    Tape tape(*device);
    Tensor logits = vit.forward(tape, tape.input("images", {3, 16, 16, 3}, batch.images));
    const std::vector<float> z = tape.download(logits);
    tape.backward(mean(tape, loss_op(tape, "softmax", logits, tape.input("labels", {3, 5}, batch.labels))));
    if (values.empty()) values = z;
    else CHECK(largest_error(z, values) <= 1e-5);
    for (const Parameter& p : vit.parameters().list()) {
      const std::vector<float> g = vit.parameters().gradient(p);
      if (const auto found = gradients.find(p.name); found != gradients.end())
        CHECK_MESSAGE(norm_error(g, found->second) <= 2e-5, p.name);
      gradients[p.name] = g;
    }
  }
}

TEST_CASE("two steps give the same bits for any number of threads") {
  if (on_cuda()) return;
  for (const ViTConfig& c : all_configs()) {
    INFO(describe(c));
    std::vector<double> results[3];
    for (int threads : {1, 2, 3}) {
      auto device = test_device(threads);
      ViT vit(*device, c);
      vit.initialise(1);
      Adam adam(vit.parameters(), {.lr = 1e-2});
      TrainStep step(vit, adam, {.loss = "sigmoid"});
      const MadeUpBatch batch = made_up_batch(c, 5);
      for (int t = 0; t < 2; t++) {
        const StepResult r = step(batch.images, batch.labels, 1);
        results[threads - 1].insert(results[threads - 1].end(), {r.loss, r.gradient_norm});
      }
    }
    CHECK(results[1] == results[0]);
    CHECK(results[2] == results[0]);
  }
}

TEST_CASE("after the first step no memory is asked for, and rematerialised steps have the same bits") {
  for (const ViTConfig& c : all_configs()) {
    INFO(describe(c));
    std::vector<double> norms;
    for (bool rematerialise : {false, true}) {
      CountingDevice device;
      ViT vit(device, c);
      vit.initialise(1);
      Adam adam(vit.parameters(), {.lr = 1e-2});
      TrainStep step(vit, adam, {.loss = "sigmoid", .rematerialise = rematerialise});
      const MadeUpBatch batch = made_up_batch(c, 2);
      step(batch.images, batch.labels, 1);
      const int before = device.allocations;
      norms.push_back(step(batch.images, batch.labels, 1).gradient_norm);
      CHECK(device.allocations == before);
    }
    CHECK(norms[0] == norms[1]);
  }
}

TEST_CASE("one batch is learned by every family and form") {
  if (on_cuda()) return;                                               // tests/cuda/training.cpp compares steps
  auto device = test_device(2);
  for (const ViTConfig& each : all_configs()) {
    // tests/vit.cpp
    if (each.attention != "softmax" && !is_linear(each.attention) && each.form == "plain" &&
        each.output_norm == "none" && each.block == "pre-norm")
      continue;
    ViTConfig c = each;
    c.qk_norm = true;
    INFO(describe(c));
    ViT vit(*device, c);
    vit.initialise(1);
    Adam adam(vit.parameters(), {.lr = 3e-3, .weight_decay = 0});
    TrainStep step(vit, adam, {.loss = "softmax"});
    const MadeUpBatch batch = made_up_batch(c, 5);
    const double first = step(batch.images, batch.labels, 1).loss;
    StepResult last{};
    for (int t = 0; t < 30; t++) last = step(batch.images, batch.labels, 1);
    CHECK(last.loss < 0.6 * first);
    CHECK(last.correct == 5);
  }
}

TEST_CASE("every family and form trains in bf16, near what it computes in f32") {
  if (on_cuda()) return;
  auto f32 = test_device(2), bf16 = test_device(2, Precision::bf16);
  for (ViTConfig c : all_configs()) {
    c.qk_norm = true;
    INFO(describe(c));
    auto loss_after_a_step = [&](Device& device) {
      ViT vit(device, c);
      vit.initialise(1);
      Adam adam(vit.parameters(), {.lr = 1e-3, .weight_decay = 0});
      TrainStep step(vit, adam, {.loss = "softmax"});
      const MadeUpBatch batch = made_up_batch(c, 5);
      step(batch.images, batch.labels, 1);
      return step(batch.images, batch.labels, 1).loss;
    };
    CHECK(loss_after_a_step(*bf16) == doctest::Approx(loss_after_a_step(*f32)).epsilon(0.02));
  }
}

TEST_CASE("a model is the same after saving and loading: what is fixed comes with the architecture") {
  auto device = test_device(1);
  const TempDir dir;
  for (const ViTConfig& c : all_configs()) {
    INFO(describe(c));
    ViT vit(*device, c);
    randomise(vit);
    save_weights(dir.path() / "x.safetensors", vit, {}, {});
    const Loaded loaded = load_vit(*device, dir.path() / "x.safetensors", {});
    CHECK(loaded.vit->config() == c);
    auto logits = [&](const ViT& model) {
      Tape tape(*device, false);
      return tape.download(
          model.forward(tape, tape.input("images", {1, c.image_size, c.image_size, 3}, made_up_batch(c, 1).images)));
    };
    CHECK(logits(vit) == logits(*loaded.vit));
  }
}

TEST_CASE("Performer: directions are orthogonal in groups, others in each layer, and estimate softmax") {
  const int d = 16, m = int(d * std::log(d));
  const std::vector<double> w = Performer::constants(1, d, 0), other = Performer::constants(1, d, 1);
  REQUIRE(w.size() == size_t(m) * d);
  CHECK(w != other);
  CHECK(w == Performer::constants(99, d, 0));
  double square = 0;
  for (int r = 0; r < m; r++)
    for (int s = r; s < m && s / d == r / d; s++) {
      const double product =
          dot({w.begin() + r * d, w.begin() + (r + 1) * d}, {w.begin() + s * d, w.begin() + (s + 1) * d});
      if (r == s) square += product / m;
      else CHECK(std::abs(product) < 1e-10);
    }
  CHECK(square == doctest::Approx(d).epsilon(0.2));                     // as of a normal vector

  auto device = test_device(1);
  const int L = 9, D = 4, directions = 20000;
  std::vector<float> x = random_values(size_t(L) * 3 * D, 5), w_many = random_values(size_t(directions) * D, 6);
  for (float& v : x) v /= 2;                                            // large scores have estimates that spread
  Tape tape(*device, false);
  Tensor qkv = tape.input("qkv", {1, L, 3 * D}, x), many = tape.input("w", {directions, D}, w_many);
  Tensor q = positive_features(tape, {qkv}, 1, D, many, false), k = positive_features(tape, {qkv, D}, 1, D, many, true);
  const std::vector<float> estimate =
      tape.download(linear_attention(tape, {q}, {k}, {qkv, 2 * D}, 1, directions, D, true));
  const std::vector<float> exact = tape.download(attention(tape, {qkv}, {qkv, D}, {qkv, 2 * D}, 1, D, "softmax", 1));
  CHECK(norm_error(estimate, exact) < 0.05);
}

TEST_CASE("a query without a feature gets 0, not 0/0, and passes no gradient") {
  auto device = test_device(1);
  const int L = 5, d = 3;
  std::vector<float> x = random_values(size_t(L) * 3 * d, 1);
  for (int c = 0; c < d; c++) x[2 * 3 * d + c] = -1;                    // q of token 2
  const DeviceValues values(*device, x), gradient(*device, x);
  Tape tape(*device);
  Tensor qkv = tape.leaf("qkv", {1, L, 3 * d}, values.data(), gradient.data());
  Tensor o;
  LinearFamilies::visit("linear-relu", 1, L, [&](auto f) { o = f(tape, {{qkv}, {qkv, d}, {qkv, 2 * d}, 1, d, {}}); });
  const std::vector<float> output = tape.download(o);
  tape.backward(o);
  const std::vector<float> g = gradient.read();
  for (int c = 0; c < d; c++) {
    CHECK(output[2 * d + c] == 0);
    CHECK(g[2 * 3 * d + c] == 0);
  }
  for (float v : output) CHECK(std::isfinite(v));
  for (float v : g) CHECK(std::isfinite(v));
}

TEST_CASE("a NaN in a query is seen in its output") {
  auto device = test_device(1);
  const int L = 5, d = 4;
  for (const auto& family : LinearFamilies::all()) {
    INFO(family.name);
    std::vector<float> x = random_values(size_t(L) * 3 * d, 1);
    x[2 * 3 * d + 1] = NAN;
    Tape tape(*device, false);
    Tensor qkv = tape.input("qkv", {1, L, 3 * d}, x), o;
    LinearFamilies::visit(family.name, 1, L, [&](auto f) {
      Tensor constants;
      if (const std::vector<double> v = f.constants(L, d, 0); !v.empty())
        constants = tape.input("constants", f.constants_shape(L, d), std::vector<float>(v.begin(), v.end()));
      o = f(tape, {{qkv}, {qkv, d}, {qkv, 2 * d}, 1, d, constants});
    });
    const std::vector<float> output = tape.download(o);
    bool seen = false;
    for (int c = 0; c < d; c++) seen |= std::isnan(output[2 * d + c]);
    CHECK(seen);
  }
}

TEST_CASE("what makes no sense is refused with the reason") {
  auto refused = [](ViTConfig c, auto change) {
    change(c);
    return error_of(ExitCode::usage, [&] { check_config(c); });
  };
  const ViTConfig relu = small("relu"), hydra = small("hydra"), softmax = small("softmax");
  CHECK(says(refused(relu, [](ViTConfig& c) { c.form = "laser"; }), {"laser", "logarithm", "relu"}));
  for (const char* form : {"differential", "laser", "talking-heads"})
    CHECK(says(refused(hydra, [&](ViTConfig& c) { c.form = form; }), {form, "L x L weights", "hydra"}));
  CHECK(says(refused(softmax, [](ViTConfig& c) { c.form = "differential", c.heads = 3; }),
             {"differential", "3 of them", "even --heads"}));
  CHECK(
      says(refused(softmax, [](ViTConfig& c) { c.form = "differential", c.output_norm = "rms"; }), {"--output-norm"}));
  CHECK(says(refused(softmax, [](ViTConfig& c) { c.gate_function = "sigmoid"; }), {"--gate-function", "--gate too"}));
  CHECK(says(refused(hydra, [](ViTConfig& c) { c.block = "gau"; }), {"gau", "hydra"}));
  for (auto change : {+[](ViTConfig& c) { c.gate = true; }, +[](ViTConfig& c) { c.form = "laser"; },
                      +[](ViTConfig& c) { c.output_norm = "rms"; }})
    CHECK(says(refused(softmax, [&](ViTConfig& c) { c.block = "gau", c.pool = "gap", change(c); }),
               {"gau", "one head and a gate of its own"}));
  CHECK(says(refused(softmax, [](ViTConfig& c) { c.block = "gau"; }), {"gau", "class token", "--pool"}));
  for (const char* form : {"differential", "laser", "talking-heads"}) {
    CHECK(says(refused(softmax, [&](ViTConfig& c) { c.form = form, c.learn = "temperature"; }),
               {form, "numbers that heads learn", "layerscale"}));
    CHECK(says(refused(small("softmax-sink"), [&](ViTConfig& c) { c.form = form; }), {form}));
    CHECK(refused(softmax, [&](ViTConfig& c) { c.form = form, c.learn = "layerscale"; }) == "no error");
  }
  for (const char* learn : {"alpha", "layerscale,alpha", "bias,layerscale"})
    CHECK(says(refused(hydra, [&](ViTConfig& c) { c.learn = learn; }), {learn, "hydra never makes"}));
  CHECK(refused(hydra, [](ViTConfig& c) { c.learn = "layerscale"; }) == "no error");
  CHECK(says(refused(softmax, [](ViTConfig& c) { c.block = "hybrid-norm", c.learn = "layerscale:0.1"; }),
             {"hybrid-norm", "layerscale"}));
  CHECK(says(refused(softmax, [](ViTConfig& c) { c.block = "gau", c.pool = "gap", c.learn = "layerscale"; }),
             {"gau", "--learn"}));
  CHECK(says(refused(softmax, [](ViTConfig& c) { c.block = "gau", c.pool = "gap", c.gate_function = "sigmoid"; }),
             {"--gate-function out"}));
  CHECK(says(refused(softmax, [](ViTConfig& c) { c.form = "sparse"; }), {"attention form", "'sparse'"}));
  CHECK(says(refused(softmax, [](ViTConfig& c) { c.output_norm = "batch"; }), {"output norm", "'batch'"}));
  CHECK(says(refused(softmax, [](ViTConfig& c) { c.block = "post-norm"; }), {"block", "'post-norm'"}));
  CHECK(says(refused(softmax, [](ViTConfig& c) { c.gate = true, c.gate_function = "tanh"; }),
             {"gate function", "'tanh'"}));

  auto device = test_device(1);
  ViT vit(*device, hydra);
  struct Probe : AttentionProbe { void tile(const AttentionTile&) override {} } probe;
  AttentionProbe* probes[] = {&probe, &probe};
  Tape tape(*device);
  CHECK(says(error_of(ExitCode::usage,
                      [&] {
                        vit.forward(tape, tape.input("images", {1, 16, 16, 3}, std::vector<float>(16 * 16 * 3)),
                                    probes);
                      }),
             {"hydra", "no L x L"}));
}

TEST_CASE("operations counted: 4 L d² a head in place of 4 L² d") {
  auto flops = [](const char* attention, auto change) {
    ViTConfig c = small(attention);
    c.pool = "gap", change(c);
    return forward_flops(c);
  };
  auto plain = [](ViTConfig&) {};
  const double L = 16, D = 24, d = 6, H = 4, depth = 2;
  const double softmax = flops("softmax", plain);
  CHECK(flops("relu", plain) == softmax);
  CHECK(flops("linear-elu1", plain) - softmax == doctest::Approx(depth * H * (4 * L * d * d - 4 * L * L * d)));
  CHECK(flops("cosformer", plain) - softmax == doctest::Approx(depth * H * (8 * L * d * d - 4 * L * L * d)));
  CHECK(flops("softmax", [](ViTConfig& c) { c.form = "differential"; }) == softmax);
  CHECK(flops("softmax", [](ViTConfig& c) { c.form = "talking-heads"; }) - softmax ==
        doctest::Approx(depth * 4 * H * H * L * L));
  // its last block ends with one token: projection and MLP, 3 D² a token
  const double cls = flops("softmax", [](ViTConfig& c) { c.pool = "cls"; }), more = L + 1;
  CHECK(cls - softmax == doctest::Approx(2 * depth * (6 * D * D + 2 * D * (more * more - L * L)) - 2 * 3 * L * D * D));
  const double mlp = 4 * L * D * D, attention = 8 * L * D * D + 4 * L * L * D;      // the MLP is D wide here
  CHECK(flops("softmax", [](ViTConfig& c) { c.block = "gau"; }) - softmax ==
        doctest::Approx(depth * (2 * L * D * (6 * D + d) + 2 * L * L * (d + 2 * D) - attention - mlp)));
}

// Shows each form's tiles to a probe and adds up what it makes of them.
TEST_CASE("a probe sees the maps of differential, talking heads and LASER, and changes no bit") {
  auto device = test_device(2);
  for (const char* form : {"differential", "talking-heads", "laser"}) {
    ViTConfig c = small("softmax");
    c.form = form;
    INFO(form);
    struct Sums : AttentionProbe {
      std::vector<int> forward = std::vector<int>(2 * 4), backward = forward;      // rows shown, by image and head
      bool sums_to_one = true, slopes_right = true;
      int operands_shown = 0;
      double dv = 0;
      void operands(Device& device, const AttentionOperands& o) override {
        CHECK(o.n.H == 4);
        CHECK(o.n.dv == 6);  // of differential, half of a head's values for each map
        std::vector<real> last(o.n.dv);  // of the last image's last token and head
        device.download(last.data(), o.dv.at(o.n.B - 1, o.n.L - 1, o.n.H - 1, o.n.dv).full, last.size() * sizeof(real));
        for (real x : last) dv += std::abs(x);
        operands_shown++;
      }
      void tile(const AttentionTile& t) override {
        (t.dS ? backward : forward)[t.image * 4 + t.head] += t.rows;
        for (int i = 0; i < t.rows; i++) {
          const real *a = t.A + i * t.L, *s = t.S + i * t.L;
          double sum = 0, largest = *std::max_element(s, s + t.L), total = 0, product = 0;
          for (int j = 0; j < t.L; j++) sum += a[j], total += std::exp(s[j] - largest);
          for (int j = 0; j < t.L; j++)
            sums_to_one = sums_to_one && std::abs(a[j] - std::exp(s[j] - largest) / total) < 1e-6;
          sums_to_one = sums_to_one && std::abs(sum - 1) < 1e-5;
          if (!t.dS) continue;
          const real *da = t.dA + i * t.L, *ds = t.dS + i * t.L;
          for (int j = 0; j < t.L; j++) product += a[j] * da[j];
          for (int j = 0; j < t.L; j++)
            slopes_right = slopes_right && std::abs(ds[j] - a[j] * (da[j] - product)) < 1e-6;
        }
      }
    };
    auto step = [&](AttentionProbe* probe) {
      ViT vit(*device, c);
      randomise(vit);
      const MadeUpBatch batch = made_up_batch(c, 2);
      AttentionProbe* probes[] = {probe, nullptr};
      Tape tape(*device);
      Tensor logits =
          vit.forward(tape, tape.input("images", {2, 16, 16, 3}, batch.images),
                      probe ? std::span<AttentionProbe* const>(probes) : std::span<AttentionProbe* const>());
      tape.backward(mean(tape, loss_op(tape, "softmax", logits, tape.input("labels", {2, 5}, batch.labels))));
      std::vector<std::vector<float>> gradients{tape.download(logits)};
      for (const Parameter& p : vit.parameters().list()) gradients.push_back(vit.parameters().gradient(p));
      return gradients;
    };
    Sums seen;
    CHECK(step(&seen) == step(nullptr));
    CHECK(seen.forward == std::vector<int>(8, 17));
    CHECK(seen.backward == seen.forward);
    CHECK(seen.operands_shown == 1);
    CHECK(seen.dv > 0);
    CHECK(seen.sums_to_one);
    CHECK(seen.slopes_right);
  }
}

TEST_SUITE_END();
