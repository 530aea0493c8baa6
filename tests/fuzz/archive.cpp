// Archives of images: tar and zip, compressed, within each other.
#include "data/members.h"
#include "tests/fuzz/fuzz.h"
#include "tests/tar_builder.h"
#include "tests/temp_dir.h"
#include "tests/tiny_files.h"

void run(Bytes input) {
  const TempDir folder;
  Members members(folder.path());
  members.add_archive(scratch("x.zip", text_of(input)), is_packable_image);
  for (const Member& member : members.all()) members.read(member);
}

std::vector<std::string> seeds() {
  const std::string tar = tar_entry("cat/1.jpg", gray_jpeg) + tar_entry("pax", "22 linkpath=cat/1.jpg\n", 'x') +
                          tar_entry("dog/2.jpg", "", '1') + tar_end();
  return {tar, gzipped(tar), compressed_npz, tar_entry("in/x.tar", tar) + tar_entry("y.zip", stored_npz) + tar_end()};
}
