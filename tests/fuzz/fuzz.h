// What a fuzz target is: what it does with an input, and inputs to start from. driver.cpp does the rest.
// defines: run, seeds, scratch, text_of
#pragma once
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

using Bytes = std::span<const uint8_t>;

// Defined by each target. Only Error may leave run().
void run(Bytes input);
std::vector<std::string> seeds();

// A file of this name in the folder of this process, with this content.
std::filesystem::path scratch(const std::string& name, const std::string& bytes);

inline std::string text_of(Bytes bytes) { return {bytes.begin(), bytes.end()}; }
