// Adam, its schedule and the rounding of its first moment against numbers from BigVision and optax.
#include <doctest/doctest.h>
#include <limits>
#include "engine/ops/loss.h"
#include "engine/optimizer.h"
#include "engine/schedule.h"
#include "tests/error_of.h"
#include "tests/synthetic.h"
#include "tests/test_device.h"

TEST_SUITE_BEGIN("optimizer");

namespace {

std::vector<Parameter> kernel_and_bias() { return {{"a/bias", {1}, false}, {"a/kernel", {2}, true}}; }

void set_gradients(Parameters& parameters, const std::vector<float>& kernel, float bias) {
  Tape tape(parameters.device());
  auto set = [&](const char* name, const std::vector<float>& values) {
    parameters.device().upload(tape.add_gradient(parameters.leaf(tape, name)).data, values.data(),
                               values.size() * sizeof(float));
  };
  set("a/kernel", kernel), set("a/bias", {bias});
}

std::vector<float> kernel_then_bias(const Parameters& parameters) {
  std::vector<float> values = parameters.get(parameters.find("a/kernel"));
  values.push_back(parameters.get(parameters.find("a/bias"))[0]);
  return values;
}

}  // namespace

TEST_CASE(
    "gradients are zero until a pass made them, for parameters without a part in it, and after they were forgotten") {
  auto device = test_device(1);
  Parameters parameters(*device, {{"unused", {1}, false}, {"used", {40}, false}});          // one piece
  Adam adam(parameters, {});
  CHECK(parameters.gradients().size() == 1);
  CHECK(says(error_of(ExitCode::failed, [&] { adam.start(1); }), {"no gradients", "0 to 41", "backward"}));
  auto gradient = [&](const char* name) { return parameters.gradient(parameters.find(name)); };
  CHECK(gradient("used") == std::vector<float>(40));
  Tape tape(*device);
  { device->each(41, Fill{tape.temporary<real>(41).data, NAN}); }  // what their memory held before
  auto pass = [&] { tape.clear(), tape.backward(mean(tape, parameters.leaf(tape, "used"))); };
  pass();
  CHECK(gradient("used") == std::vector<float>(40, 0.025f));
  CHECK(gradient("unused") == std::vector<float>{0});
  pass();
  CHECK(gradient("used") == std::vector<float>(40, 0.05f));
  parameters.forget_gradients();
  CHECK(gradient("used") == std::vector<float>(40));
  pass();                                                                                    // nothing there to add to
  CHECK(gradient("used") == std::vector<float>(40, 0.025f));
}

TEST_CASE("three steps as optax makes them, with the first moment in bfloat16") {
  auto device = test_device(1);
  Parameters parameters(*device, kernel_and_bias());
  parameters.set("a/kernel", {1, -2});
  parameters.set("a/bias", {0.5f});
  Adam adam(parameters, {.lr = 1e-3, .weight_decay = 1e-4, .clip = 1});
  const struct { std::vector<float> kernel; float bias; double norm; std::vector<double> update; } steps[] = {
      {{0.3f, -0.1f}, 0.2f, std::sqrt(0.14), {0, 0, 0}},
      {{3, 4}, 0, 5, {-0.00053246, -0.00022779, -0.00033399}},
      {{-0.05f, 0.02f}, 0.7f, std::sqrt(0.4929), {-0.00079479, -0.00031888, -0.00075568}}};
  for (int t = 0; t < 3; t++) {
    const std::vector<float> before = kernel_then_bias(parameters);
    set_gradients(parameters, steps[t].kernel, steps[t].bias);
    CHECK(adam.step(schedule(t, 6, 2)) == doctest::Approx(steps[t].norm).epsilon(1e-6));
    CHECK(adam.count() == t + 1);
    const std::vector<float> after = kernel_then_bias(parameters);
    for (int i = 0; i < 3; i++) {
      INFO("step ", t, " value ", i, ": ", after[i] - before[i], " expected ", steps[t].update[i]);
      CHECK(std::abs(after[i] - before[i] - steps[t].update[i]) < 1.5e-7);      // float spacing at 2 is 2.4e-7
    }
  }
  const std::vector<float> end = kernel_then_bias(parameters);
  CHECK(end[0] == doctest::Approx(0.99867278).epsilon(1e-7));
  CHECK(end[1] == doctest::Approx(-2.00054646).epsilon(1e-7));
  CHECK(end[2] == doctest::Approx(0.49891034).epsilon(1e-7));
}

