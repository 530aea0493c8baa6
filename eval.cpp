// build/eval: looks at a trained model. Results go to stdout, progress to stderr.
#include "engine/machine.h"
#include "engine/program.h"

// The subcommands in the order of --help, each with its flags in models/eval_NAME.cpp.
using AddSubcommand = void(CLI::App& eval);
AddSubcommand add_accuracy, add_features, add_predict, add_confusion, add_fewshot, add_gradients, add_inspect,
    add_export, add_report;
constexpr AddSubcommand* subcommands[] = {add_accuracy, add_features,  add_predict, add_confusion, add_fewshot,
                                          add_gradients, add_inspect, add_export,  add_report};

int main(int argc, char** argv) {
  wait_briefly(argv);
  return run_program("eval", [&] {
    CLI::App app{"Looks at a trained Vision Transformer.", "eval"};
    set_up_help(app, "Common");
    app.require_subcommand(1);
    for (AddSubcommand* add : subcommands) add(app);
    parse(app, argc, argv);
    return 0;
  });
}
