// Safetensors files: every tensor that is told of is read.
#include "engine/safetensors.h"

#include <fstream>
#include <iterator>

#include "tests/fuzz/fuzz.h"

void run(Bytes input) {
  const SafeTensors file(scratch("x.safetensors", text_of(input)));
  for (const auto& [name, tensor] : file.tensors())
    if (tensor.dtype == "F32" || tensor.dtype == "F16" || tensor.dtype == "BF16") file.floats(name);
}

std::vector<std::string> seeds() {
  const std::vector<float> values = {0, 1, 2, 3, 4, 5};
  const auto path = scratch("seed.safetensors", "");
  write_safetensors(path, {{"a", "F32", {2, 3}, std::as_bytes(std::span(values))}, {"b", "I64", {0, 9}, {}}});
  std::ifstream file(path, std::ios::binary);
  const std::string written{std::istreambuf_iterator<char>(file), {}};
  const auto with = [](const std::string& header, size_t bytes) {
    return std::string(1, char(header.size())) + std::string(7, '\0') + header + std::string(bytes, '\x3C');
  };
  return {written, with(R"({"w":{"dtype":"F16","shape":[2],"data_offsets":[0,4]}} )", 4),
          with(R"({"__metadata__":{"a":"b"},"x":{"dtype":"BF16","shape":[],"data_offsets":[0,2]}})", 2),
          with(R"({"w":{"dtype":[[1],{"a":"\u00e9"}],"shape":[-1,1e9],"data_offsets":[0]}})", 0)};
}
