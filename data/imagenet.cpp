#include "data/imagenet.h"

#include <algorithm>

#include "data/decimal.h"
#include "data/paths.h"

// data/wnids.txt, a line for each wnid of any list: the wnid, a space, a letter for each list that has it.
asm(".pushsection .rodata\n"
    ".global relucent_wnids, relucent_wnids_end\n"
    "relucent_wnids: .incbin \"data/wnids.txt\"\n"
    "relucent_wnids_end:\n"
    ".popsection");
extern "C" const char relucent_wnids[], relucent_wnids_end[];

namespace {
constexpr size_t wnid_size = 9;

std::vector<ImagenetList> read_lists() {
  std::vector<ImagenetList> lists{{"1k", "ImageNet-1k", {}},
                                  {"21k", "ImageNet-21k as BigVision has it", {}},
                                  {"22k", "ImageNet-22k of fall 2011", {}},
                                  {"12k", "ImageNet-12k", {}},
                                  {"10k", "ImageNet-21k of winter 2021, processed", {}}};
  std::string_view text(relucent_wnids, size_t(relucent_wnids_end - relucent_wnids));
  for (size_t end; (end = text.find('\n')) != text.npos; text.remove_prefix(end + 1))
    for (const char letter : text.substr(wnid_size + 1, end - wnid_size - 1))
      lists[size_t(letter - 'a')].wnids.emplace_back(text.substr(0, wnid_size));
  return lists;
}
}

const std::vector<ImagenetList>& imagenet_lists() {
  static const std::vector<ImagenetList> lists = read_lists();
  return lists;
}

const ImagenetList* imagenet_list_of(int classes) {
  for (const ImagenetList& list : imagenet_lists())
    if (list.wnids.size() == size_t(classes)) return &list;
  return nullptr;
}

const ImagenetList* imagenet_list_with(const std::vector<std::string>& wnids) {
  for (const ImagenetList& list : imagenet_lists())
    if (list.wnids == wnids) return &list;
  return nullptr;
}

std::string_view wnid_of(std::string_view text) {
  text = file_name(text);
  const std::string_view wnid = text.substr(0, wnid_size);
  const bool ends =
      text.size() == wnid_size || (text.size() > wnid_size && (text[wnid_size] == '_' || text[wnid_size] == ' '));
  const bool digits = wnid.find_first_not_of("0123456789", 1) == wnid.npos;
  return ends && digits && wnid[0] == 'n' ? wnid : std::string_view();
}

int32_t validation_number(std::string_view key) {
  constexpr std::string_view prefix = "ILSVRC2012_val_";
  const std::string_view name = file_name(key);
  if (!name.starts_with(prefix) || name.size() != prefix.size() + 8) return 0;
  return int32_t(std::max<int64_t>(decimal(name.substr(prefix.size())).value_or(0), 0));
}
