// Subcommands of eval that are larger than a screen. Each returns the exit status.
// defines: features, fewshot_probe, inspect_command, predict, confusion
#pragma once
#include "models/eval_session.h"

int features(const EvalOptions& o);
int fewshot_probe(const EvalOptions& o);
int inspect_command(const EvalOptions& o);
int predict(const EvalOptions& o);
int confusion(const EvalOptions& o);
