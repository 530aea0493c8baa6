// How the statistics of attention moved while runs trained: inspect.csv, which train --inspect-every writes, as plots.
// defines: Trajectories, read_trajectories, trajectory_section
#pragma once
#include <filesystem>
#include <map>
#include <string>
#include <utility>
#include <vector>

struct Trajectories {
  std::string run;                                         // how plots call it
  // [column][layer]: updates done, and the mean over the heads there
  std::map<std::string, std::map<int, std::vector<std::pair<double, double>>>> values;
};

// Nothing where the run was not looked into. Data error where the file is damaged.
Trajectories read_trajectories(const std::filesystem::path& folder, const std::string& run);

// HTML: one run by layer; several beside each other by their mean over layers, then each by layer. Empty where nothing
// was written.
std::string trajectory_section(const std::vector<Trajectories>& runs);
