// The list of splits that comes with timm's WebDataset sets on Hugging Face: _info.json or info.json beside the shards.
// defines: is_info, info_of_folder, shards_of_info
#pragma once
#include <filesystem>
#include <vector>

// "DIR/_info.json" or "DIR/_info.json:SPLIT"
bool is_info(const std::filesystem::path& path);

// The list in a folder; empty if there is none.
std::filesystem::path info_of_folder(const std::filesystem::path& folder);

// The shards of the split, in the list's order; a list of one split need not name it.
std::vector<std::filesystem::path> shards_of_info(const std::filesystem::path& path);
