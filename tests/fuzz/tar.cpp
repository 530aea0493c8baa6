// Tars: WebDataset shards, tars of tars, long names. What the index finds is read, and its names are.
#include "data/shards/shard.h"
#include "tests/fuzz/fuzz.h"
#include "tests/tar_builder.h"

void run(Bytes input) {
  const auto shard = open_shard(scratch("shard.tar", text_of(input)));
  const Scan scan = shard->scan();
  if (!shard->could_have(scan)) std::abort();
  const File file(shard->path());
  std::string bytes;
  for (size_t k = 0; k < scan.samples.size(); k++) {
    const Sample& sample = scan.samples[k];
    bytes.resize(sample.size);
    if (file.read(sample.offset, bytes.data(), bytes.size()) != bytes.size()) std::abort();    // promised to be there
    shard->name_of(scan, k);
  }
}

std::vector<std::string> seeds() {
  const std::string shard = tar_entry("a/1.jpg", "image") + tar_entry("a/1.cls", "7\n") + tar_entry("a/2.cls", "0") +
                            tar_entry("a/2.json", "{}") + tar_entry("a/2.png", "") + tar_entry("d/", "", '5');
  const std::string inner = tar_entry("n01440764_1.JPEG", "one") + tar_entry("n01440764_2.JPEG", "two") + tar_end();
  const std::string long_name(150, 'k'), base_256 = "\x80" + std::string(10, '\0') + "\x05";
  return {shard + tar_end(),
          tar_entry("n01440764.tar", inner) + tar_entry("n01443537.tar", inner) + tar_end(),
          tar_entry("ILSVRC2012_val_00000001.JPEG", "x") + tar_entry("ILSVRC2012_val_00000002.JPEG", "y") + tar_end(),
          tar_entry("long", long_name + ".jpg", 'L') + tar_entry("cut", "third") +
              tar_entry("pax", "21 path=folder/x.cls\n", 'x') + tar_entry("cut", "12") + tar_end(),
          tar_entry("x.cls", "1") + tar_entry("x.jpg", "image", '0', base_256, "prefix") +
              tar_entry("pax", "10 size=3\n", 'x') + tar_entry("y.jpg", "abc") + tar_entry("g", "", 'g')};
}
