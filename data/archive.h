// Archives walked from front to back through libarchive: tar and zip, plain or compressed, archives in archives. What a
// file is, its bytes say, never its name.
// defines: ArchiveEntry, walk_archive, safe_path
#pragma once
#include <filesystem>
#include <functional>
#include <string>
#include <string_view>

// A regular file in the archive, as the walk passes it.
struct ArchiveEntry {
  std::string path;    // a/b/c.jpg, safe to use as a name: no "..", no leading "/", no control characters; an archive
                       // is a folder with its name without .tar, .tgz, .zip, ...
  std::string where;        // "outer.zip:inner.tar:a/b/c.jpg", for messages
  std::string_view head;    // its first bytes, at least 512 where it has them
  std::function<void(const std::function<void(std::string_view)>&)> pass;    // its bytes, piece by piece; once
};

// False, before any visit, where the file is no archive. Damage is a data error that names the member. So that no
// archive can fill a disk: members of at most 1 GiB, four levels, and no more than 250 times the archive's size, or
// 256 MiB. Hidden files and those in __MACOSX, links and devices are passed over in silence, being no images.
bool walk_archive(const std::filesystem::path& file, const std::function<void(const ArchiveEntry&)>& visit);

// Components of a name that came from outside, without "", ".", ".." and control characters, joined by "/".
std::string safe_path(std::string_view name);
