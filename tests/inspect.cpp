// What is counted inside a model, against a recomputation in double from its q, k, v and dO; and that looking changes
// nothing.
#include <doctest/doctest.h>
#include <algorithm>
#include <numeric>

#include "models/attention/list.h"
#include "models/inspect.h"
#include "models/learned.h"
#include "models/maps.h"
#include "tests/attention_reference.h"
#include "tests/difference.h"
#include "tests/error_of.h"
#include "tests/inspected.h"
#include "tests/test_device.h"

TEST_SUITE_BEGIN("inspect");

namespace {

const std::vector<std::string> every_array{"S", "A", "dA", "dS", "q", "k", "v", "dO", "dq", "dk", "dv"};

// Mean, spread and range of values in two passes, under the names of head_columns.
struct Expected {
  double value, scale;
};
void describe(std::map<std::string, Expected>& all, const std::string& name, const Row& values) {
  double mean = 0, variance = 0;
  for (const double x : values) mean += x / double(values.size());
  for (const double x : values) variance += (x - mean) * (x - mean) / double(values.size());
  const auto [least, most] = std::minmax_element(values.begin(), values.end());
  const double scale = std::max({std::abs(*least), std::abs(*most), 1e-30});
  // 2e-7 of the largest value is the rounding of float
  const double spread = std::max(std::sqrt(variance), 0.02 * scale);
  all[name + "_mean"] = {mean, spread}, all[name + "_std"] = {std::sqrt(variance), spread},
             all[name + "_min"] = {*least, scale}, all[name + "_max"] = {*most, scale};
}
double mean_of(const Row& values) { return std::accumulate(values.begin(), values.end(), 0.0) / double(values.size()); }
double norm_of(const Row& values) {
  return std::sqrt(std::inner_product(values.begin(), values.end(), values.begin(), 0.0));
}

// The statistics of one head, from nothing but q, k, v and dO [N, H, L, d].
std::map<std::string, Expected> recompute(const AttentionStatistics& kept, const ViTConfig& c, int N, int head) {
  const int L = c.tokens(), d = c.head_width(), first = c.pool == "cls", side = c.grid();
  const ReferenceFunction f = reference_function(c.attention, c.alpha);
  Row S, A, dA, dS, row_sum, D, keys, entropy, top, distance, parts[6];
  double zeros = 0, negative = 0, dead = 0, asked = 0, passed = 0, flat = 0;
  for (int b = 0; b < N; b++) {
    const auto at = [&](const char* name, int i, int x) {
      return double(kept.kept(name)[((size_t(b) * c.heads + head) * L + i) * d + x]);
    };
    std::vector<Row> dq(L, Row(d)), dk = dq, dv = dq;
    for (int i = 0; i < L; i++) {
      Row s(L), da(L);
      for (int j = 0; j < L; j++)
        for (int x = 0; x < d; x++)
          s[j] += at("q", i, x) * at("k", j, x) / std::sqrt(d), da[j] += at("dO", i, x) * at("v", j, x);
      const Row a = f.forward(s), ds = f.backward(s, da);
      double sum = 0, mass = 0, D_i = 0, squares = 0, logs = 0, largest = 0, reach = 0, patches = 0;
      for (int j = 0; j < L; j++) sum += a[j], mass += std::abs(a[j]), D_i += a[j] * da[j];
      for (int j = 0; j < L; j++) {
        const double p = std::abs(a[j]) / mass;
        squares += p * p, logs -= p > 0 ? p * std::log(p) : 0, largest = std::max(largest, p);
        if (j >= first)
          patches += p,
              reach += p * c.patch *
                       std::hypot((j - first) / side - (i - first) / side, (j - first) % side - (i - first) % side);
        zeros += a[j] == 0, negative += a[j] < 0, asked += da[j] != 0, passed += da[j] != 0 && ds[j] != 0;
        const double x = c.attention == "sigmoid-bias" ? s[j] - std::log(L) : s[j];
        flat += c.attention == "relu6" ? s[j] >= 6 : 4 / ((1 + std::exp(x)) * (1 + std::exp(-x))) < 0.01;
        for (int x = 0; x < d; x++)
          dq[i][x] += ds[j] * at("k", j, x) / std::sqrt(d), dk[j][x] += ds[j] * at("q", i, x) / std::sqrt(d),
              dv[j][x] += a[j] * at("dO", i, x);
      }
      for (auto [to, from] : {std::pair{&S, &s}, {&dA, &da}}) to->insert(to->end(), from->begin(), from->end());
      A.insert(A.end(), a.begin(), a.end()), dS.insert(dS.end(), ds.begin(), ds.end());
      row_sum.push_back(sum), D.push_back(D_i);
      dead += mass == 0;
      if (mass == 0) continue;
      keys.push_back(1 / squares), entropy.push_back(logs), top.push_back(largest);
      if (i >= first && patches > 0) distance.push_back(reach / patches);
    }
    for (int i = 0; i < L; i++)
      for (int x = 0; x < d; x++) {
        const double values[] = {at("q", i, x), at("k", i, x), at("v", i, x), dq[i][x], dk[i][x], dv[i][x]};
        for (int p = 0; p < 6; p++) parts[p].push_back(values[p]);
      }
  }
  std::map<std::string, Expected> all;
  describe(all, "S", S), describe(all, "A", A), describe(all, "dA", dA), describe(all, "dS", dS),
      describe(all, "row_sum", row_sum), describe(all, "D", D);
  const double n = double(S.size());
  all["zeros"] = {zeros / n, 0}, all["negative"] = {negative / n, 0},
  all["dead_rows"] = {dead / double(row_sum.size()), 0}, all["duty"] = {passed / asked, 0},
  all["saturated"] = {saturation_of(c.attention, L).any() ? flat / n : NAN, 0};
  all["gradient_ratio"] = {norm_of(dS) / norm_of(dA), 0};
  all["keys"] = {mean_of(keys), 0}, all["entropy"] = {mean_of(entropy), 0}, all["top"] = {mean_of(top), 0},
  all["distance"] = {mean_of(distance), 0};
  for (int p = 0; const char* name : {"q", "k", "v", "dq", "dk", "dv"})
    all[name + std::string("_norm")] = {norm_of(parts[p++]), 0};
  return all;
}

}  // namespace

