#include "engine/tape.h"
#include <algorithm>
#include <atomic>
#include "engine/error.h"
#include "engine/ops/elementwise.h"

Tape::~Tape() {
  clear();
  for (const auto& [value, leaf] : rounded_leaves_) pool_->give(leaf.first, leaf.second);
  for (const auto& [value, leaf] : packed_leaves_)
    if (leaf.first) pool_->give(leaf.first, leaf.second);
}

Tensor Tape::append(Node node) {
  nodes_.push_back(std::move(node));
  return {nodes_.back().shape, int(nodes_.size()) - 1, id_};
}

uint64_t Tape::next_id() {
  static std::atomic<uint64_t> last = 0;
  return ++last;
}

Tape::Node& Tape::node(Tensor x) {
  if (!x) fail(ExitCode::failed, "tape: a tensor that no op made is read");
  if (x.tape != id_)
    fail(ExitCode::failed, "tape: tensor {} (node {}) belongs to another tape, or to this one before it was cleared",
         x.shape.text(), x.node);
  return nodes_[x.node];
}

Tensor Tape::leaf(std::string_view name, Shape shape, real* value, real* gradient, bool add) {
  return append({.op = name, .shape = shape, .value = value, .gradient = gradient,
                 .wants_gradient = recording_ && gradient, .lent = gradient != nullptr, .written = add});
}

Tensor Tape::leaf(std::string_view name, Shape shape, real* value, GradientSink gradient) {
  Tensor x = append({.op = name, .shape = shape, .value = value, .wants_gradient = recording_, .lent = true});
  if (recording_) node(x).sink = std::move(gradient);
  return x;
}

Tensor Tape::input(std::string_view name, Shape shape, std::span<const float> values) {
  if (values.size() != shape.size())
    fail(ExitCode::failed, "tape: input {} has {} values, expected {}", name, values.size(), shape.text());
  Tensor x = append({.op = name, .shape = shape, .value = pool_->take<real>(shape.size()), .owned = true});
  if constexpr (std::is_same_v<real, float>) {
    device.upload(value(x), values.data(), values.size_bytes());
  } else {
    const std::vector<real> converted(values.begin(), values.end());
    device.upload(value(x), converted.data(), converted.size() * sizeof(real));
  }
  return x;
}

Tensor Tape::borrow(std::string_view name, Shape shape, std::span<const float> values) {
  const bool in_place = std::is_same_v<real, float> && device.is_host() && values.size() == shape.size();
  if (!in_place) return input(name, shape, values);
  Tensor x = leaf(name, shape, reinterpret_cast<real*>(const_cast<float*>(values.data())));  // no op writes to a leaf
  node(x).borrowed = true;
  return x;
}

std::vector<float> Tape::download(Tensor x) {
  if (node(x).kept == Kept::for_products) {
    std::vector<bf16> rounded(x.shape.size());
    device.download(rounded.data(), operand(x).rounded, rounded.size() * sizeof(bf16));
    std::vector<float> values(rounded.size());
    std::transform(rounded.begin(), rounded.end(), values.begin(), from_bf16);
    return values;
  }
  std::vector<real> values(x.shape.size());
  device.download(values.data(), value(x), values.size() * sizeof(real));
  return {values.begin(), values.end()};
}

Tensor Tape::make(std::string_view op, Shape shape, std::initializer_list<Tensor> inputs, Kept kept) {
  const bool wanted = std::any_of(inputs.begin(), inputs.end(), [&](Tensor x) { return wants_gradient(x); });
  if (!device.rounds_operands()) kept = Kept::full;
  Node n{.op = op, .shape = shape, .kept = kept, .owned = true, .wants_gradient = wanted};
  hold(n);
  return append(std::move(n));
}

Tensor Tape::reshape(Tensor x, Shape shape) {
  Node& n = node(x);
  if (n.owned || shape.size() != x.shape.size())
    fail(ExitCode::failed, "tape: {} {} cannot be seen as {}", n.op, x.shape.text(), shape.text());
  n.shape = shape;
  return {shape, x.node, id_};
}

