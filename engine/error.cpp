#include "engine/error.h"

#include "engine/text.h"

Error::Error(ExitCode code, const std::string& message) : std::runtime_error(printable(message)), code(code) {}
