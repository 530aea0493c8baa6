// Where images come from: a source named on the command line becomes a list of shards and their class names.
// defines: expand_braces, expand_source
#pragma once
#include <filesystem>
#include <string>
#include <vector>

// Braces as bash and WebDataset expand them: {0000..0003}, {9..11}, {6..0..2}, {a,b}; unbalanced ones are an error.
std::vector<std::string> expand_braces(const std::string& pattern);

// The shards of a source, in a stable order. A source is one or more of these, joined by "::", braces allowed in each:
// a tar, one of CIFAR's binary files, a folder (its *.tar, or an image folder, itself the shard: FOLDER/class/image), a
// split FOLDER/_info.json:train, a glob, or a text file with one of them a line, relative to the text file's folder;
// of a pipe, read once, to the current one.
std::vector<std::filesystem::path> expand_source(const std::string& source);
