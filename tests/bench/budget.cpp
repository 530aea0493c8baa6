#include "tests/bench/budget.h"
#include <algorithm>
#include <cmath>
#include "models/vit.h"

namespace {

// Walks through forward pass, backward pass and update as the tape does. Sizes in elements; f32 has 4 bytes, what
// products read `half`.
class Walk {
 public:
  Walk(const ViTConfig& c, int batch, Precision precision, const GpuLimits& limits)
      : c_(c), limits_(limits), bf16_(precision == Precision::bf16), B(batch), L(c.tokens()), D(c.width),
        M(c.mlp_width), half(bf16_ ? 2 : 4), patches_(double(batch) * c.grid() * c.grid()) {}

  StepBudget run() {
    const double P = 3.0 * c_.patch * c_.patch, N = B * L, outputs = B * c_.outputs(c_.depth - 1), classes = c_.classes;
    embed(P);
    for (int i = 0; i < c_.depth; i++) block_forward(B * c_.outputs(i));
    norm_forward(outputs, 4);
    if (c_.pool == "gap") pass("other", 4 * N * D, 4 * B * D); // MeanTokens
    round(B * D);
    linear_forward(B, D, classes, true);
    pass("other", 8 * B * classes, 12 * B), pass("other", 4 * B, 4); // loss, mean
    pass("other", 8 * B * classes, 4 * B);                           // ranks of the labels
    pass(rounding, 0, 4), pass("other", 4, 4 * B);                   // d loss = 1, and of the mean
    pass("other", 8 * B * classes, 4 * B * classes);
    linear_backward(B, D, classes, true);
    if (c_.pool == "gap") pass("other", 4 * B * D, 4 * N * D);
    norm_backward(outputs, D, outputs * D, false);
    for (int i = c_.depth; i-- > 0;) block_backward(B * c_.outputs(i));
    embed_backward(P);
    const double parameters = double(parameter_count(c_));
    const int pieces = int(gradient_pieces(ViT::parameter_list(c_)).size()); // of the gradients, each a launch
    pass(rounding, 0, 4 * parameters, 0, 1, pieces);                         // zeros
    pass("optimizer", 4 * parameters, 0, 0, 1, pieces + 1);                  // norm
    pass("optimizer", 14 * parameters, 10 * parameters, 0, 1, pieces);       // Adam, with m in bf16
    return budget_;
  }

 private:
  void pass(const char* part, double read, double written, double flops = 0, double rate = 1, int launches = 1) {
    Work& w = budget_.parts[part];
    w.read += read, w.written += written, w.flops += flops, w.launches += launches;
    w.seconds += std::max(flops / rate, (read + written) / limits_.bandwidth) + launches * limits_.launch;
  }
  void product(double m, double n, double k, double beta = 0) {
    pass("products", half * (m * k + k * n) + 4 * m * n * beta, 4 * m * n, 2 * m * n * k, limits_.products);
  }
  // dW, to which it is added
  void weight_gradient(double out, double in, double rows) { product(out, in, rows, 1); }
  void round(double n) {
    if (bf16_) pass(rounding, 4 * n, 2 * n);
  }
  // Sums over rows in chunks, beside what a pass reads and writes, then of the chunks; see ColumnTeams of the CUDA
  // device.
  double partial_sums(double rows, double chunk_rows, double columns) {
    return 4 * std::ceil(rows / chunk_rows) * columns;
  }
  void sum_of_chunks(double partial, double columns) { pass(rounding, partial + 4 * columns, 8 * columns); }
  void sums(const char* part, double rows, double columns, double read, double written) {
    const double partial =
        partial_sums(rows, std::clamp(std::floor(rows * std::ceil(columns / 32) / 8192), 8.0, 64.0), columns);
    pass(part, read, written + partial), sum_of_chunks(partial, columns);
  }

