// ImageNet's classes by their WordNet identifiers (wnids), in the order of the labels, which is the sorted one. The
// identifiers are those of timm 1.0 (PyPI), timm/data/_info.
// defines: ImagenetList, imagenet_lists, imagenet_list_of, imagenet_list_with, wnid_of, validation_number
#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

struct ImagenetList {
  std::string name, title;            // "1k", "ImageNet-1k"
  std::vector<std::string> wnids;     // by label
};

// 1k: ILSVRC2012. 21k: the 21,843 of BigVision and the paper (imagenet21k_goog). 22k: the 21,841 of fall 2011. 12k:
// 11,821 with enough images. 10k: the 10,450 of winter 2021 with enough images (miil_w21).
const std::vector<ImagenetList>& imagenet_lists();

const ImagenetList* imagenet_list_of(int classes);                              // by its size; null if there is none
const ImagenetList* imagenet_list_with(const std::vector<std::string>& wnids);  // exactly these; null if there is none

// "n02692877" of a key such as "train/n02692877_airship" or of a class name such as "n02692877 airship"; empty if there
// is none
std::string_view wnid_of(std::string_view text);

// 123 of a key "ILSVRC2012_val_00000123"; 0 if it is none
int32_t validation_number(std::string_view key);
