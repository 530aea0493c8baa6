#include "engine/dtype.h"

#include <bit>
#include <cmath>
#include <cstring>
#include <fmt/ranges.h>
#include <map>

#include "engine/bf16.h"
#include "engine/error.h"

static_assert(std::endian::native == std::endian::little, "tensor files are little-endian and are read in place");

int dtype_bits(std::string_view dtype) {
  static const std::map<std::string_view, int> bits = {
      {"BOOL", 8},        {"U8", 8},      {"I8", 8},       {"F8_E5M2", 8}, {"F8_E4M3", 8}, {"F8_E8M0", 8},
      {"F8_E4M3FNUZ", 8}, {"F8_E5M2FNUZ", 8}, {"I16", 16}, {"U16", 16},    {"F16", 16},    {"BF16", 16},
      {"I32", 32},        {"U32", 32},    {"F32", 32},     {"C64", 64},    {"F64", 64},    {"I64", 64},
      {"U64", 64},        {"F4", 4},      {"F6_E2M3", 6},  {"F6_E3M2", 6}};
  const auto found = bits.find(dtype);
  return found == bits.end() ? 0 : found->second;
}

std::optional<uint64_t> byte_count(std::string_view dtype, const std::vector<int64_t>& shape) {
  uint64_t bits = uint64_t(dtype_bits(dtype));
  if (bits == 0) return {};
  for (const int64_t length : shape)
    if (length < 0 || __builtin_mul_overflow(bits, uint64_t(length), &bits)) return {};
  if (bits % 8 != 0) return {};
  return bits / 8;
}

std::string shape_text(const std::vector<int64_t>& shape) { return fmt::format("[{}]", fmt::join(shape, ", ")); }

namespace {
// Out_i = convert(Stored_i); memcpy because a mapped file may hold its elements at any address.
template <class Stored, class Out, class Convert>
std::vector<Out> converted(std::span<const std::byte> bytes, Convert convert) {
  std::vector<Out> out(bytes.size() / sizeof(Stored));
  for (size_t i = 0; i < out.size(); i++) {
    Stored stored;
    std::memcpy(&stored, bytes.data() + i * sizeof(Stored), sizeof(Stored));
    out[i] = convert(stored);
  }
  return out;
}

float from_f16(uint16_t bits) {
  const int exponent = bits >> 10 & 31, fraction = bits & 1023;
  const float magnitude = exponent == 0    ? std::ldexp(float(fraction), -24)
                          : exponent == 31 ? (fraction ? NAN : INFINITY)
                                           : std::ldexp(float(1024 + fraction), exponent - 25);
  return bits & 0x8000 ? -magnitude : magnitude;
}

template <class Stored>
std::vector<int64_t> widened(std::span<const std::byte> bytes) {
  return converted<Stored, int64_t>(bytes, [](Stored x) { return int64_t(x); });
}
}  // namespace

std::vector<float> to_floats(std::string_view dtype, std::span<const std::byte> bytes, std::string_view where) {
  if (dtype == "F32") return converted<float, float>(bytes, [](float x) { return x; });
  if (dtype == "F64") return converted<double, float>(bytes, [](double x) { return float(x); });
  if (dtype == "BF16") return converted<uint16_t, float>(bytes, from_bf16);
  if (dtype == "F16") return converted<uint16_t, float>(bytes, from_f16);
  fail(ExitCode::data, "{}: expected floating point numbers (F32, F64, F16, BF16), got {}", where, dtype);
}

std::vector<int64_t> to_ints(std::string_view dtype, std::span<const std::byte> bytes, std::string_view where) {
  if (dtype == "I64") return widened<int64_t>(bytes);
  if (dtype == "I32") return widened<int32_t>(bytes);
  if (dtype == "I16") return widened<int16_t>(bytes);
  if (dtype == "I8") return widened<int8_t>(bytes);
  if (dtype == "U32") return widened<uint32_t>(bytes);
  if (dtype == "U16") return widened<uint16_t>(bytes);
  if (dtype == "U8" || dtype == "BOOL") return widened<uint8_t>(bytes);
  if (dtype == "U64")
    return converted<uint64_t, int64_t>(bytes, [&](uint64_t x) {
      if (x > uint64_t(INT64_MAX)) fail(ExitCode::data, "{}: {} does not fit a signed 64-bit integer", where, x);
      return int64_t(x);
    });
  fail(ExitCode::data, "{}: expected integers, got {}", where, dtype);
}
