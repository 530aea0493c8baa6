# What developers and CI run beside `make test`: other libraries, sanitizers, the CUDA device without a GPU and on one,
# planted bugs, fuzzing. Read by the Makefile, whose names it uses.

CUDA_HEADERS = $(wildcard $(CUDA_HOME)/include/cuda_runtime_api.h)

# ---- without oneDNN and CUDA ----

$(BUILD)/eigen/%.o: %.cpp $(BUILD)/settings
	@mkdir -p $(@D)
	$(call show,CXX)$(CXX) $(CXXFLAGS) -c $< -o $@
# What is compiled otherwise without oneDNN and CUDA is these objects.
WITHOUT_LIBRARIES = $(addprefix $(BUILD)/eigen/engine/,cpu/gemm.o device.o)
WITH_EIGEN = $(addprefix $(BUILD)/eigen/,tests/run train eval pack bench)
$(BUILD)/eigen/train: $(BUILD)/train.o
$(BUILD)/eigen/eval:  $(BUILD)/eval.o
$(BUILD)/eigen/pack:  $(BUILD)/data/pack.o
$(BUILD)/eigen/tests/run: $(TESTS:%.cpp=$(BUILD)/%.o)
$(BUILD)/eigen/bench: $(BENCH:%.cpp=$(BUILD)/%.o)
$(WITH_EIGEN): $(filter-out %/engine/cpu/gemm.o %/engine/device.o,$(CPU_LIBRARY)) $(WITHOUT_LIBRARIES)
	@mkdir -p $(@D)
	$(call show,LINK)$(CXX) $(CXXFLAGS) $^ $(LDFLAGS) $(filter-out -ldnnl,$(LDLIBS)) -o $@
test-eigen: packages
	@echo "test-eigen: builds the programs and the tests without oneDNN and CUDA, and runs the tests"
	@$(MAKE) --no-print-directory -s -j$$(nproc) $(WITH_EIGEN)
	RELUCENT_BUILD=$(BUILD)/eigen $(BUILD)/eigen/tests/run

# ---- the CUDA device without a GPU ----

