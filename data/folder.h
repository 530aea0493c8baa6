// A folder of images, FOLDER/class/image: each image a file of its own.
// defines: is_image_folder, scan_folder
#pragma once
#include <filesystem>

#include "data/scan.h"

// It has folders of classes.
bool is_image_folder(const std::filesystem::path& folder);

// Classes as sort_classes has them and, within each, images sorted by name; of a class without images in its
// own folder those in the one folder within it that has the same name for all such classes, as in CLASS/images/NAME.
// Links are followed. Only names are read: listing a million
// files takes seconds.
Scan scan_folder(const std::filesystem::path& folder);