real* Tape::value(Tensor x) {
  Node& n = node(x);
  if (n.kept == Kept::for_products)
    fail(ExitCode::failed, "tape: {} {} is kept for products alone", n.op, n.shape.text());
  if (!n.value) {
    if (!n.remake)
      fail(ExitCode::failed, "tape: {} {} was forgotten, and its op cannot compute it again", n.op, n.shape.text());
    hold(n);
    n.remake();
  }
  return n.value;
}

Output Tape::output(Tensor x) {
  const Node& n = node(x);
  return {n.value, n.kept == Kept::for_products ? n.rounded : nullptr};
}

Operand Tape::operand(Tensor x) {
  if (!device.rounds_operands()) return value(x);
  Node& n = node(x);
  if (n.rounded) return n.rounded;
  if (is_kept_leaf(n)) {
    auto& [rounded, size] = rounded_leaves_[n.value];
    if (!rounded) rounded = pool_->take<bf16>(size = n.shape.size()), device.each(size, Round{rounded, n.value});
    return rounded;
  }
  if (n.kept == Kept::full) {
    const real* full = value(x);
    n.rounded = pool_->take<bf16>(n.shape.size());
    device.each(n.shape.size(), Round{n.rounded, full});
  } else {
    if (!n.remake)
      fail(ExitCode::failed, "tape: {} {} was forgotten, and its op cannot compute it again", n.op, n.shape.text());
    hold(n);
    n.remake();
  }
  return n.rounded;
}

Operand Tape::weight(Tensor w) {
  const Node& n = node(w);
  if (!is_kept_leaf(n)) return operand(w);
  // asks the device once: the answer costs as much as a small product
  const auto [leaf, is_new] = packed_leaves_.try_emplace(n.value);
  auto& [packed, size] = leaf->second;
  const int rows = w.shape[0], columns = w.shape.last();
  if (is_new && (size = device.packed_bytes(rows, columns)))
    packed = pool_->take<char>(size), device.pack(packed, n.value, rows, columns);
  return packed ? Operand::from_packed(packed) : operand(w);
}

void Tape::keep_for_products(Tensor x) {
  if (!device.rounds_operands()) return;
  operand(x);
  Node& n = node(x);
  if (n.owned && n.value) pool_->give(std::exchange(n.value, nullptr), n.shape.size());
  n.kept = Kept::for_products;
}

void Tape::release_value(Node& n) {
  if (n.owned && n.value) pool_->give(std::exchange(n.value, nullptr), n.shape.size());
  if (n.rounded) pool_->give(std::exchange(n.rounded, nullptr), n.shape.size());
}

void Tape::on_backward(Tensor x, std::function<void()> backward, Kept read) {
  Node& n = node(x);
  n.gradient_read = read;
  if (n.wants_gradient) n.backward = std::move(backward);
}

void Tape::on_remake(Tensor x, std::function<void()> forward) { node(x).remake = std::move(forward); }

void Tape::drop(Tensor x) {
  const size_t bytes = x.shape.size() * (node(x).kept == Kept::full ? sizeof(real) : sizeof(bf16));
  if (!spares(bytes)) release_value(node(x));
}

bool Tape::spares(size_t bytes) {
  if (!recording_ || spared_ + bytes > device.spare_memory()) return false;
  spared_ += bytes;
  return true;
}

void Tape::hold(Node& n) {
  if (n.kept == Kept::full) n.value = pool_->take<real>(n.shape.size());
  else n.rounded = pool_->take<bf16>(n.shape.size());
}

void Tape::drop_rounded(Tensor x) {
  if (Node& n = node(x); !n.owned && !device.keeps_rounded_weights()) release_value(n);
}

real* Tape::gradient(Tensor x) {
  Node& n = node(x);
  if (!n.written) fail(ExitCode::failed, "tape: op {} {} has no gradient here", n.op, n.shape.text());
  if (!n.gradient)
    fail(ExitCode::failed, "tape: the gradient of {} {} is rounded, for products alone: gradient_operand() has it",
         n.op, n.shape.text());
  return n.gradient;
}