TEST_CASE("every number of every layer and head is that of q, k, v and dO") {
  for (const char* attention : {"softmax", "relu", "gelu", "relu6", "sigmoid", "sigmoid-bias"}) {
    auto device = test_device(2);
    const ViTConfig c = config_of(attention);
    ViT vit(*device, c);
    const MadeUpBatch batch = made_up_batch(c, 3);
    train_a_little(vit, batch);
    const Inspection in =
        inspect(vit, batch.images, batch.labels, {.batch = 2, .pictures = 1, .arrays = every_array, .layers = {}});
    CHECK(in.broken.empty());
    for (int layer = 0; layer < c.depth; layer++)
      for (int head = 0; head < c.heads; head++) {
        const auto expected = recompute(*in.probes[layer], c, 3, head);
        REQUIRE(expected.size() == head_columns().size());
        for (const HeadColumn& column : head_columns()) {
          const double got = column.value(in.heads[layer][head]), want = expected.at(column.name).value;
          CHECK_MESSAGE(((std::isnan(got) && std::isnan(want)) ||
                         std::abs(got - want) <= 1e-5 * std::max(std::abs(want), expected.at(column.name).scale)),
                        attention << " layer " << layer << " head " << head << " " << column.name << ": " << got
                                  << ", expected " << want);
        }
        const AttentionStatistics::Histograms& h = in.probes[layer]->histograms()[head];
        CHECK(h.S.total() == size_t(3 * c.tokens() * c.tokens()));
        CHECK(h.A.counts[Histogram::side] == uint64_t(in.heads[layer][head].zeros));
      }
    if (attention == std::string("relu6")) CHECK(in.heads[0][0].saturated > 0);
  }
}

TEST_CASE("the loss and the gradients of parameters are those of one batch, whatever the batches") {
  auto device = test_device(1);
  const ViTConfig c = config_of("relu");
  ViT vit(*device, c);
  const MadeUpBatch batch = made_up_batch(c, 3);
  train_a_little(vit, batch);
  const Inspection whole = inspect(vit, batch.images, batch.labels, {}),
                   parts = inspect(vit, batch.images, batch.labels, {.batch = 2, .arrays = {}, .layers = {}});
  CHECK(parts.loss == doctest::Approx(whole.loss).epsilon(1e-6));
  REQUIRE(parts.parameters.size() == vit.parameters().list().size());
  for (size_t i = 0; i < parts.parameters.size(); i++) {
    CHECK(parts.parameters[i].gradient_norm == doctest::Approx(whole.parameters[i].gradient_norm).epsilon(1e-4));
    CHECK(parts.parameters[i].gradient_norm > 0);
  }
  CHECK(parts.heads[1][2].D.sum == doctest::Approx(whole.heads[1][2].D.sum).epsilon(1e-4));
}

