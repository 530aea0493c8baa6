#include "models/presets.h"
#include <charconv>
#include "engine/error.h"
#include "engine/text.h"

namespace {
struct Variant { const char* name; int width, depth, mlp_width, heads; };
constexpr Variant variants[] = {{"mu", 32, 1, 128, 2},      {"Ti", 192, 12, 768, 3},    {"S", 384, 12, 1536, 6},   {"M", 512, 12, 2048, 8},
                                {"B", 768, 12, 3072, 12},   {"L", 1024, 24, 4096, 16},  {"So400m", 1152, 27, 4304, 16}, {"H", 1280, 32, 5120, 16},
                                {"g", 1408, 40, 6144, 16},  {"g-opt", 1536, 40, 6144, 16}, {"G", 1664, 48, 8192, 16}, {"G-opt", 1536, 48, 8192, 16},
                                {"e", 1792, 56, 15360, 16}};

// timm 1.0's further sizes (timm/models/vision_transformer.py); `pool`: of the models that have them, or all.
struct TimmSize { int width, depth, mlp_width, heads; const char* pool = nullptr; };
constexpr TimmSize timm_sizes[] = {
    {64, 6, 192, 2},      {64, 8, 192, 2},       {96, 9, 192, 3},     {96, 9, 288, 3},     {256, 10, 1024, 4},
    {256, 14, 1280, 4},   {320, 14, 1792, 5},    {384, 36, 1536, 6},  {512, 20, 2048, 8},  {640, 12, 2560, 10},
    {832, 21, 2176, 13},  {896, 12, 3584, 14},   {896, 18, 2304, 14}, {1536, 40, 8192, 24},
    {768, 12, 3072, 16, "gap"}};    // vit_base_patch16_gap_224
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

std::string variant_names() {
  std::string names;
  for (const Variant& v : variants) names += (names.empty() ? "" : ", ") + std::string(v.name);
  return names;
}

void set_variant(ViTConfig& config, const std::string& name) {
  const size_t slash = name.find('/');
  int patch = 0;
  const char* end = name.data() + name.size();
  const bool number = slash != std::string::npos && std::from_chars(name.data() + slash + 1, end, patch).ptr == end && patch > 0;
  for (const Variant& v : variants)
    if (number && name.substr(0, slash) == v.name) {
      config.width = v.width, config.depth = v.depth, config.mlp_width = v.mlp_width, config.heads = v.heads, config.patch = patch;
      return;
    }
  fail(ExitCode::usage, "--model: '{}' is unknown, expected VARIANT/PATCH such as S/16 with a variant of {}{}", name, variant_names(),
       did_you_mean(name.substr(0, slash), variant_names()));
}
