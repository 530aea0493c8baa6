#include "models/presets.h"
#include <array>
#include <optional>
#include <regex>
#include <fmt/ranges.h>
#include "data/paths.h"
#include "engine/console.h"
#include "engine/error.h"
#include "engine/text.h"

namespace {
struct Variant { const char* name; int width, depth, mlp_width, heads; };
constexpr Variant variants[] = {
    {"mu", 32, 1, 128, 2},          {"Ti", 192, 12, 768, 3},   {"S", 384, 12, 1536, 6},
    {"M", 512, 12, 2048, 8},        {"B", 768, 12, 3072, 12},  {"L", 1024, 24, 4096, 16},
    {"So400m", 1152, 27, 4304, 16}, {"H", 1280, 32, 5120, 16}, {"g", 1408, 40, 6144, 16},
    {"g-opt", 1536, 40, 6144, 16},  {"G", 1664, 48, 8192, 16}, {"G-opt", 1536, 48, 8192, 16},
    {"e", 1792, 56, 15360, 16}};

// timm 1.0's further sizes (timm/models/vision_transformer.py); `pool`: of the models that have them, or all.
struct TimmSize { int width, depth, mlp_width, heads; const char* pool = nullptr; };
constexpr TimmSize timm_sizes[] = {
    {64, 6, 192, 2},      {64, 8, 192, 2},       {96, 9, 192, 3},     {96, 9, 288, 3},     {256, 10, 1024, 4},
    {256, 14, 1280, 4},   {320, 14, 1792, 5},    {384, 36, 1536, 6},  {512, 20, 2048, 8},  {640, 12, 2560, 10},
    {832, 21, 2176, 13},  {896, 12, 3584, 14},   {896, 18, 2304, 14}, {1536, 40, 8192, 24},
    {768, 12, 3072, 16, "gap"}};    // vit_base_patch16_gap_224

// timm's words for them.
constexpr std::pair<const char*, const char*> of_timm[] = {{"tiny", "Ti"}, {"small", "S"}, {"medium", "M"},
                                                           {"base", "B"},  {"large", "L"}, {"so400m", "So400m"},
                                                           {"huge", "H"},  {"giant", "g"}, {"gigantic", "G"}};

std::vector<std::string> names_of_variants() {
  std::vector<std::string> names;
  for (const Variant& v : variants) names.push_back(v.name);
  return names;
}

// "small", "16" and "224" of "vit_small_patch16_224.augreg_in1k"; nothing of names with more in them, such as
// registers.
std::optional<std::array<std::string, 3>> parts_of_timm(const std::string& text) {
  static const std::regex name("(?:vit|deit)_([a-z0-9]+)_patch([0-9]{1,4})(?:_([0-9]{1,5}))?(?:\\..*)?",
                               std::regex::icase);
  std::smatch found;
  if (!std::regex_match(text, found, name)) return {};
  return {{found[1], found[2], found[3]}};
}
}  // namespace

std::set<int> heads_of_size(const ViTConfig& c) {
  std::set<int> heads;
  const auto fits = [&](const auto& size) {
    return size.width == c.width && size.depth == c.depth && size.mlp_width == c.mlp_width;
  };
  for (const Variant& v : variants)
    if (fits(v)) heads.insert(v.heads);
  for (const TimmSize& t : timm_sizes)
    if (fits(t) && (!t.pool || c.pool == t.pool)) heads.insert(t.heads);
  return heads;
}

std::string variant_names() { return fmt::format("{}", fmt::join(names_of_variants(), ", ")); }

std::string known_model(const std::string& text) {
  const std::string given(trimmed(text));
  if (const auto timm = parts_of_timm(given.substr(0, 100))) {
    const auto& [size, patch, side] = *timm;
    for (const auto& [word, variant] : of_timm)
      if (lower_case(size) == word) {
        const std::string name = fmt::format("{}/{}", variant, patch);
        print_log("note    --model {}: {} has its sizes; timm's own is --model {} --pool cls --gelu erf{}\n", given,
                  name, name, side.empty() ? "" : " --image-size " + side);
        return name;
      }
  }
  const size_t end = given.find_last_not_of("0123456789") + 1, slash = given.find('/');      // of what is no patch
  const std::string variant = given.substr(0, std::min(slash, end)), patch = given.substr(end),
                    name = same_name(variant, names_of_variants());
  const bool number =
      !patch.empty() && patch.size() <= 4 && patch[0] != '0' && (slash == given.npos || slash + 1 == end);
  if (name.empty() || !number)
    fail(ExitCode::usage, "--model: '{}' is unknown, expected VARIANT/PATCH such as S/16 with a variant of {}{}",
         printable(given.substr(0, 60)), variant_names(), did_you_mean(variant, names_of_variants()));
  return name + "/" + patch;
}

std::string known_models(const std::string& text) {
  std::vector<std::string> names;
  for (const std::string& name : split(text, ",")) names.push_back(known_model(name));
  return fmt::format("{}", fmt::join(names, ","));
}

void set_variant(ViTConfig& config, const std::string& name) {
  const std::vector<std::string> parts = split(known_model(name), "/");
  for (const Variant& v : variants)
    if (parts[0] == v.name)
      config.width = v.width, config.depth = v.depth, config.mlp_width = v.mlp_width, config.heads = v.heads,
      config.patch = std::stoi(parts[1]);
}
