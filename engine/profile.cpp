#include "engine/profile.h"
#include <fmt/format.h>
#include <algorithm>
#include "engine/text.h"

std::string_view part_of(std::string_view kernel) {
  // The first whose name is in the kernel's; so what is special stands before what is general.
  static constexpr std::pair<const char*, const char*> parts[] = {{"gemm", "products"},
                                                                  {"nvjet", "products"},
                                                                  {"cutlass", "products"},
                                                                  {"cublas", "products"},
                                                                  {"splitK", "products"},
                                                                  {"xmma", "products"},
                                                                  {"Attention", "attention"},
                                                                  {"Weights", "attention"},
                                                                  {"forward_kernel", "attention"},
                                                                  {"statistics_kernel", "attention"},
                                                                  {"keys_kernel", "attention"},
                                                                  {"queries_kernel", "attention"},
                                                                  {"::Forward<", "attention"},
                                                                  {"::Backward<", "attention"},
                                                                  {"LayerNorm", "normalisation"},
                                                                  {"RmsNorm", "normalisation"},
                                                                  {"Adam", "optimizer"},
                                                                  {"SquaresOfChunk", "optimizer"},
                                                                  {"RootOfSum", "optimizer"},
                                                                  {"Average", "optimizer"},
                                                                  {"Map", "activations"},
                                                                  {"Hidden", "activations"},
                                                                  {"Gate", "activations"},
                                                                  {"AddBias", "bias, rounding and sums"},
                                                                  {"StoreProduct", "bias, rounding and sums"},
                                                                  {"Round", "bias, rounding and sums"},
                                                                  {"Widen", "bias, rounding and sums"},
                                                                  {"Fill", "bias, rounding and sums"},
                                                                  {"Accumulate", "bias, rounding and sums"},
                                                                  {"ColumnSums", "bias, rounding and sums"},
                                                                  {"SumOfChunks", "bias, rounding and sums"}};
  for (const auto& [name, part] : parts)
    if (kernel.find(name) != kernel.npos) return part;
  return "other";
}

std::vector<Profiler::Pass> Profiler::passes() const {
  std::vector<Pass> passes{{"products", "gemm", products_.seconds, products_.calls}};
  for (const auto& [body, time] : times_) {
    const std::string name = demangled(body);
    passes.push_back({std::string(part_of(name)), name, time.seconds, time.calls});
  }
  std::sort(passes.begin(), passes.end(), [](const Pass& a, const Pass& b) { return a.seconds > b.seconds; });
  return passes;
}

std::string Profiler::table() const {
  return table(std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count());
}

std::string Profiler::table(double seconds) const {
  std::vector<std::pair<std::string, double>> parts;
  double busy = 0;
  for (const Pass& pass : passes()) {
    auto part = std::find_if(parts.begin(), parts.end(), [&](const auto& p) { return p.first == pass.part; });
    if (part == parts.end()) part = parts.insert(part, {pass.part, 0});
    part->second += pass.seconds;
    busy += pass.seconds;
  }
  std::sort(parts.begin(), parts.end(), [](const auto& a, const auto& b) { return a.second > b.second; });
  parts.push_back({"idle", std::max(0.0, seconds - busy)});
  std::string text;
  for (const auto& [part, time] : parts)
    text += fmt::format("{}{} {:.1f} %", text.empty() ? "" : ", ", part, 100 * time / seconds);
  return text;
}