TEST_CASE("updates are optax's to the last bits: 1 - beta is that of the numbers, not of the rounded betas") {
  auto device = test_device(1);
  Parameters parameters(*device, kernel_and_bias());
  Adam adam(parameters, {.lr = 1, .weight_decay = 0, .clip = 1});
  const struct { std::vector<float> kernel; float bias; double update[3]; } steps[] = {
      {{0.3f, -0.1f}, 0.2f, {0.9999933242797852, -0.9999933242797852, 0.9999933242797852}},
      {{3, 4}, 0, {0.9649231433868408, 0.6555769443511963, 0.6679792404174805}},
      {{-0.05f, 0.02f}, 0.7f, {0.6948457360267639, 0.5189058780670166, 0.7556793689727783}}};
  for (const auto& step : steps) {
    parameters.set("a/kernel", {0, 0}), parameters.set("a/bias", {0});
    set_gradients(parameters, step.kernel, step.bias);
    adam.step(1);
    const std::vector<float> after = kernel_then_bias(parameters);
    for (int i = 0; i < 3; i++) CHECK(after[i] == doctest::Approx(-step.update[i]).epsilon(3e-7));
  }
}

TEST_CASE("bfloat16: to nearest, ties to even") {
  const float one = 1, next = 1 + 0x1p-7f, infinity = std::numeric_limits<float>::infinity();
  auto rounded = [](float x) { return from_bf16(to_bf16(x)); };
  CHECK(to_bf16(one) == 0x3f80);
  CHECK(rounded(next) == next);
  CHECK(rounded(1 + 0x1p-8f) == 1);                                     // halfway: to the even neighbour
  CHECK(rounded(next + 0x1p-8f) == 1 + 0x1p-6f);
  CHECK(rounded(std::nextafter(1 + 0x1p-8f, 2.0f)) == next);
  CHECK(rounded(-1 - 0x1p-8f) == -1);
  CHECK(std::signbit(rounded(-0.0f)));
  CHECK(rounded(std::numeric_limits<float>::denorm_min()) == 0);
  CHECK(rounded(std::numeric_limits<float>::max()) == infinity);
  CHECK(rounded(infinity) == infinity);
  CHECK(rounded(-infinity) == -infinity);
  for (const uint32_t bits : {0x7fc00000u, 0x7f800001u, 0xff800001u, 0x7fffffffu, 0xffffffffu})
    CHECK(std::isnan(rounded(std::bit_cast<float>(bits))));
  for (uint32_t bits = 0; bits < 65536; bits++)                          // what is a bfloat16 already stays
    if (const float x = from_bf16(bf16(bits)); !std::isnan(x) && to_bf16(x) != bits) FAIL_CHECK(bits);
}

TEST_CASE("schedule: linear warm-up, cosine decay, both from the count of updates") {
  const double expected[][2] = {{0, 0},     {1, 1e-4},         {5000, 0.5},      {9999, 0.9999},
                                {10000, 1}, {30000, 0.863123}, {51448, 0.500009}};
  for (const auto [update, multiplier] : expected)
    CHECK(schedule(int64_t(update), 92897, 10000) == doctest::Approx(multiplier).epsilon(1e-6));
  CHECK(schedule(92896, 92897, 10000) == doctest::Approx(3.6e-10).epsilon(0.01));
  CHECK(schedule(92897, 92897, 10000) == doctest::Approx(0));
  CHECK(schedule(100000, 92897, 10000) == doctest::Approx(0));
  CHECK(schedule(0, 10, 0) == 1);
}

TEST_CASE("global norm, over several chunks, for any number of threads") {
  const std::vector<float> x = random_values(3 * values_per_sum + 17, 1);
  double squares = 0;
  for (float value : x) squares += double(value) * value;
  double norms[3];
  for (int threads : {1, 2, 3}) {
    auto device = test_device(threads);
    Parameters parameters(*device, {{"x", {int(x.size())}, false}});
    parameters.set("x", x);
    norms[threads - 1] = GlobalNorm(parameters).of_values();
  }
  CHECK(norms[0] == doctest::Approx(std::sqrt(squares)).epsilon(1e-6));
  CHECK(norms[1] == norms[0]);
  CHECK(norms[2] == norms[0]);
}

