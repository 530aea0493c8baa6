#include "models/attention_list.h"
#include <fmt/format.h>
#include "engine/attention/families.h"

std::vector<AttentionFunctionInfo> attention_infos() {
  std::vector<AttentionFunctionInfo> infos = AttentionFunctions::all();
  for (const AttentionFunctionInfo& info : LinearFamilies::all()) infos.push_back(info);
  return infos;
}

std::string attention_names() { return AttentionFunctions::names() + ", " + LinearFamilies::names(); }

std::string attention_table() {
  auto lines = [](const std::vector<AttentionFunctionInfo>& infos) {
    std::string text;
    for (const auto& f : infos) text += fmt::format("  {:<15} {:<55} {}\n", f.name, f.formula, f.source);
    return text;
  };
  return "Attention functions (s = q.k/sqrt(d), L keys):\n" + lines(AttentionFunctions::all()) +
         "Linear families, without L x L weights (S = sum k'_j v_j, z = sum k'_j):\n" + lines(LinearFamilies::all());
}

bool has_alpha(std::string_view name) {
  for (const AttentionFunctionInfo& info : attention_infos()) if (info.name == name) return info.scaled_by_length;
  return true;
}

bool is_linear(std::string_view name) { return LinearFamilies::visit(name, 1, 1, [](const auto&) {}); }
