// The rows of metrics.jsonl.
#include "models/run_log.h"

#include <cstdlib>

#include "tests/fuzz/fuzz.h"

void run(Bytes input) {
  for (const RunRow& row : read_rows(scratch("metrics.jsonl", text_of(input))).rows)
    if (row.step < 0 || row.val_accuracy.value_or(0) > 1) std::abort();
}

std::vector<std::string> seeds() {
  return {"{\"step\":1,\"loss\":2.5,\"images_per_second\":100}\n",
          "{\"step\":2,\"val_accuracy\":0.5,\"val_loss\":null}\n"};
}
