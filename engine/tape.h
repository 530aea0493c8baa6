// The tape: an op runs at once and appends a node; backward() walks the nodes from the last to the first. Creation
// order is a topological order, so there is no sort, no recursion and no reference count. Gradients only ever
// accumulate.
// defines: Gradient, Kept, Temporary, Saved, Tape
#pragma once
#include <functional>
#include <map>
#include <memory>
#include <span>
#include <string_view>
#include <vector>
#include "engine/ops/elementwise.h"
#include "engine/pool.h"

// What is kept of an op's result, or of its gradient. for_products: where products round their inputs, the rounded
// values alone.
enum class Kept { full, for_products };

// Where an op puts the gradient of an input: added to what is there, or written where nothing is yet.
struct Gradient {
  real* data;
  int add;
  bf16* rounded = nullptr;                                        // in place of data: nothing is there yet
  Output output() const { return {data, rounded}; }
};

// Memory from the pool for the time of a scope.
template <class T> struct Temporary {
  Pool& pool;
  T* data;
  size_t n;
  Temporary(Pool& pool, size_t n) : pool(pool), data(n ? pool.take<T>(n) : nullptr), n(n) {}
  ~Temporary() { if (n) pool.give(data, n); }
  Temporary(const Temporary&) = delete;
};
// The same for as long as somebody holds it: what the backward of an op needs beside its inputs, until it ran.
template <class T> using Saved = std::shared_ptr<Temporary<T>>;

class Tape {
 public:
  explicit Tape(Device& device, bool recording = true)
      : device(device), pool_(std::make_shared<Pool>(device)), recording_(recording) {}
  // A tape of its own, for a part that is computed again in the backward pass; its memory is the other's.
  Tape(Tape& outer, bool recording) : device(outer.device), pool_(outer.pool_), recording_(recording) {}
  ~Tape();
  Tape(const Tape&) = delete;
  Device& device;

  // An input or a parameter: memory stays the caller's. With `gradient`, backward leaves d loss / d value there, or
  // adds it to what is there if `add`.
  Tensor leaf(std::string_view name, Shape shape, real* value, real* gradient = nullptr, bool add = false);
  // The same, with memory for the gradient that is asked for when one comes, from the pool of this tape: it is added to
  // what is there.
  using GradientSink = std::function<real*(const std::shared_ptr<Pool>&)>;
  Tensor leaf(std::string_view name, Shape shape, real* value, GradientSink gradient);
  // Values from host memory; no gradient.
  Tensor input(std::string_view name, Shape shape, std::span<const float> values);
  // The same; a device that is the host reads the values where they are: they must stay until clear().
  Tensor borrow(std::string_view name, Shape shape, std::span<const float> values);
  // The result of an op, from the pool. It wants a gradient if one of its inputs does.
  Tensor make(std::string_view op, Shape shape, std::initializer_list<Tensor> inputs, Kept kept = Kept::full);
  Tensor reshape(Tensor x, Shape shape);                          // of a leaf: the same memory in another shape
  template <class T> Temporary<T> temporary(size_t n) { return {*pool_, n}; }
  template <class T> Saved<T> saved(size_t n) { return std::make_shared<Temporary<T>>(*pool_, n); }
  bool spares(size_t bytes);  // whether the device has room for what could be made again
  bool recording() const { return recording_; }
  // Leaves are rounded and packed for products once in the life of this tape: for passes over parameters that do not
  // change meanwhile.
  void keep_leaves() { keeps_leaves_ = true; }

  real* value(Tensor x);
  Output output(Tensor x);                                        // where the op that makes x writes it
  Operand operand(Tensor x);  // x as input of a product; rounded on first use, kept until clear()
  Operand weight(Tensor w);  // w[n,k] as right-hand input of x wᵀ: a leaf that is kept is packed
  bool is_kept_rounded(Tensor x) { return node(x).kept == Kept::for_products; }
  void keep_for_products(Tensor x);                               // nothing else will read it
  void drop_rounded(Tensor x);  // of a leaf, where the device does not keep it: operand(x) will round it again
  std::vector<float> download(Tensor x);                          // value(x) in host memory

