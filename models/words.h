// What the numbers of an inspection mean, in sentences: what is broken, what is unusual, and what to do about it.
// defines: diagnoses
#pragma once
#include <string>
#include <vector>
#include "models/inspect.h"

// The gravest first; empty where nothing is unusual.
std::vector<std::string> diagnoses(const Inspection& inspection, const ViT& vit);

std::string what_diagnoses_look_for();       // one sentence