TEST_CASE("clipping from the norm on, not below; weight decay on kernels alone") {
  auto device = test_device(1);
  const struct {
    double clip, kernel_gradient, first_moment;
  } cases[] = {{1, 0.5, 0.05}, {1, 4, 0.1}, {0, 4, 0.4}, {8, 4, 0.4}};
  for (const auto& c : cases) {
    Parameters parameters(*device, kernel_and_bias());
    Adam adam(parameters, {.clip = c.clip});
    set_gradients(parameters, {float(c.kernel_gradient), 0}, 0);
    CHECK(adam.step(0) == c.kernel_gradient);
    CHECK(from_bf16(adam.first_moment()[parameters.find("a/kernel").offset]) ==
          doctest::Approx(c.first_moment).epsilon(0.004));
  }
  Parameters parameters(*device, kernel_and_bias());
  parameters.set("a/kernel", {1, -2});
  parameters.set("a/bias", {3});
  Adam adam(parameters, {.weight_decay = 0.25});
  set_gradients(parameters, {0, 0}, 0);
  CHECK(adam.step(0.5) == 0);
  CHECK(kernel_then_bias(parameters) == std::vector<float>{0.875f, -1.75f, 3});  // not multiplied by the learning rate
}

TEST_CASE("a moving average begins where the parameters do, follows them, and takes their place") {
  auto device = test_device(1);
  Parameters parameters(*device, kernel_and_bias());
  parameters.set("a/kernel", {1, -2});
  MovingAverage average(parameters, 0.75);
  const size_t kernel = parameters.find("a/kernel").offset;
  const auto mean = [&] { return doctest::Approx(average.values()[kernel]).epsilon(1e-6); };
  CHECK(1 == mean());
  parameters.set("a/kernel", {3, 2});
  average.add();                                             // decay 1/10, then 2/11, ...
  CHECK(2.8 == mean());
  average.add();
  CHECK(3 - 0.2 * 2 / 11 == mean());
  parameters.set("a/kernel", {0, 2});
  for (int i = 0; i < 40; i++) average.add();                // from 26/35 on 3/4
  CHECK(average.count() == 42);
  const float before = average.values()[kernel];
  average.add();
  CHECK(0.75 * before == mean());
  parameters.set("a/kernel", {3, 2});
  const std::vector<float> saved = average.values();
  average.exchange();
  CHECK(kernel_then_bias(parameters) == std::vector<float>{saved[kernel], saved[kernel + 1], 0});
  CHECK(average.values()[kernel] == 3);
  average.exchange();
  CHECK(kernel_then_bias(parameters) == std::vector<float>{3, 2, 0});
  MovingAverage other(parameters, 0.75);
  other.restore(saved, average.count());
  other.add();
  average.add();
  CHECK(other.values() == average.values());
  CHECK(says(error_of(ExitCode::data, [&] { other.restore(std::vector<float>(2), 0); }), {"2 values", "expected 3"}));
}

TEST_CASE("a gradient that is not finite changes nothing") {
  auto device = test_device(1);
  for (const float bad : {NAN, INFINITY, -INFINITY}) {
    Parameters parameters(*device, kernel_and_bias());
    parameters.set("a/kernel", {1, -2});
    Adam adam(parameters, {});
    set_gradients(parameters, {0.5f, 0.25f}, 0.125f);
    adam.step(1);
    const auto values = kernel_then_bias(parameters);
    const auto first = adam.first_moment();
    const auto second = adam.second_moment();
    set_gradients(parameters, {0.5f, bad}, 0);
    CHECK(!std::isfinite(adam.step(1)));
    CHECK(kernel_then_bias(parameters) == values);
    CHECK(adam.first_moment() == first);
    CHECK(adam.second_moment() == second);
    CHECK(adam.count() == 1);
  }
}

TEST_CASE("a restored state goes on with the same bits") {
  auto device = test_device(1);
  Parameters whole(*device, kernel_and_bias()), resumed(*device, kernel_and_bias());
  Adam adam(whole, {}), again(resumed, {});
  auto step = [](Parameters& parameters, Adam& a, int t) {
    set_gradients(parameters, {0.1f * t, -0.3f}, 0.7f);
    a.step(0.5);
  };
  for (int t = 0; t < 3; t++) step(whole, adam, t);
  resumed.set("a/kernel", whole.get(whole.find("a/kernel")));
  resumed.set("a/bias", whole.get(whole.find("a/bias")));
  again.restore(adam.count(), adam.first_moment(), adam.second_moment());
  for (int t = 3; t < 6; t++) step(whole, adam, t), step(resumed, again, t);
  CHECK(kernel_then_bias(whole) == kernel_then_bias(resumed));
  CHECK(adam.first_moment() == again.first_moment());
  CHECK(adam.second_moment() == again.second_moment());
  CHECK(says(error_of(ExitCode::data, [&] { again.restore(1, std::vector<bf16>(2), std::vector<float>(3)); }),
             {"optimizer", "2", "3"}));
}

TEST_SUITE_END();
