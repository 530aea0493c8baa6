// Attention through the op on any device, and an untiled reference of it in double. Queries and keys are multiples of
// 1/4 and √d is a power of 2, so scores are exact: kinks, too, must agree.
// defines: Problem, Result, Maps, number_of_head, reference, run
#pragma once
#include "engine/attention/attention.h"
#include "tests/attention_reference.h"
#include "tests/synthetic.h"
#include "tests/test_device.h"

// q[B,Lq,D], and k and v side by side in kv[B,L,2D]; one upstream gradient.
struct Problem {
  int B, H, Lq, L, d = 16, D = H * d;
  std::vector<float> q = quarters(size_t(B) * Lq * D, 1), kv = quarters(size_t(B) * L * 2 * D, 2),
                     d_o = random_values(size_t(B) * Lq * D, 3);
  size_t at(int b, int i, int h) const { return (size_t(b) * Lq + i) * D + h * d; }                 // of q, o
  size_t at_key(int b, int j, int h) const { return (size_t(b) * L + j) * 2 * D + h * d; }  // of kv; v is D further

  static std::vector<float> quarters(size_t n, uint64_t item) {
    Random random(1, purpose::synthetic, item);
    std::vector<float> values(n);
    for (float& x : values) x = float(int(random.below(25)) - 12) / 4;
    return values;
  }
};

// Output and gradients; float from the op, double from the reference.
template <class T> struct Result {
  std::vector<T> o, dq, dkv;
  bool operator==(const Result&) const = default;
};

// S, A, dA, dS of all rows, [B,H,Lq,L], as the reference or a probe sees them.
struct Maps {
  std::vector<double> S, A, dA, dS;
  explicit Maps(size_t n) : S(n), A(n), dA(n), dS(n) {}
};

// Of functions that have one.
inline float number_of_head(int h) { return 0.25f + 0.5f * float(h); }

// With the function of each head.
inline Result<double> reference(const Problem& p, const std::function<ReferenceFunction(int h)>& of_head,
                                Maps* maps = nullptr) {
  Result<double> r{std::vector<double>(p.q.size()), std::vector<double>(p.q.size()), std::vector<double>(p.kv.size())};
  for (int b = 0; b < p.B; b++)
    for (int h = 0; h < p.H; h++) {
      const ReferenceFunction f = of_head(h);
      for (int i = 0; i < p.Lq; i++) {
        const size_t q = p.at(b, i, h);
        Row s(p.L), da(p.L);
        for (int j = 0; j < p.L; j++)
          for (int c = 0; c < p.d; c++) {
            s[j] += double(p.q[q + c]) * p.kv[p.at_key(b, j, h) + c] / std::sqrt(p.d);
            da[j] += double(p.d_o[q + c]) * p.kv[p.at_key(b, j, h) + p.D + c];
          }
        const Row a = f.forward(s), ds = f.backward(s, da);
        for (int j = 0; j < p.L; j++)
          for (int c = 0; c < p.d; c++) {
            const size_t k = p.at_key(b, j, h) + c, v = k + p.D;
            r.o[q + c] += a[j] * p.kv[v];
            r.dkv[v] += a[j] * p.d_o[q + c];
            r.dq[q + c] += ds[j] * p.kv[k] / std::sqrt(p.d);
            r.dkv[k] += ds[j] * p.q[q + c] / std::sqrt(p.d);
          }
        const size_t row = ((size_t(b) * p.H + h) * p.Lq + i) * p.L;
        if (maps)
          for (int j = 0; j < p.L; j++)
            maps->S[row + j] = s[j], maps->A[row + j] = a[j], maps->dA[row + j] = da[j], maps->dS[row + j] = ds[j];
      }
    }
  return r;
}
inline Result<double> reference(const Problem& p, const std::string& function, double alpha, Maps* maps = nullptr) {
  return reference(p, [&](int h) { return reference_function(function, alpha, number_of_head(h)); }, maps);
}

// What is learned is in `numbers`, and its gradients come there.
inline Result<float> run(Device& device, const Problem& p, const std::string& function, double alpha,
                         AttentionProbe* probe, Learned<std::vector<float>>& numbers) {
  const DeviceValues q_values(device, p.q), kv_values(device, p.kv), dq(device, std::vector<float>(p.q.size())),
      dkv(device, std::vector<float>(p.kv.size()));
  Tape tape(device);
  Tensor q = tape.leaf("q", {p.B, p.Lq, p.D}, q_values.data(), dq.data()),
         kv = tape.leaf("kv", {p.B, p.L, 2 * p.D}, kv_values.data(), dkv.data());
  std::vector<std::unique_ptr<DeviceValues>> memory;
  auto leaf = [&](const std::vector<float>& values) {
    if (values.empty()) return Tensor{};
    for (const auto& v : {values, std::vector<float>(values.size())})
      memory.push_back(std::make_unique<DeviceValues>(device, v));
    return tape.leaf("number", {int(values.size())}, memory[memory.size() - 2]->data(), memory.back()->data());
  };
  const auto learned = numbers.map<Tensor>(leaf);
  Tensor o = attention(tape, {q}, {kv}, {kv, p.D}, p.H, p.d, function, alpha, probe, learned);
  const std::vector<float> output = tape.download(o);
  device.upload(tape.add_gradient(o).data, p.d_o.data(), p.d_o.size() * sizeof(float));
  tape.backward(o);
  size_t next = 1;
  numbers = numbers.map<std::vector<float>>(
      [&](const std::vector<float>& values) { return values.empty() ? values : memory[(next += 2) - 2]->read(); });
  return {output, dq.read(), dkv.read()};
}
inline Result<float> run(Device& device, const Problem& p, const std::string& function, double alpha = 1,
                         AttentionProbe* probe = nullptr) {
  Learned<std::vector<float>> numbers;
  const auto f = AttentionFunctions::find(function);
  for (int h = 0; f && !f->number.empty() && h < p.H; h++) numbers.number.push_back(number_of_head(h));
  return run(device, p, function, alpha, probe, numbers);
}
