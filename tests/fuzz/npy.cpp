// One NumPy array.
#include "engine/npy.h"

#include <fstream>
#include <iterator>

#include "tests/fuzz/fuzz.h"

void run(Bytes input) {
  const Array array = read_npy(scratch("x.npy", text_of(input)));
  (array.dtype.starts_with('F') || array.dtype == "BF16") ? void(array.floats()) : void(array.ints());
}

std::vector<std::string> seeds() {
  const std::vector<float> values = {0, 1, 2, 3, 4, 5};
  const auto path = scratch("seed.npy", "");
  write_npy(path, {2, 3}, values);
  std::ifstream file(path, std::ios::binary);
  const std::string written{std::istreambuf_iterator<char>(file), {}};
  const auto with = [](const std::string& header, size_t bytes, char version = 1) {
    const std::string size = std::string(1, char(header.size())) + std::string(version == 1 ? 1 : 3, '\0');
    return "\x93NUMPY" + std::string{version, '\0'} + size + header + std::string(bytes, '\x3C');
  };
  return {written, with("{'descr': '|V2', 'fortran_order': True, 'shape': (3, 2), }\n", 12),
          with("{'descr': '<i8', 'fortran_order': False, 'shape': (), }\n", 8, 2),
          with("{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (0, 7), }\n", 0, 3)};
}