TEST_CASE("the same bits of every number for any number of threads") {
  const ViTConfig c = config_of("relu");
  const MadeUpBatch batch = made_up_batch(c, 24);
  std::vector<double> numbers[2];
  for (const int threads : {1, 3}) {
    auto device = test_device(threads);
    ViT vit(*device, c);
    train_a_little(vit, batch);
    const Inspection in = inspect(vit, batch.images, batch.labels, {});
    for (const auto& layer : in.heads)
      for (const HeadStatistics& head : layer)
        for (const HeadColumn& column : head_columns()) numbers[threads > 1].push_back(column.value(head));
  }
  for (size_t i = 0; i < numbers[0].size(); i++)
    CHECK((numbers[0][i] == numbers[1][i] || (std::isnan(numbers[0][i]) && std::isnan(numbers[1][i]))));
}

TEST_CASE("a probed update has the bits of one that is not") {
  for (const Precision precision : {Precision::f32, Precision::bf16}) {
    auto device = test_device(2, precision);
    ViTConfig c = config_of("relu");
    if (precision == Precision::bf16) c.width = 128, c.heads = 2;  // 64 channels a head: on CUDA fused, but for a probe
    const MadeUpBatch batch = made_up_batch(c, 4);
    std::vector<std::vector<float>> weights;
    for (const bool probed : {false, true})
      for (const bool rematerialise : {false, true}) {
        ViT vit(*device, c);
        train_a_little(vit, batch);
        Adam adam(vit.parameters(), {});
        TrainStep step(vit, adam, {.micro_batch = 2, .rematerialise = rematerialise});
        std::vector<std::unique_ptr<AttentionStatistics>> statistics;
        std::vector<AttentionProbe*> probes;
        for (int i = 0; i < c.depth && probed; i++)
          statistics.push_back(std::make_unique<AttentionStatistics>(c, 2)), probes.push_back(statistics.back().get());
        step.load(batch.images, batch.labels);
        step.start(1, 1, probes);
        step.finish();
        for (const auto& s : statistics) CHECK(s->heads()[0].rows == 4 * c.tokens());
        weights.push_back(vit.parameters().get(vit.parameters().find("blocks.1.attn.qkv.weight")));
      }
    for (const auto& w : weights) CHECK(w == weights[0]);
  }
}

// At initialisation scores are close to N(0, 1), so the sum of L weights h(s)/L is E[h], and L times the sum of their
// squares E[h²].
TEST_CASE("row sums and squares at initialisation are those of normal scores") {
  if (on_cuda()) return;                                                 // a large model, for the emulation
  const std::map<std::string, std::pair<double, double>> table = {{"relu", {0.399, 0.500}},
                                                                  {"relu2", {0.500, 1.5}},
                                                                  {"relu6", {0.399, 0.500}},
                                                                  {"gelu", {0.282, 0.425}},
                                                                  {"softplus", {0.806, 0.921}},
                                                                  {"identity", {0, 1}},
                                                                  {"sigmoid", {0.500, 0.293}},
                                                                  {"silu", {0.207, 0.356}},
                                                                  {"mish", {0.240, 0.452}},
                                                                  {"elu", {0.161, 0.645}},
                                                                  {"elu1", {1.161, 1.966}},
                                                                  {"leaky", {0.395, 0.500}},
                                                                  {"tanh", {0, 0.394}},
                                                                  {"exp", {1.649, 7.389}},
                                                                  {"laplace", {0.248, 0.199}},
                                                                  {"square", {1, 3}},
                                                                  {"cube", {0, 15}},
                                                                  {"taylor2", {1.5, 3.75}},
                                                                  {"stable", {1.206, 2.0}},
                                                                  {"sigmoid-bias", {1.613, 6.631}},
                                                                  {"reluformer", {7.899, 196}}};
  for (const auto& [attention, expected] : table) {
    auto device = test_device(2);
    ViTConfig c{.image_size = 56, .patch = 4, .width = 384, .depth = 1, .heads = 6, .mlp_width = 64, .classes = 10};
    c.attention = attention, c.qk_norm = true;
    ViT vit(*device, c);
    vit.initialise(3);
    const MadeUpBatch batch = made_up_batch(c, 2);
    const Inspection in = inspect(vit, batch.images, batch.labels, {});
    HeadStatistics all;
    for (const HeadStatistics& h : in.heads[0]) all.merge(h);
    CAPTURE(attention);
    CHECK(all.S.mean() == doctest::Approx(0).epsilon(0.05));
    CHECK(all.S.std() == doctest::Approx(1).epsilon(0.05));
    CHECK(std::abs(all.row_sum.mean() - expected.first) < 0.01 + 0.02 * expected.first);
    // s^6 feels that |s| is at most 8
    CHECK(all.A.squares / all.rows * c.tokens() ==
          doctest::Approx(expected.second).epsilon(attention == "cube" ? 0.15 : 0.1));
  }
}

