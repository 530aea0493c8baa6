// The rows of metrics.jsonl that pages and tables are made of: those that are no such rows are left out, and told of.
#include "models/run_log.h"

#include <doctest/doctest.h>

#include "tests/error_of.h"
#include "tests/tar_builder.h"
#include "tests/temp_dir.h"

namespace {
RunRows rows_of(const std::string& text) {
  const TempDir dir;
  return read_rows(write_file(dir.path() / "metrics.jsonl", text));
}
}

TEST_SUITE("report") {
  TEST_CASE("rows of metrics.jsonl") {
    const RunRows whole = rows_of("{\"step\":1,\"loss\":2.5,\"images_per_second\":100}\n"
                                  "{\"step\":2,\"val_accuracy\":0.5,\"val_loss\":null}\n{\"step\":3,\"lo");
    REQUIRE(whole.rows.size() == 2);
    CHECK(whole.note.empty());    // the last line is being written
    CHECK((whole.rows[0].step == 1 && whole.rows[0].loss == 2.5 && !whole.rows[0].val_accuracy));
    CHECK((whole.rows[1].step == 2 && whole.rows[1].val_accuracy == 0.5 && !whole.rows[1].val_loss));
  }

  TEST_CASE("a row with a field that is wrong or missing is left out, and named with its line") {
    for (const char* row : {"{\"step\":\"x\"}", "{\"step\":-1}", "{\"step\":1.5}", "{\"loss\":1}", "[1]", "null", "{",
                            "{\"step\":1,\"loss\":\"low\"}", "{\"step\":1,\"val_accuracy\":2}",
                            "{\"step\":1,\"val_accuracy\":[]}", "{\"step\":1,\"val_accuracy\":0.5,\"val_loss\":{}}",
                            "{\"step\":1,\"images_per_second\":-3}", "{\"step\":99999999999999999999}"}) {
      CAPTURE(row);
      const RunRows read = rows_of("{\"step\":1}\n" + std::string(row) + "\n" + row + "\n{\"step\":2}\n");
      CHECK(read.rows.size() == 2);
      CHECK(says(read.note, {"metrics.jsonl:2: expected", "2 lines left out"}));
    }
  }
}
