# hanbit's front door. `make help` lists the targets; the work is done by `.venv/bin/hanbit`,
# which runs first what a stage needs, and nothing twice.

PRESET ?= mlp-digits#   a name in models/presets
BOARD  ?= pynq-z2#      a name in hw/boards
TOOLCHAIN ?=#           make bitstream, report: vivado: build with it instead of the open tools
SEED   ?=#              seed of training and splits; where not given: of the weights there are, or 0
SEEDS  ?=#              make train: train that many seeds together; make study: so many pairs (6)
TRAIN  ?=#              1: train, though models/zoo may have the weights
ARMS   ?=#              make study: names of models/arms.py, or main, standard (default), all
EPOCHS ?=#              make study: of each run; the preset's where not given
JOBS   ?=#              make study: arms side by side on this machine (2)
RAY    ?=#              make study: 1: run the arms on the Ray cluster of RAY_ADDRESS, or a new one
IMAGES ?=#              make notebook: so many test images (all, of more than 2000 the first 1000)
ONLY   ?=#              make bench: lanes,shell or other parts; all that are not up to date
HOST   ?=#              make deploy: copy to this board by ssh, for example xilinx@pynq
VALIDATE ?=#            make deploy: 1: run bring-up and all test images on HOST

PRESET := $(strip $(PRESET))
BOARD  := $(strip $(BOARD))
TOOLCHAIN := $(strip $(TOOLCHAIN))
SEED   := $(strip $(SEED))
SEEDS  := $(strip $(SEEDS))
TRAIN  := $(strip $(TRAIN))
ARMS   := $(strip $(ARMS))
EPOCHS := $(strip $(EPOCHS))
JOBS   := $(strip $(JOBS))
RAY    := $(strip $(RAY))
IMAGES := $(strip $(IMAGES))
ONLY   := $(strip $(ONLY))
HOST   := $(strip $(HOST))
VALIDATE := $(strip $(VALIDATE))
HANBIT  = .venv/bin/hanbit
OPTIONS = --preset '$(PRESET)' --board '$(BOARD)' $(if $(SEED),--seed '$(SEED)') \
  $(if $(SEEDS),--seeds '$(SEEDS)') $(if $(filter-out 0,$(TRAIN)),--train)
# Tests are many and small: one thread each, a file of tests a worker, two workers.
PYTEST  = OMP_NUM_THREADS=1 .venv/bin/python -m pytest -n 2 --dist loadfile
SETUP_INPUTS = requirements.lock pyproject.toml flow/tools.py $(wildcard flow/setup/* hw/driver/*.lock)

.PHONY: setup demo train export lower simulate bitstream report notebook deploy study test \
  test-all lint bench help
.DEFAULT_GOAL := help
.NOTPARALLEL:

setup: ## install all that is needed into .venv and .tools (a second time: seconds)
	@flow/setup/setup.sh

bitstream report: OPTIONS += $(if $(TOOLCHAIN),--toolchain '$(TOOLCHAIN)')
demo: OPTIONS += --train
demo: report ## setup, then the whole way for the default preset: images to bitstream to report

train export lower simulate bitstream: .tools/setup.done
	@$(HANBIT) $@ $(OPTIONS)

train: ## train the float teacher and the binary student; with SEEDS= several of them
export: ## write the student as QONNX
lower: ## QONNX to the integer dataflow graph, every pass compared with the trained network
simulate: ## generate the RTL and simulate it cycle by cycle against the integer model
bitstream: ## synthesise, place, route, write the bitstream and read it back

report: .tools/setup.done ## everything; ends with the report's path and a table
	@$(HANBIT) report $(OPTIONS)

notebook: .tools/setup.done ## execute the board's notebook on the simulated board, with accuracy and latency
	@$(HANBIT) notebook $(OPTIONS) $(if $(IMAGES),--images '$(IMAGES)')

# Some shells export HOST, the name of this machine: from the environment it must have a user.
deploy: .tools/setup.done ## all that the board needs in one archive; with HOST= copied there
	@$(HANBIT) deploy $(OPTIONS) \
	  $(if $(filter command,$(origin HOST))$(findstring @,$(HOST)),$(HOST:%=--host '%')) \
	  $(if $(filter-out 0,$(VALIDATE)),--validate)

study: .tools/setup.done ## compare ways to distil over paired seeds; stopped, it goes on where it was
	@.venv/bin/python -m models.study --preset '$(PRESET)' $(if $(ARMS),--arms '$(ARMS)') \
	  $(if $(SEEDS),--seeds '$(SEEDS)') $(if $(EPOCHS),--epochs '$(EPOCHS)') \
	  $(if $(JOBS),--jobs '$(JOBS)') $(if $(filter-out 0,$(RAY)),--ray)

test: .tools/setup.done ## tests without the long ones; needs no network
	@$(PYTEST) -m 'not slow and not vivado and not board'

test-all: .tools/setup.done ## tests with the long ones
	@$(PYTEST) -m 'not vivado and not board'

lint: .tools/setup.done ## ruff, mypy, Verilator's lint of hw/rtl
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy
	.venv/bin/python -m pytest tests/hw/test_rtl_lint.py

bench: .tools/setup.done ## measure lanes, foldings, shell, simulation, training; one report of all
	@$(HANBIT) bench $(if $(filter command,$(origin PRESET)),--preset '$(PRESET)') \
	  $(if $(ONLY),--only '$(ONLY)')

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' Makefile
	@awk -F '#' '/^[A-Z]+ +\?=/ { sub(/^ +/, "", $$2); split($$1, v, /[ ?]/); \
	  printf "  %-15s %s\n", v[1] "=", $$2 }' Makefile

# One cheap check before every stage; what setup itself finds done it leaves alone.
.tools/setup.done: $(SETUP_INPUTS)
	@flow/setup/setup.sh
