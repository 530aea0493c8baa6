// Which folders of an image's path say its class and its part.
// defines: ClassFolders, part_of, first_folders, nearest_folders
#pragma once
#include <string>
#include <string_view>
#include <vector>

#include "data/tally.h"

struct ClassFolders {
  struct Place {
    std::string part;    // train, val or test; or ""
    std::string name;    // of the class; empty: the image is passed over
  };
  std::vector<Place> places;    // one for each path
  std::string note;             // what was chosen, where that is not plain; or ""
  Tally passed_over;
};

// The part that a folder's name says: train, val (also valid, validation) or test; or "".
std::string part_of(std::string_view folder);

// CLASS/IMAGE and PART/CLASS/IMAGE: the first folder. Images in folders within their class's are passed over, unless
// its own folder has none and all such classes have theirs in a folder of one name, as in CLASS/images/IMAGE.
ClassFolders first_folders(const std::vector<std::string_view>& paths);

// .../PART/.../CLASS/IMAGE: the folder that an image lies in. Where all lie in folders of one name, as in
// CLASS/images/IMAGE, the first folder in which they differ; images without one are passed over.
ClassFolders nearest_folders(const std::vector<std::string_view>& paths);
