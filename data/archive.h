// Archives walked from front to back through libarchive: tar and zip, plain or compressed, archives in archives. What a
// file is, its bytes say, never its name.
// defines: ArchiveEntry, walk_archive, safe_path
#pragma once
#include <filesystem>
#include <functional>
#include <string>
#include <string_view>

#include "data/tally.h"

// A regular file in the archive, as the walk passes it, or a hard link to one.
struct ArchiveEntry {
  std::string path;    // a/b/c.jpg, safe to use as a name: no "..", no leading "/", no control characters; an archive
                       // is a folder with its name without .tar, .tgz, .zip, ...
  std::string where;        // "outer.zip:inner.tar:a/b/c.jpg", for messages
  std::string_view head;    // its first bytes, at least 512 where it has them
  std::function<void(const std::function<void(std::string_view)>&)> pass;    // its bytes, piece by piece; once
  std::string link;         // of a hard link, which has neither head nor bytes: the path of the file that it is, too
};

// False, before any visit, where the file is no archive. Damage is a data error that names the member. So that no
// archive can fill a disk: members of at most 1 GiB, four levels, and no more than 250 times the archive's size, or
// 256 MiB. Hidden files, those in __MACOSX and folders are passed over in silence, links and devices are counted.
bool walk_archive(const std::filesystem::path& file, const std::function<void(const ArchiveEntry&)>& visit,
                  Tally& passed_over);

// Components of a name that came from outside, without "", ".", ".." and control characters, joined by "/".
std::string safe_path(std::string_view name);
