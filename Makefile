# Ohmloop. `make` lists the targets; each sets up .venv and the tools first, which is nothing the second time.

PYTHON ?= python3
CONFIG ?= chip64
MATRIX ?=
ARGS   ?=
COUNT  ?= 100000
SEED   ?= 1

BIN := .venv/bin

# Idle BLAS threads spin, and there are only small matrices here.
export OPENBLAS_NUM_THREADS ?= 1

.DEFAULT_GOAL := help
.PHONY: help setup sim sweep report verilog registers test lockstep buses streams equivalence convergence solvers random calibration large safety settling spice effects bench area lint docs doctor lock clean
.DELETE_ON_ERROR:

help: ## list the targets
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/\1|\2/p' $(MAKEFILE_LIST) | awk -F'|' '{ printf "  make %-12s %s\n", $$1, $$2 }'

setup: ## set up .venv and the tools; every target below does this first
	@$(PYTHON) scripts/bootstrap.py

sim: setup ## solve a system on the simulated chip: [CONFIG=chip64] [MATRIX=file.mtx] [ARGS="--json FILE"]
	@$(BIN)/ohmloop sim --config $(CONFIG) $(if $(MATRIX),"$(MATRIX)") --out build/sim $(ARGS)

report: setup ## a page, a trace and a waveform of one run: [CONFIG=chip64] [MATRIX=file.mtx] [ARGS="--program gcr"]
	@$(BIN)/ohmloop report $(if $(MATRIX),"$(MATRIX)") --config $(CONFIG) --out build/report $(ARGS)

sweep: setup ## errors and yield of many chips against mismatch: [CONFIG=chip64] [MATRIX=file.mtx] [ARGS="--set gain_dB=60,70"]
	@$(BIN)/ohmloop sweep $(if $(MATRIX),"$(MATRIX)") --config $(CONFIG) --out build/sweep \
		$(if $(ARGS),$(ARGS),--set mismatch_sigma=0.001,0.003,0.01,0.03 --chips 1000)

verilog: setup ## write the Verilog of the chip: [CONFIG=chip64]
	@$(BIN)/ohmloop verilog --config $(CONFIG) --out build/verilog

registers: setup ## write HTML, a C header and IP-XACT of the registers into build/registers: [CONFIG=chip64]
	@$(BIN)/python scripts/registers.py --config $(CONFIG)

test: setup ## run the tests: [ARGS='-k cosim -x']
	@$(BIN)/python -m pytest -n 2 --dist worksteal $(ARGS)

lockstep: setup ## long campaign, random programs on chip and golden machine: [COUNT=100000] [SEED=1] [ARGS="--config tiny"]
	@$(BIN)/python -m verification.lockstep.lockstep --count $(COUNT) --seed $(SEED) $(ARGS)

buses: setup ## long campaign, random accesses on AXI4-Lite and Wishbone in every state: [SEED=1] [ARGS="--amount 1000"]
	@$(BIN)/python -m verification.cosim.campaign buses --seed $(SEED) $(ARGS)

streams: setup ## long campaign, beats through both streams under random pauses: [SEED=1] [ARGS="--amount 1000"]
	@$(BIN)/python -m verification.cosim.campaign streams --seed $(SEED) $(ARGS)

equivalence: setup ## long campaign, codes and clocks of both simulators against prediction: [ARGS=--quick]
	@$(BIN)/python -m verification.cosim.equivalence $(ARGS)

convergence: setup ## long campaign, iterations and clocks of the programs: [CONFIG=chip64] [ARGS="--engine verilator"]
	@$(BIN)/python -m verification.programs.convergence --config $(CONFIG) $(ARGS)

solvers: setup ## iterations of the solvers, beside none, Jacobi and ILU(0): [CONFIG=chip64] [ARGS="--only mesh"]
	@$(BIN)/python -m verification.programs.solver_counts --config $(CONFIG) $(ARGS)

random: setup ## long campaign, random systems solved or refused with a reason: [COUNT=500] [ARGS="--size 64"]
	@$(BIN)/python -m verification.programs.random_systems $(if $(filter command line,$(origin COUNT)),--count $(COUNT)) $(ARGS)

calibration: setup ## long campaign, what digital calibration mends: [CONFIG=chip64] [ARGS="--engine icarus --chips 2"]
	@$(BIN)/python -m verification.programs.calibration --config $(CONFIG) $(ARGS)

large: setup ## long campaign, systems above the array: methods, solves, writings, what is chosen: [ARGS="--only 'heat'"]
	@$(BIN)/python -m verification.programs.large_systems --config $(CONFIG) $(ARGS)

safety: setup ## long campaign, chips that should fail must say so: [CONFIG=lab] [ARGS="--count 10000"]
	@$(BIN)/python -m verification.programs.safety $(if $(filter command line,$(origin CONFIG)),--config $(CONFIG)) $(ARGS)

settling: setup ## measured settling against the prediction and the rule against its bound: [ARGS="--out DIR"]
	@$(BIN)/python -m verification.programs.settling $(ARGS)

spice: setup ## make the fixtures of ngspice anew, compare with the kept ones and with numpy: [ARGS=--write]
	@$(BIN)/python -m verification.spice.fixtures $(ARGS)

effects: setup ## each imperfection in every body, beside its formula: [ARGS="--json FILE"]
	@$(BIN)/python -m verification.spice.effects $(ARGS)

bench: setup ## speed, as ratios of what is timed in one run: [CONFIG=chip64]
	@$(BIN)/ohmloop bench --config $(CONFIG)
	@$(BIN)/python -m verification.cosim.macro_speed --config $(CONFIG)

area: setup ## what each block takes on an ECP5: [CONFIG=chip64]
	@$(BIN)/python scripts/area.py --config $(CONFIG)

lint: setup ## ruff and pyright
	@$(BIN)/ruff check
	@$(BIN)/pyright

docs: setup ## build the documentation into build/docs
	@$(BIN)/sphinx-build -q -W --keep-going -b html docs build/docs
	@echo "docs: build/docs/index.html"

doctor: setup ## show the tools that were found: [ARGS='--require verilator']
	@$(BIN)/ohmloop doctor $(ARGS)

lock: setup ## pin what is installed in .venv
	@$(BIN)/python scripts/lock.py

clean: ## remove build products; .venv stays
	rm -rf build .pytest_cache .ruff_cache
