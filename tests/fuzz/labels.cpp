// Files of labels and names: the first byte says which one it is, a zero byte separates the devkit's two.
#include "data/labels.h"

#include "tests/fuzz/fuzz.h"

namespace {
Scan two_images() {
  Scan scan;
  scan.labels = LabelKind::image_number;
  for (int32_t number : {2, 1}) scan.samples.push_back({.offset = 0, .header = 0, .size = 0, .label = number});
  return scan;
}
}  // namespace

void run(Bytes input) {
  if (input.empty()) return;
  const std::string text = text_of(input.subspan(1));
  Scan scan = two_images();
  switch (input[0] % 4) {
    case 0: {
      const auto names = class_list(scratch("classes.txt", text).parent_path() / "x.tar");
      scan.classes = {"n01440764", "tench"};
      for (Sample& sample : scan.samples) sample.label--;
      label_by_name("x.tar", scan, names);
      return;
    }
    case 1: {
      std::filesystem::remove(scratch("classes.txt", ""));
      class_list(scratch("batches.meta.txt", text).parent_path() / "data_batch_1.bin");
      return;
    }
    case 2: return take_label_file(scratch("val-labels.txt", text).parent_path() / "val.tar", scan);
    case 3: {
      const size_t zero = std::min(text.find('\0'), text.size());
      const auto truth = scratch("ILSVRC2012_validation_ground_truth.txt", text.substr(0, zero));
      scratch("ILSVRC2012_wnids.txt", text.substr(std::min(zero + 1, text.size())));
      return take_label_file(truth.parent_path() / "devkit.tar", scan);
    }
  }
}

std::vector<std::string> seeds() {
  return {"0" "0\tn01440764 tench\n1\tgoldfish\n", "0" "1\ttench\r\n0\tn01440764\tx \n",    // '0' is a multiple of 4
          "1airplane\nautomobile\n\n", "2" "0\n17\n", "2n01440764\nn01443537\n",
          "3" "2\n1\n" + std::string(1, '\0') + "n01443537 goldfish\nn01440764\n"};
}