  // x gets a gradient though no input of its op wants one: something that its op holds does.
  void want_gradient(Tensor x) { node(x).wants_gradient = recording_; }
  // What the backward of `x` does; it may use value() and the gradient functions. Ignored when nobody will ask for it.
  // read: for_products if only products and sums read the gradient of x there, by gradient_operand(x).
  void on_backward(Tensor x, std::function<void()> backward, Kept read = Kept::full);

  // Gives the memory of value(x) back, unless the device has memory to spare. For a tensor that is cheap to compute
  // again: `forward` refills it where it is read after that.
  void on_remake(Tensor x, std::function<void()> forward);
  void drop(Tensor x);
  bool is_lost(Tensor x) { return !node(x).value && !node(x).rounded && !node(x).remake; }

  bool wants_gradient(Tensor x) { return x && node(x).wants_gradient; }
  real* gradient(Tensor x);                                       // of an op's result, inside its backward
  Operand gradient_operand(Tensor x);                             // the same, rounded if it is kept so
  // Where to put all of it, or add all of it. kept: for_products if the caller can write it rounded: it is, where
  // nothing else reads it, until more is added.
  Gradient add_gradient(Tensor x, Kept kept = Kept::full);
  real* add_into_gradient(Tensor x);  // the same, zeroed if nothing was there: for ops that touch parts
  void pass_gradient(Tensor from, Tensor to);                     // d to += d from; ends the use of gradient(from)

  // Starts from d loss = 1 for every element of `loss`, or from what is in its gradient already. Once per clear().
  void backward(Tensor loss);
  // The same, where nothing but `kept` and leaves will be read afterwards: each value's memory goes back as soon as its
  // readers are done.
  void backward(Tensor loss, std::initializer_list<Tensor> kept);
  void clear();                                                   // forgets every node; memory returns to the pool
  // Without recording: the memory of all values goes back but x's, from the tensor `first` on.
  void keep_only(Tensor x, Tensor first);

  size_t bytes_held() const { return pool_->bytes_held(); }
  size_t allocations() const { return pool_->allocations(); }
  size_t size() const { return nodes_.size(); }
  std::string_view op(size_t node) const { return nodes_[node].op; }
  Tensor tensor(size_t node) const { return {nodes_[node].shape, int(node), id_}; }

 private:
  struct Node {
    std::string_view op;
    Shape shape;
    Kept kept = Kept::full;
    real* value = nullptr;
    bf16* rounded = nullptr;             // the value, or beside it
    real* gradient = nullptr;
    bf16* rounded_gradient = nullptr;    // in place of the gradient
    bool owned = false;                  // the value is the pool's
    bool borrowed = false;               // from the caller, who may put other values there after clear()
    bool wants_gradient = false;
    bool lent = false;                   // the gradient is the caller's
    bool written = false;                // the gradient holds something to add to
    Kept gradient_read = Kept::full;     // by its backward
    std::function<void()> backward = {}, remake = {};
    GradientSink sink = {};
  };
  Tensor append(Node node);
  void walk_back(Tensor loss, const std::function<void(int)>& done);  // done(node): nothing of the tape will read it
  Node& node(Tensor x);
  bool is_kept_leaf(const Node& node) const { return keeps_leaves_ && !node.owned && !node.borrowed; }
  void hold(Node& node);                                          // memory for its value, as it is kept
  void release_value(Node& node);
  void release_gradient(Node& node);
  static uint64_t next_id();

  std::shared_ptr<Pool> pool_;
  uint64_t id_ = next_id();
  size_t spared_ = 0;                                             // bytes that drop() left where they were
  bool recording_, done_ = false, keeps_leaves_ = false;
  std::map<const real*, std::pair<bf16*, size_t>> rounded_leaves_;
  std::map<const real*, std::pair<char*, size_t>> packed_leaves_;
  std::vector<Node> nodes_;
};