  // y in full
  void linear_forward(double rows, double in, double out, bool adds_bias) {
    round(in * out); // the weight, once a step
    product(rows, out, in);
    if (adds_bias) pass(rounding, 4 * (rows * out + out), 4 * rows * out);
  }
  // In bf16 with its last step in the product, which reads and writes so much beside the operands; else as above.
  void fused_product(double rows, double out, double in, double read, double written) {
    pass("products", 2 * (rows * in + in * out) + read, written, 2 * rows * out * in, limits_.products);
  }
  void linear_rounded(double rows, double in, double out) {
    if (!bf16_) return linear_forward(rows, in, out, true);
    round(in * out), round(out);
    fused_product(rows, out, in, 2 * out, 2 * rows * out);
  }
  void linear_with_residual(double rows, double in, double out) {
    if (!bf16_) return product(rows, out, in), pass(rounding, 4 * (2 * rows * out + out), 4 * rows * out);
    round(in * out);
    fused_product(rows, out, in, 4 * out + 4 * rows * out, 4 * rows * out);
  }
  void linear_backward(double rows, double in, double out, bool input_gradient, double written = 4) {
    sums(rounding, rows, out, 4 * rows * out, bf16_ ? 2 * rows * out : 0);
    weight_gradient(out, in, rows);
    if (input_gradient && written == 2) fused_product(rows, in, out, 0, 2 * rows * in);
    else if (input_gradient) product(rows, in, out);
  }

  void norm_forward(double rows, double stored) { pass(norm, 4 * rows * D, rows * D * stored + 8 * rows); }
  // dx, added to what the residual left there, and the sums for scale and bias; x of so many bytes
  void norm_backward(double rows, double width, double n, bool adds, bool bias = true, double x_bytes = 4) {
    const double partial = partial_sums(rows, std::clamp(std::floor(rows / 2048), 8.0, 32.0), width);
    pass(norm, (x_bytes + (adds ? 8 : 4)) * n + 8 * rows + 4 * width, 4 * n + 2 * partial);
    for (int i = 0; i < (bias ? 2 : 1); i++) sum_of_chunks(partial, width);
  }

  void embed(double P) {
    const double n = patches_ * D, pixels = 3.0 * B * c_.image_size * c_.image_size;
    pass("other", pixels, 4 * pixels);                    // bytes to values
    pass("other", 4 * patches_ * P, half * patches_ * P); // to patches
    linear_forward(patches_, P, D, true);
    pass("other", 4 * (n + n / B), 4 * n); // positions
    if (c_.pool == "cls") pass("other", 4 * n, 4 * B * L * D);
  }
  void embed_backward(double P) {
    const double n = patches_ * D;
    if (c_.pool == "cls") sums(rounding, B, D, 4 * B * D, 0), pass("other", 4 * n, 4 * n);
    sums(rounding, B, n / B, 4 * n, 0);
    linear_backward(patches_, P, D, false);
  }

  void block_forward(double outputs) {
    const double N = B * L;
    norm_forward(N, half);
    linear_rounded(N, D, 3 * D);
    if (c_.qk_norm)
      for (int i = 0; i < 2; i++) pass(norm, half * N * D, half * N * D + 8 * N * c_.heads);
    attention_forward(outputs < N);
    if (outputs < N) {
      for (int i = 0; i < 2; i++) pass("other", 4 * outputs * D, 4 * outputs * D); // of o and x the token that is read
      round(outputs * D);
    }
    linear_with_residual(outputs, D, D);
    norm_forward(outputs, half);
    if (bf16_) {
      round(D * M), round(M);
      fused_product(outputs, M, D, 2 * M, 4 * outputs * M); // h and a
    } else {
      linear_forward(outputs, D, M, false);
      pass("activations", 4 * (outputs * M + M), 8 * outputs * M);
    }
    linear_with_residual(outputs, M, D);
  }