TEST_CASE("every block, form and family can be looked at") {
  auto device = test_device(2);
  const auto look = [&](const char* attention, auto change) {
    ViTConfig c = config_of(attention);
    c.heads = 4, c.pool = "gap", change(c);
    ViT vit(*device, c);
    const MadeUpBatch batch = made_up_batch(c, 3);
    vit.initialise(1);
    vit.parameters().set("head.weight", random_values(vit.parameters().find("head.weight").shape.size(), 2));
    Inspection in = inspect(vit, batch.images, batch.labels,
                            {.batch = 2,
                             .pictures = 1,
                             .arrays = is_linear(c.attention) ? std::vector<std::string>{} : every_array,
                             .layers = {}});
    CHECK(in.broken.empty());
    for (const auto& layer : in.heads) {
      REQUIRE(int(layer.size()) == c.attention_heads());
      for (const HeadStatistics& h : layer) {
        if (is_linear(c.attention)) { CHECK(h.rows == 0); continue; }
        CHECK(h.rows == 3 * c.tokens());
        CHECK(h.q.count == 3.0 * c.tokens() * c.head_width());
        CHECK(h.dv.count == 3.0 * c.tokens() * c.value_width());
        CHECK(h.dq.norm() > 0);
        CHECK(h.dv.norm() > 0);
      }
    }
    return in;
  };
  for (const char* form : {"differential", "talking-heads", "laser"})
    look("softmax", [&](ViTConfig& c) { c.form = form; });
  for (const char* block : {"gau", "hybrid-norm"}) {
    // every array is filled to its end
    const Inspection in = look("relu", [&](ViTConfig& c) { c.block = block, c.gate = false; });
    for (const std::string& name : every_array)
      for (const float x : in.probes[1]->kept(name)) REQUIRE(std::isfinite(x));
  }
  const Inspection hydra = look("hydra", [](ViTConfig&) {});
  CHECK(hydra.parameters[0].gradient_norm > 0);
  CHECK(!hydra.has_weights(0));
}

TEST_CASE("what heads have learned, as it is read") {
  auto device = test_device(1);
  ViTConfig c = config_of("relu");
  c.learn = "gamma,bias-layer,temperature,layerscale:0.5";
  ViT vit(*device, c);
  vit.initialise(1);
  vit.parameters().set("blocks.1.attn.log_gamma", {0, std::log(2.0f), -1});
  vit.parameters().set("blocks.1.ls2.gamma", std::vector<float>(48, -0.25f));
  const std::vector<LearnedNumber> numbers = learned_numbers(vit.parameters(), c, 1);
  REQUIRE(numbers.size() == 5);
  std::map<std::string, std::vector<double>> by_name;
  for (const LearnedNumber& n : numbers) by_name[n.name] = n.values;
  CHECK(by_name.at("gamma")[1] == doctest::Approx(2));
  CHECK(by_name.at("bias") == std::vector<double>{0});
  CHECK(by_name.at("temperature") == std::vector<double>(3, 1));
  CHECK(by_name.at("layerscale_attention")[0] == doctest::Approx(0.5));
  CHECK(by_name.at("layerscale_mlp")[0] == doctest::Approx(0.25));

  ViTConfig d = config_of("softmax");
  d.form = "differential", d.heads = 4, d.width = 16;                    // as many heads as a head has channels
  ViT two(*device, d);
  two.initialise(1);
  for (const char* part : {"q1", "k1", "q2", "k2"})
    two.parameters().set(fmt::format("blocks.2.attn.lambda_{}", part),
                         std::vector<float>(4, part[1] == '1' ? 0.5f : 0));
  const std::vector<LearnedNumber> lambda = learned_numbers(two.parameters(), d, 2);
  REQUIRE(lambda.size() == 1);
  CHECK(lambda[0].name == "lambda");
  CHECK(lambda[0].values[0] == doctest::Approx(std::exp(1.0) - 1 + 0.8 - 0.6 * std::exp(-0.6)));
}

