// The flags of a run as text: what is written into its folder, what --resume takes from there, and what --print-config
// shows.
// defines: resolved_flags, write_config, read_config, from_anywhere, stays_here, value_of, with_value,
//          with_folder_of_resume, with_config_of_run, save_arguments, with_saved_arguments, check_members, check_start,
//            run_identity
#pragma once
#include <filesystem>
#include <map>
#include <string>
#include <vector>
#include "data/index.h"
#include "models/train_options.h"

// The flags as they are resolved, from which the run, or the whole grid without `member`, can be repeated or resumed.
std::string resolved_flags(CLI::App& app, const TrainOptions& options, const ViTConfig& config, int64_t steps,
                           const GridMember* member);
void write_config(const std::filesystem::path& folder, const std::string& text);
// flags without --; of several values the first
std::map<std::string, std::string> read_config(const std::filesystem::path& folder);

// A source or file as it can be named from any folder. As it is where this folder's own name would be read as a
// pattern; then `stays_here` is true.
std::string from_anywhere(const std::string& source);
bool stays_here(const std::string& source);

// The value of a flag before the command line is parsed; empty if it is not there.
std::string value_of(const std::vector<std::string>& args, const std::string& flag);
// args with another value of a flag that may be there
std::vector<std::string> with_value(std::vector<std::string> args, const std::string& flag, const std::string& value);
// With --resume RUN as --resume --out RUN, and a usage error for --resume where neither names a folder.
std::vector<std::string> with_folder_of_resume(std::vector<std::string> args);
// --resume takes its flags from RUN/config.toml; flags given as well win. In reverse order, as CLI11 takes them.
std::vector<std::string> with_config_of_run(std::vector<std::string> args);

// Several models, whose flags differ, are gone on with from the arguments of their first start; flags given as well
// win.
inline constexpr const char* arguments_file = "arguments.txt";      // one a line
void save_arguments(const std::filesystem::path& folder, const std::vector<std::string>& args);
std::vector<std::string> with_saved_arguments(std::vector<std::string> args);

// A folder holds one run, or the members of a grid or of several models, each in a folder of its name; its config.toml
// or arguments.txt names all of them. Refuses what would make it forget some: `members` of this command, none for a
// single run.
void check_members(const std::filesystem::path& folder, const std::vector<std::string>& members);

// Refuses a run of `steps` updates that would destroy what its folder holds: another run, one to go on with that was
// not asked for (`again`: unless it is finished, as members that a command names again may be), or weights without
// their state.
void check_start(const std::filesystem::path& folder, const std::map<std::string, std::string>& identity, int64_t steps,
                 bool resume, bool again);

// What a resumed run must have in common with the one it goes on from, name by name.
std::map<std::string, std::string> run_identity(const TrainOptions& options, const ViTConfig& config,
                                                const Index& train, int64_t steps, int64_t warmup, uint64_t seed);
