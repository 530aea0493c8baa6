// A folder with all that is below it.
// defines: walk_folder
#pragma once
#include <filesystem>
#include <functional>

#include "data/tally.h"

// Calls visit(file, path from the folder on) for each regular file at any depth, links followed, in no order; what is
// hidden is passed over in silence. A link to a folder that it lies in, links to folders within each other more than
// four deep, links to nothing and devices are counted. Errors are filesystem_error.
void walk_folder(const std::filesystem::path& folder,
                 const std::function<void(const std::filesystem::directory_entry&, const std::string&)>& visit,
                 Tally& passed_over);