  void block_backward(double outputs) {
    const double N = B * L, n = N * D, hidden = outputs * M;
    sums(rounding, outputs, D, 4 * outputs * D, bf16_ ? 2 * outputs * D : 0); // fc2
    if (bf16_) {
      fused_product(outputs, M, D, 2 * hidden, 2 * hidden); // dh, by what is kept of h
    } else {
      product(outputs, M, D);
      pass("activations", 8 * hidden, 4 * hidden);
    }
    weight_gradient(D, M, outputs);
    sums(rounding, outputs, M, half * hidden, 0); // fc1
    weight_gradient(M, D, outputs), product(outputs, D, M);
    norm_backward(outputs, D, outputs * D, true);
    linear_backward(outputs, D, D, true, outputs == N ? half : 4); // proj
    if (outputs < N)
      for (int i = 0; i < 2; i++) pass(rounding, 0, 4 * n), pass("other", 8 * outputs * D, 4 * outputs * D);
    attention_backward(outputs < N);
    if (c_.qk_norm)
      for (int i = 0; i < 2; i++) norm_backward(N * c_.heads, c_.head_width(), n, true, false, half);
    if (fused() && !c_.qk_norm) sums(rounding, N, 3 * D, 6 * n, 0); // qkv
    else sums(rounding, N, 3 * D, 12 * n, bf16_ ? 6 * n : 0);
    weight_gradient(3 * D, D, N), product(N, D, 3 * D);
    norm_backward(N, D, n, true);
  }

  bool fused() const { return bf16_ && (c_.head_width() == 32 || c_.head_width() == 64); }
  bool softmax() const { return c_.attention == "softmax"; }
  double scores() const { return B * c_.heads * L * L; }

  // full: whether the output is, for somebody else than a product
  void attention_forward(bool full) {
    const double n = B * L * D, one = 2 * scores() * c_.head_width(), log_sums = softmax() ? 4 * B * L * c_.heads : 0;
    if (fused()) return pass("attention", 6 * n, (full ? 4 : 2) * n + log_sums, 2 * one, limits_.attention);
    tiled_product(2);
    pass("attention", 4 * scores(), 4 * scores(), 0, 1, c_.heads);
  }
  void attention_backward(bool full) {
    const double n = B * L * D, one = 2 * scores() * c_.head_width(), number = softmax() ? 4 * B * L * c_.heads : 0;
    const double gradient = c_.qk_norm ? 4 : 2; // bytes of dq and of dk; dv is then added to the gradient of q, k, v
    if (full && fused()) round(n);              // d o
    if (c_.qk_norm) pass(rounding, 0, 12 * n);
    if (!fused()) {
      tiled_product(5);
      return pass("attention", 16 * scores(), 8 * scores(), 0, 1, 2 * c_.heads);
    }
    const double o = softmax() ? (full ? 4 : 2) * n : 0;
    pass("attention", 8 * n + o + number, gradient * n + number, 3 * one, limits_.attention);
    pass("attention", 8 * n + 2 * number + (c_.qk_norm ? 4 * n : 0), (gradient + (c_.qk_norm ? 4 : 2)) * n, 4 * one,
         limits_.attention);
  }
  // `times` products of one head of the batch; in bf16 each rounds its inputs first
  void tiled_product(int times) {
    const double n = B * L * D, one = 2 * scores() * c_.head_width();
    for (int i = 0; i < times; i++) {
      pass("products", half * (scores() + n), 4 * n, one, limits_.products, c_.heads);
      if (bf16_) pass(rounding, 4 * (scores() + n), 2 * (scores() + n), 0, 1, 2 * c_.heads);
    }
  }

  static constexpr const char *rounding = "bias, rounding and sums", *norm = "normalisation";
  const ViTConfig& c_;
  GpuLimits limits_;
  bool bf16_;
  double B, L, D, M, half, patches_;
  StepBudget budget_;
};

} // namespace

Work StepBudget::total() const {
  Work sum;
  for (const auto& [part, w] : parts)
    sum.read += w.read, sum.written += w.written, sum.flops += w.flops, sum.seconds += w.seconds,
        sum.launches += w.launches;
  return sum;
}

StepBudget step_budget(const ViTConfig& config, int batch, Precision precision, const GpuLimits& limits) {
  return Walk(config, batch, precision, limits).run();
}
