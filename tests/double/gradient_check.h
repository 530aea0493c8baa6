// Compares the gradients an op records with central differences, in double, element by element.
// defines: check_gradients
#pragma once
#include <doctest/doctest.h>
#include "engine/parameters.h"
#include "tests/op_cases.h"

static_assert(sizeof(real) == 8, "gradient checks are compiled with -DREAL=double");

// d/dx Σ r ⊙ op(x) for random r, added to random gradients that were there before, written where there was none, and as
// those of a model's parameters.
// Returns the op names on the tape.
inline std::vector<std::string> check_gradients(Device& device, const OpCase& c) {
  const auto& [name, inputs, op] = c;
  Random random(7, purpose::synthetic, std::hash<std::string>{}(name));
  std::vector<std::vector<real>> values, gradients, before;
  for (const Input& in : inputs) {
    auto& v = values.emplace_back(in.shape.size());
    for (real& x : v) x = in.draw ? in.draw(random) : in.centre + in.scale * random.normal();
    auto& g = before.emplace_back(in.shape.size());
    for (real& x : g) x = random.normal();
  }
  gradients = before;
  Tape tape(device);
  bool add = true;
  auto run = [&] {
    tape.clear();
    std::vector<Tensor> leaves;
    for (size_t i = 0; i < inputs.size(); i++)
      leaves.push_back(tape.leaf("input", inputs[i].shape, values[i].data(),
                                 inputs[i].differentiate ? gradients[i].data() : nullptr, add));
    return op(tape, leaves);
  };

  Tensor y = run();
  std::vector<std::string> ops;
  for (size_t i = 0; i < tape.size(); i++) ops.emplace_back(tape.op(i));
  std::vector<real> r(y.shape.size());
  for (real& x : r) x = random.normal();
  const auto go_back = [&](Tensor y) {
    device.upload(tape.add_gradient(y).data, r.data(), r.size() * sizeof(real));
    tape.backward(y);
  };
  go_back(y);
  const std::vector<std::vector<real>> added = gradients;
  for (auto& g : gradients) std::fill(g.begin(), g.end(), NAN);
  add = false;
  go_back(run());
  const std::vector<std::vector<real>> written = gradients;
  add = true;

  std::vector<Parameter> list;
  for (size_t i = 0; i < inputs.size(); i++) list.push_back({std::to_string(i), inputs[i].shape, i % 2 == 0});
  Parameters parameters(device, list);
  tape.clear();
  std::vector<Tensor> leaves;
  for (size_t i = 0; i < inputs.size(); i++) {
    const Parameter& p = parameters.list()[i];
    device.upload(parameters.values() + p.offset, values[i].data(), values[i].size() * sizeof(real));
    leaves.push_back(inputs[i].differentiate ? parameters.leaf(tape, p.name)
                                             : tape.leaf("input", p.shape, parameters.values() + p.offset));
  }
  go_back(op(tape, leaves));
  auto of_parameter = [&](size_t i, size_t j) {
    const size_t at = parameters.list()[i].offset + j;
    for (const GradientPiece& piece : parameters.gradients())
      if (at >= piece.first && at < piece.first + piece.size && piece.data) return piece.data[at - piece.first];
    return real(NAN);
  };

  auto objective = [&] {
    Tensor out = run();
    const real* v = tape.value(out);
    double sum = 0;
    for (size_t i = 0; i < r.size(); i++) sum += r[i] * v[i];
    return sum;
  };
  double worst = 0, largest = 0;
  std::string where;
  const double h = 5e-6;
  std::vector<std::vector<double>> numeric(inputs.size());
  for (size_t i = 0; i < inputs.size(); i++)
    for (size_t j = 0; inputs[i].differentiate && j < values[i].size(); j++) {
      const real x = values[i][j];
      auto difference = [&](double h) {
        values[i][j] = x + h;
        const double up = objective();
        values[i][j] = x - h;
        return (up - objective()) / (2 * h);
      };
      const double once = difference(h), twice = difference(2 * h);
      values[i][j] = x;
      numeric[i].push_back((4 * once - twice) / 3);                          // without the term in h²
      largest = std::max(largest, std::abs(numeric[i].back()));
    }
  for (size_t i = 0; i < inputs.size(); i++)
    for (size_t j = 0; j < numeric[i].size(); j++) {
      const double analytic = added[i][j] - before[i][j];
      if (!(std::abs(written[i][j] - analytic) <= 1e-9 * std::max(1.0, std::abs(analytic)))) {
        worst = NAN;
        where = fmt::format("input {} element {}: {} written where there was nothing, {} added", i, j, written[i][j],
                            analytic);
      }
      if (const real p = of_parameter(i, j); !(std::abs(p - analytic) <= 1e-9 * std::max(1.0, std::abs(analytic)))) {
        worst = NAN;
        where = fmt::format("input {} element {}: {} as a parameter's, {} as a leaf's", i, j, p, analytic);
      }
      const double error =
          std::abs(analytic - numeric[i][j]) / std::max({std::abs(numeric[i][j]), 1e-2 * largest, 1e-12});
      if (!std::isnan(worst) && !(error <= worst)) {
        worst = error;
        where = fmt::format("input {} element {}: {} recorded, {} by differences", i, j, analytic, numeric[i][j]);
      }
    }
  INFO(name, ": ", where);
  CHECK(worst <= 1e-6);
  return ops;
}