# The CUDA device on the CPU: the same sources, compiled by g++ and linked with tests/emulator in place of CUDA's libraries.
# DEVICE_TESTS run on either device. Under TSan only the kernels are: the emulator tells it which threads there are.
DEVICE_TESTS = $(patsubst %,$(PLAIN)/tests/%.o,attention attention_layer inspect words tape vit golden optimizer device main) $(patsubst %.cpp,$(PLAIN)/%.o,$(wildcard tests/cuda/*.cpp))
EMULATION = $(patsubst %.cpp,$(BUILD)/%.o,$(wildcard tests/emulator/*.cpp) $(ON_CUDA)) $(filter-out %/engine/device.o,$(CPU_LIBRARY)) $(BUILD)/emulated/engine/device.o
EMULATED = $(addprefix $(BUILD)/emulated/,tests/run train eval pack bench)
$(BUILD)/emulated/train: $(BUILD)/train.o
$(BUILD)/emulated/eval:  $(BUILD)/eval.o
$(BUILD)/emulated/pack:  $(BUILD)/data/pack.o
$(BUILD)/emulated/bench: $(BENCH:%.cpp=$(PLAIN)/%.o)
$(EMULATED): $(EMULATION) $(KERNELS:%.cu=$(BUILD)/emulated/%.o)
$(BUILD)/tsan/tests/run: $(EMULATION) $(KERNELS:%.cu=$(BUILD)/tsan/%.o)
$(BUILD)/emulated/tests/run $(BUILD)/tsan/tests/run: $(DEVICE_TESTS)
# Without vectors under a mask and calls of memset, at which TSan is not called.
SEEN = -fsanitize=thread -fno-tree-vectorize -fno-tree-loop-distribute-patterns
$(BUILD)/tsan/%: private CXXFLAGS += $(SEEN)
# Programs that count the bytes each launch moves: TSan's calls at each access in kernels, to functions that count. Kernels
# come last: of a function inline there too the linker takes the first it meets, which makes no such calls.
COUNTED = $(BUILD)/counted/tests/run $(BUILD)/counted/bench
TRAFFIC = $(patsubst %.cpp,$(BUILD)/%.o,$(wildcard tests/emulator/traffic/*.cpp))
$(BUILD)/counted/tests/run: $(TRAFFIC) $(PLAIN)/tests/main.o $(addprefix $(PLAIN)/tests/bench/,budget.o kernels.o)
$(BUILD)/counted/bench: $(BENCH:%.cpp=$(PLAIN)/%.o)
COUNTING = $(patsubst %.cpp,$(BUILD)/%.o,$(wildcard tests/emulator/counting/*.cpp))
$(COUNTED): $(COUNTING) $(EMULATION) $(KERNELS:%.cu=$(BUILD)/counted/%.o)
# Kernels are internal to their files: global, dladdr knows their names.
$(BUILD)/counted/%.o: $(BUILD)/tsan/%.o
	@mkdir -p $(@D)
	objcopy --wildcard --globalize-symbol='*_kernelI*' $< $@
$(EMULATED) $(COUNTED) $(BUILD)/tsan/tests/run:
	@mkdir -p $(@D)
	$(call show,LINK)$(CXX) $(CXXFLAGS) -rdynamic $^ $(LDFLAGS) $(LDLIBS) -o $@
$(BUILD)/emulated/%.o: %.cu $(BUILD)/settings
	@mkdir -p $(@D)
	$(call show,CXX)$(CXX) -x c++ $(CXXFLAGS) -c $< -o $@
$(BUILD)/tsan/%.o: %.cu $(BUILD)/settings
	@mkdir -p $(@D)
	$(call show,CXX)$(CXX) -x c++ $(CXXFLAGS) -c $< -o $@
$(BUILD)/emulated/%.o: %.cpp $(BUILD)/settings
	@mkdir -p $(@D)
	$(call show,CXX)$(CXX) $(CXXFLAGS) $(FLOAT) -c $< -o $@
$(BUILD)/emulated/%.o: FLOAT += $(WITH_CUDA)
$(BUILD)/emulated/%.o $(BUILD)/tsan/%.o: CXXFLAGS += $(CUDA_INCLUDE) -Wno-unknown-pragmas -fno-strict-aliasing

# The tests of ops, attention and models on the emulated CUDA device, in other orders of threads and streams, and under TSan.
KERNEL_SUITES = -ts="attention,fused attention,fused products,ops on cuda,device,golden,optimizer"
test-emulated: packages
	@if [ -z "$(CUDA_HEADERS)" ]; then echo "skipped: the emulated CUDA device, for want of the CUDA Toolkit's headers"; exit; fi; \
	set -e; echo "test-emulated: builds the CUDA device with g++, every CUDA thread a fiber, and runs the tests on it"; \
	$(MAKE) --no-print-directory -s -j$$(nproc) $(EMULATED) $(COUNTED) $(BUILD)/tsan/tests/run; export RELUCENT_TEST_DEVICE=cuda; \
	tests/side_by_side '$(BUILD)/counted/tests/run' '$(BUILD)/tsan/tests/run $(KERNEL_SUITES)' '$(BUILD)/emulated/tests/run' \
	  'EMULATOR_ORDER=1 EMULATOR_LAZY=1 $(BUILD)/emulated/tests/run $(KERNEL_SUITES)' 'EMULATOR_ORDER=7 EMULATOR_LAZY=2 $(BUILD)/emulated/tests/run $(KERNEL_SUITES)'

# ---- on a GPU, and what nvcc makes of the kernels ----

# On a machine with a GPU: the same tests on it, then under compute-sanitizer if it is there; and its speed.
GPU_PROGRAMS = $(addprefix $(BUILD)/gpu/,tests/run train eval pack bench)
GPU_RUN = $(BUILD)/gpu/tests/run
$(GPU_RUN): $(DEVICE_TESTS) $(LIBRARY)
	@mkdir -p $(@D)
	$(call show,LINK)$(CXX) $(CXXFLAGS) $^ $(LDFLAGS) $(LDLIBS) $(CUDA_LIBS) -o $@
$(filter-out $(GPU_RUN),$(GPU_PROGRAMS)): $(BUILD)/gpu/%: $(BUILD)/%
	@mkdir -p $(@D)
	ln -sf ../$* $@
# Programs that are there are taken as they are, for where they run there may be nothing to build with.
gpu-programs:
	@if ! ls $(GPU_PROGRAMS) >/dev/null 2>&1; then \
	  $(MAKE) --no-print-directory packages && $(MAKE) --no-print-directory -s -j$$(nproc) $(GPU_PROGRAMS); \
	elif [ -n "$$(find $(wildcard engine models data tests *.cpp) -newer $(GPU_RUN) -name '*.[ch]*' | head -1)" ]; then \
	  echo "note: sources are newer than $(BUILD)/gpu; what is there is taken, rm -r $(BUILD)/gpu has it built anew"; fi
test-gpu:
	@if [ "$(CUDA)" != 1 ] && [ ! -x $(GPU_RUN) ]; then echo "skipped: tests on the GPU, for want of nvcc"; exit; fi; \
	set -e; $(MAKE) --no-print-directory gpu-programs; export RELUCENT_TEST_DEVICE=cuda; \
	if ! $(BUILD)/gpu/train --train / --out $(BUILD)/gpu/none --steps 1 --device cuda 2>&1 | grep "no GPU can be used" ; then \
	  $(GPU_RUN); \
	  if sanitizer=$$(command -v compute-sanitizer || ls $(CUDA_HOME)/bin/compute-sanitizer 2>/dev/null); then \
	    for tool in memcheck racecheck; do $$sanitizer --tool $$tool --error-exitcode 1 $(GPU_RUN) -ts="fused attention,device" -tce="*uploaded*,many tiles,errors"; done; \
	  else echo "skipped: compute-sanitizer is not installed"; fi; \
	else echo "skipped: tests on the GPU: there is none"; fi
bench-gpu: gpu-programs
	tests/cuda/card.sh --programs $(BUILD)/gpu --only card,ceilings,speed,attention,pytorch

# Programs for another machine find the libraries that travel with them in lib/ beside them; cuBLAS is that machine's.
BUNDLED = $(addprefix $(BUILD)/bundle/,tests/run train eval pack bench)
$(BUILD)/bundle/train: $(BUILD)/train.o
$(BUILD)/bundle/eval:  $(BUILD)/eval.o
$(BUILD)/bundle/pack:  $(BUILD)/data/pack.o
$(BUILD)/bundle/bench: $(BENCH:%.cpp=$(PLAIN)/%.o)
$(BUILD)/bundle/tests/run: $(DEVICE_TESTS)
$(BUNDLED): LDFLAGS += -s -Wl,--disable-new-dtags,-rpath,'$$ORIGIN/lib:$$ORIGIN/../lib'
$(BUNDLED): $(LIBRARY)
	@mkdir -p $(@D)
	$(call show,LINK)$(CXX) $(CXXFLAGS) $^ $(LDFLAGS) $(LDLIBS) $(filter-out -Wl%,$(CUDA_LIBS)) -o $@
bundled-programs: $(BUNDLED)
gpu-bundle: packages
	@if [ "$(CUDA)" != 1 ]; then echo "gpu-bundle: nvcc is needed" >&2; exit 1; fi
	@$(MAKE) --no-print-directory -s -j$$(nproc) BUILD=$(BUILD)/h100 ARCH=x86-64-v3 CUDA_ARCH=90 bundled-programs
	tests/cuda/bundle $(BUILD)/h100/bundle $(BUILD)/gpu-bundle.tar.xz \
	  "$$($(NVCC) --version | sed -n 's/.*release \([0-9.]*\).*/CUDA \1/p'), sm_90, x86-64-v3"

# The bundle's script on the emulated device with stand-ins for NVIDIA's tools: to its end, and with a step that fails.
test-card: packages
	@if [ -z "$(CUDA_HEADERS)" ]; then echo "skipped: card.sh, for want of the CUDA Toolkit's headers"; exit; fi; \
	$(MAKE) --no-print-directory -s -j$$(nproc) $(EMULATED) && tests/cuda/test_card $(BUILD)/emulated

# What nvcc makes of the kernels, against a table; and the table anew.
static:
	@if [ "$(CUDA)" != 1 ]; then echo "skipped: what nvcc makes of the kernels, for want of nvcc"; else NVCCFLAGS='$(NVCC_COMMON)' tests/cuda/static $(NVCC) $(BUILD); fi
static-update:
	NVCCFLAGS='$(NVCC_COMMON)' tests/cuda/static $(NVCC) $(BUILD) update

# Bugs planted in kernels, calls and the shipped sources: each must be found.
planted: packages
	@if [ -z "$(CUDA_HEADERS)" ]; then echo "skipped: planted bugs, for want of the CUDA Toolkit's headers"; else $(MAKE) --no-print-directory planted-bugs; fi
# As the emulated kernels beside them.
planted-bugs: OPT = -O2
planted-bugs:
	@$(MAKE) --no-print-directory -s -j$$(nproc) $(BUILD)/emulated/tests/run $(BUILD)/tsan/tests/run
	@BUILD=$(BUILD)/planted COMPILE='$(CXX) $(CXXFLAGS) $(CUDA_INCLUDE) -Wno-unknown-pragmas -Wno-maybe-uninitialized -fno-strict-aliasing' \
	  LINK='$(CXX) $(CXXFLAGS) $(CUDA_INCLUDE) -Wno-maybe-uninitialized -rdynamic' LIBS='$(LDFLAGS) $(LDLIBS)' \
	  EMULATOR='$(patsubst %.cpp,$(BUILD)/%.o,$(wildcard tests/emulator/*.cpp) engine/cuda/runtime.cpp engine/error.cpp engine/text.cpp)' OBJECTS='$(DEVICE_TESTS) $(EMULATION)' \
	  KERNELS='$(KERNELS:.cu=.o)' EMULATED_KERNELS=$(BUILD)/emulated TSAN_KERNELS=$(BUILD)/tsan tests/emulator/planted/build
	@tests/emulator/planted/run $(BUILD)/planted

# ---- sanitizers, definitions, warnings, fuzzing ----

ASAN_RUN = RELUCENT_BUILD=$(BUILD)/asan $(BUILD)/asan/tests/run $(SWEEPS)
# They start programs by the hundred, or train for long: nothing that the other tests have not done under sanitizers.
SWEEPS = -tce="one batch is learned by*,no flag of any program*,every subcommand*,a signal is known as soon*"
# As long as all others together.
HALF = "mutations,attention,attention layer,inspect"
# Of a function in a header the linker takes the first it meets, so that of the library, which is checked.
# -Wno-uninitialized: at -Og g++ 12 warns of its own header of AVX-512.
asan:
	@$(MAKE) --no-print-directory -s -j$$(nproc) $(TESTS:%.cpp=$(BUILD)/%.o) $(BENCH:%.cpp=$(BUILD)/%.o) $(if $(CUDA_HEADERS),$(DEVICE_TESTS))
	@CXXFLAGS="-fsanitize=address,undefined -fno-sanitize-recover=undefined -Wno-uninitialized" \
	  $(MAKE) --no-print-directory -s -j$$(nproc) BUILD=$(BUILD)/asan PLAIN=$(BUILD) CUDA=0 OPT="-Og -g1 -ffp-contract=off" \
	  $(PROGRAMS:$(BUILD)/%=$(BUILD)/asan/%) $(BUILD)/asan/tests/run $(if $(CUDA_HEADERS),$(BUILD)/asan/emulated/tests/run)
	@export ASAN_OPTIONS=allocator_may_return_null=1:quarantine_size_mb=64 RELUCENT_MUTATIONS=2000; \
	  tests/side_by_side '$(ASAN_RUN) -ts=$(HALF)' '$(ASAN_RUN) -tse=$(HALF)' \
	  $(if $(CUDA_HEADERS),'RELUCENT_TEST_DEVICE=cuda $(BUILD)/asan/emulated/tests/run $(KERNEL_SUITES) -tce="many tiles"','echo skipped: the emulated CUDA device: there are no headers of the CUDA Toolkit')

odr: packages
	@echo "odr: compiles the programs and tests for a link as one unit, which shows types of two definitions"
	@$(MAKE) --no-print-directory -s -j$$(nproc) BUILD=$(BUILD)/odr CUDA=0 OPT="-O0 -flto=auto -Werror=odr" \
	  LDFLAGS="-r -flinker-output=rel" LDLIBS= $(PROGRAMS:$(BUILD)/%=$(BUILD)/odr/%) $(BUILD)/odr/tests/run
	@echo "odr: every type has one definition"

warnings: packages
	tests/warnings '$(CXX)' -std=c++20 -march=$(ARCH) -fopenmp -Wall -Wextra -Wno-psabi -I. -isystem $(EIGEN) -DEIGEN_DONT_PARALLELIZE $(FLOAT)

# Whatever reads bytes or patterns of others, under libFuzzer and sanitizers.
FUZZ = $(filter-out driver,$(patsubst tests/fuzz/%.cpp,%,$(wildcard tests/fuzz/*.cpp)))
FUZZED = $(DATA) $(wildcard models/attention/*.cpp) $(addprefix models/,bigvision.cpp checkpoint.cpp classes.cpp fields.cpp foreign.cpp learned.cpp presets.cpp run_log.cpp vit.cpp weights.cpp weights_file.cpp) \
  $(addprefix engine/,console.cpp dtype.cpp error.cpp files.cpp flags.cpp json.cpp machine.cpp npy.cpp optimizer.cpp parameters.cpp safetensors.cpp signals.cpp tape.cpp text.cpp)
FUZZ_CXX = $(shell command -v clang++)
FUZZ_FLAGS = -std=c++20 -O1 -g -Wall -Wextra $(if $(filter 1,$(WERROR)),-Werror) -I. -fsanitize=address,undefined -fno-sanitize-recover=undefined
$(BUILD)/fuzz/%.o: %.cpp $(BUILD)/settings
	@mkdir -p $(@D)
	$(call show,CLANG)$(FUZZ_CXX) $(FUZZ_FLAGS) -fsanitize=fuzzer-no-link -MMD -MP -c $< -o $@
# A library: of what pack alone needs nothing is linked.
$(BUILD)/fuzz/fuzzed.a: $(FUZZED:%.cpp=$(BUILD)/fuzz/%.o)
	rm -f $@ && ar rcs $@ $^
$(BUILD)/fuzz/%: $(BUILD)/fuzz/tests/fuzz/%.o $(BUILD)/fuzz/tests/fuzz/driver.o $(BUILD)/fuzz/fuzzed.a
	$(call show,LINK)$(FUZZ_CXX) $(FUZZ_FLAGS) -fsanitize=fuzzer $^ -larchive -lmatio -lz -lfmt -o $@
# Where the data of a JPEG end early, stb_image shifts zeros by 32 and more bits: zeros on every CPU.
$(BUILD)/fuzz/data/image.o: FUZZ_FLAGS += -fno-sanitize=shift-exponent
fuzz: packages
	@if ! echo 'extern "C" int LLVMFuzzerTestOneInput(const char*, unsigned long) { return 0; }' | $(or $(FUZZ_CXX),false) -x c++ -fsanitize=fuzzer,address - -o /dev/null 2>/dev/null; then \
	  echo "skipped: fuzzing, for want of clang with libFuzzer (Debian: clang, libclang-rt-dev)"; exit; fi; \
	echo "fuzz: builds $(words $(FUZZ)) targets and runs each for $${FUZZ_SECONDS:-60} s"; \
	$(MAKE) --no-print-directory -s -j$$(nproc) $(FUZZ:%=$(BUILD)/fuzz/%) && tests/fuzz/run $(BUILD)/fuzz $(FUZZ)

# The programs see to this themselves (engine/machine.h), the tests' own processes do not.
test test-eigen asan test-emulated planted test-card: export GOMP_SPINCOUNT = 1000

.PHONY: odr asan warnings test-eigen test-emulated test-card test-gpu bench-gpu gpu-programs gpu-bundle bundled-programs static \
  static-update planted planted-bugs fuzz