TEST_CASE("maps: rows of A, and rollout") {
  ViTConfig c{
      .image_size = 4, .patch = 2, .width = 4, .depth = 1, .heads = 1, .mlp_width = 4, .classes = 2, .pool = "cls"};
  const TokenGrid grid(c);
  std::vector<float> A(25);
  for (int i = 0; i < 25; i++) A[i] = float(i / 5 * 10 + i % 5);
  CHECK(query_map({Query::Kind::class_token}, A, grid) == std::vector<double>{1, 2, 3, 4});
  CHECK(query_map({Query::Kind::patch, 1, 0}, A, grid) == std::vector<double>{31, 32, 33, 34});
  CHECK(query_map({Query::Kind::mean}, A, grid) == std::vector<double>{21, 22, 23, 24});
  // One layer: half of the class token's row of P. Two: (P + I)² / 4, of which the row of a token that looks at itself
  // stays.
  std::vector<float> P(25);
  P[1] = -3, P[2] = 1;
  for (int i = 1; i < 5; i++) P[i * 5 + i] = 2;
  CHECK(rollout({P}, 1, grid) == std::vector<double>{0.375, 0.125, 0, 0});
  CHECK(rollout({P, P}, 1, grid) == std::vector<double>{0.5625, 0.1875, 0, 0});
  CHECK(rollout({std::vector<float>(25)}, 1, grid) == std::vector<double>(4));       // dead rows pass nothing on
}

TEST_CASE("queries, layers and arrays that are not there") {
  const ViTConfig c = config_of("relu");
  ViTConfig gap = c;
  gap.pool = "gap";
  CHECK(parse_queries({}, TokenGrid(c)).at(0).kind == Query::Kind::class_token);
  CHECK(parse_queries({}, TokenGrid(gap)).at(0).kind == Query::Kind::mean);
  for (const char* text : {"4:0", "0:-1", "1", "1:2x", "", "cls"})
    CHECK(says(error_of(ExitCode::usage, [&] { parse_queries({text}, TokenGrid(gap)); }), {"--queries", text, "3:3"}));
  CHECK(says(error_of(ExitCode::usage, [&] { check_arrays(c, {.arrays = {}, .layers = {3}}, 1); }),
             {"--layers: 3", "3 layers"}));
  CHECK(says(error_of(ExitCode::usage, [&] { check_arrays(c, {.arrays = {"W"}, .layers = {}}, 1); }), {"'W'", "dA"}));
  CHECK(says(error_of(ExitCode::usage, [&] { check_arrays(c, {.arrays = {"S"}, .layers = {}}, 1000000); }),
             {"1000000 images", "GB", "fewer --images"}));
}

TEST_CASE("bins hold what lies between their edges") {
  for (const float x : {1.0f, 1.1f, 1.125f, 1.99f, 2.0f, 3.3e-7f, 5e8f, 0.0f}) {
    for (const float sign : {1.0f, -1.0f}) {
      const int b = Histogram::bin_of(sign * x);
      CHECK(Histogram::edge(b) <= sign * x);
      CHECK(sign * x <= Histogram::edge(b + 1));
      CHECK(Histogram::edge(b + 1) - Histogram::edge(b) <= 0.126 * x + 1e-18);
    }
  }
  CHECK(Histogram::bin_of(0) == Histogram::bin_of(1e-30f));
  CHECK(Histogram::bin_of(INFINITY) == Histogram::bins - 1);
  CHECK(Histogram::bin_of(-1e30f) == 0);
}

TEST_SUITE_END();