Operand Tape::gradient_operand(Tensor x) {
  if (const bf16* rounded = node(x).rounded_gradient) return rounded;
  return gradient(x);
}

Gradient Tape::add_gradient(Tensor x, Kept kept) {
  Node& n = node(x);
  if (kept == Kept::for_products && n.gradient_read == kept && device.rounds_operands() && !n.written) {
    n.rounded_gradient = pool_->take<bf16>(n.shape.size());
    n.written = true;
    return {nullptr, false, n.rounded_gradient};
  }
  if (n.rounded_gradient) {                                      // more comes: full again
    n.gradient = pool_->take<real>(n.shape.size());
    device.each(n.shape.size(), Widen{n.gradient, n.rounded_gradient});
    pool_->give(std::exchange(n.rounded_gradient, nullptr), n.shape.size());
  }
  if (!n.gradient && n.sink) n.gradient = n.sink(pool_), n.written = true;
  if (!n.gradient) n.gradient = pool_->take<real>(n.shape.size());
  return {n.gradient, int(std::exchange(n.written, true))};
}

real* Tape::add_into_gradient(Tensor x) {
  const Gradient g = add_gradient(x);
  if (!g.add) device.each(x.shape.size(), Fill{g.data, 0});
  return g.data;
}

void Tape::pass_gradient(Tensor from, Tensor to) {
  Node &source = node(from), &target = node(to);
  if (!target.wants_gradient) return;
  gradient(from);
  if (!target.written && !target.lent && !source.lent) {        // nothing there yet: hand the memory over
    target.gradient = std::exchange(source.gradient, nullptr);
    target.written = true;
    source.written = false;
  } else {
    const Gradient g = add_gradient(to);
    device.each(to.shape.size(), Accumulate{g.data, source.gradient, g.add});
  }
}

void Tape::release_gradient(Node& n) {
  if (n.gradient && !n.lent) pool_->give(std::exchange(n.gradient, nullptr), n.shape.size());
  if (n.rounded_gradient) pool_->give(std::exchange(n.rounded_gradient, nullptr), n.shape.size());
}

void Tape::backward(Tensor loss) { walk_back(loss, [](int) {}); }

void Tape::backward(Tensor loss, std::initializer_list<Tensor> kept) {
  walk_back(loss, [&](int i) {
    if (std::none_of(kept.begin(), kept.end(), [i](Tensor x) { return x.node == i; })) release_value(nodes_[i]);
  });
}

void Tape::walk_back(Tensor loss, const std::function<void(int)>& done) {
  if (!recording_) fail(ExitCode::failed, "tape: backward of a forward pass that was not recorded");
  if (done_) fail(ExitCode::failed, "tape: backward ran already; clear() the tape and run the forward pass again");
  done_ = true;
  if (const Gradient g = add_gradient(loss); !g.add) device.each(loss.shape.size(), Fill{g.data, 1});
  for (size_t i = nodes_.size(); i-- > 0;) {
    Node& n = nodes_[i];
    if (n.lent && n.wants_gradient && !n.written)
      if (const Gradient g = add_gradient(tensor(i)); !g.add)
        device.each(n.shape.size(), Fill{g.data, 0});  // the loss does not depend on it
    if (n.backward && n.written) {
      std::exchange(n.backward, {})();          // what it held goes with it
      release_gradient(n);
    }
    if (n.remake) release_value(n);                 // its readers came later on the tape and are done
    done(int(i));
  }
}

void Tape::clear() {
  for (Node& n : nodes_) {
    release_value(n);
    release_gradient(n);
  }
  nodes_.clear();
  id_ = next_id();
  done_ = false;
  spared_ = 0;
}

void Tape::keep_only(Tensor x, Tensor first) {
  if (recording_) return;
  for (int i = first.node; i < int(nodes_.size()); i++)
    if (i != x.node) release_value(nodes_[i]), nodes_[i].remake = {};
}
