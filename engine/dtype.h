// Element types of tensors in files, by their safetensors names: F32, BF16, I64 ...
// defines: dtype_bits, byte_count, shape_text, to_floats, to_ints
#pragma once
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

int dtype_bits(std::string_view dtype);    // 0: no such type

// Bytes of a tensor; none where the dtype is unknown, a length negative, or the product overflows or splits a byte.
std::optional<uint64_t> byte_count(std::string_view dtype, const std::vector<int64_t>& shape);

std::string shape_text(const std::vector<int64_t>& shape);    // "[3, 4]"

// Elements as float (from F64 F32 F16 BF16) or int64 (from integers and BOOL); other types are an error naming `where`.
std::vector<float> to_floats(std::string_view dtype, std::span<const std::byte> bytes, std::string_view where);
std::vector<int64_t> to_ints(std::string_view dtype, std::span<const std::byte> bytes, std::string_view where);
