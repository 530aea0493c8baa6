#include "models/attention/list.h"
#include <fmt/format.h>
#include <algorithm>
#include "engine/attention/families.h"
#include "engine/error.h"
#include "engine/text.h"

std::vector<AttentionFunctionInfo> attention_infos() {
  std::vector<AttentionFunctionInfo> infos = AttentionFunctions::all();
  for (const AttentionFunctionInfo& info : LinearFamilies::all()) infos.push_back(info);
  return infos;
}

std::vector<std::string> attention_names() {
  std::vector<std::string> names;
  for (const AttentionFunctionInfo& info : attention_infos()) names.push_back(info.name);
  return names;
}

std::string attention_page(size_t width) {
  const auto lines = [width](const std::vector<AttentionFunctionInfo>& infos) {
    std::string text;
    for (const auto& f : infos)
      text += wrapped(f.formula + "; " + f.source, width, 18, fmt::format("  {:<15} ", f.name));
    return text;
  };
  return wrapped("Attention functions (s = q.k/sqrt(d), L keys; --attention relu:0.5 gives one an alpha of its own):",
                 width, 2, "") +
         lines(AttentionFunctions::all()) + "\n" +
         wrapped("Linear families, without L x L weights (S = sum k'_j v_j, z = sum k'_j):", width, 2, "") +
         lines(LinearFamilies::all());
}

std::string unknown_attention(const std::string& name) {
  const std::string words = unknown_name(name, attention_names());
  return "--attention: " + words + (words.ends_with('?') ? " All" : "; all") + " of them: --help-attention";
}

std::string known_attention(const std::string& text) {
  const size_t colon = std::min(text.find(':'), text.size());
  const std::string name = same_name(text.substr(0, colon), attention_names());
  if (name.empty()) fail(ExitCode::usage, "{}", unknown_attention(text.substr(0, colon)));
  return name + text.substr(colon);
}

bool has_alpha(std::string_view name) {
  for (const AttentionFunctionInfo& info : attention_infos()) if (info.name == name) return info.scaled_by_length;
  return true;
}

bool is_linear(std::string_view name) { return LinearFamilies::visit(name, 1, 1, [](const auto&) {}); }
