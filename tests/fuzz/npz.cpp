// Archives of NumPy arrays.
#include "engine/npy.h"

#include "tests/fuzz/fuzz.h"
#include "tests/tiny_files.h"

void run(Bytes input) {
  const auto path = scratch("x.npz", text_of(input));
  npz_names(path);
  read_npz(path);
}

std::vector<std::string> seeds() { return {compressed_npz, stored_npz}; }
