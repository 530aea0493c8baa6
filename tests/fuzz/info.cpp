// The list of splits in JSON: its first byte says which split is asked for.
#include "data/source.h"

#include "tests/fuzz/fuzz.h"

void run(Bytes input) {
  if (input.empty()) return;
  scratch("a.tar", "");
  const auto list = scratch("_info.json", text_of(input.subspan(1)));
  expand_source(list.string() + (input[0] % 2 ? ":train" : ""));
}

std::vector<std::string> seeds() {
  const std::string train = R"({"name": "train", "num_samples": 2, "filenames": ["a.tar"], "shard_lengths": [2]})";
  return {R"(0{"splits": {"train": )" + train + "}}",
          R"(1{"splits": {"train": )" + train + R"(, "v\n": {"filenames": ["b.tar", 1], "alt_label": [{"a": null}]}}})",
          R"(0{"splits": {"v": {"alt_label": "\u00e9", "filenames": ["\u0000"]}}})", "1[]"};
}
