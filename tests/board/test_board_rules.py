"""The simulated board's processing system sees every broken rule of broken.sv, and nothing else."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from small_network import bit

from flow.board import model, prepare
from flow.board.errors import BoardError, BusError, ProcessorHangs, RuleBroken
from flow.errors import UserError
from flow.paths import RTL

BASE, GP0, ROOM = 0x1000_0000, 0x43C0_0000, 4096

RULES = {
    1: "crosses 4 KiB",
    2: "ARSIZE is 2",
    3: "ARBURST is 0",
    4: "no multiple of 8",
    5: "WID is not AWID",
    6: "WLAST at the wrong beat",
    7: "read of 0x10004000, 16 bytes, which no buffer holds",
    8: "write to 0x10004000, which no buffer holds",
    11: "RID is not ARID",
    12: "BID is not AWID",
    13: "RLAST at the wrong beat",
    14: "an input that must be tied is not",
    15: "R changed while it waited",
    16: "B changed while it waited",
}
WAITING = {
    9: "AR changed while it waited",
    10: "W changed while it waited",
    17: "AW changed while it waited",
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("broken")
    sources = root / "bitstream" / "sources"
    sources.mkdir(parents=True)
    for path in (RTL / "gp0_slave.sv", Path(__file__).with_name("broken.sv")):
        shutil.copy(path, sources)
    (sources / "files.f").write_text("gp0_slave.sv\nbroken.sv\n")
    body = {"top": "broken", "parameters": {"BASE": BASE}}
    (sources / "parameters.json").write_text(json.dumps(body))
    (root / "bitstream" / "design.bit").write_bytes(bit())
    return prepare(root / "bitstream", root / "board")


@pytest.fixture
def board(folder):
    memory = model.Memory(BASE, 1 << 16)
    found = model.Model(folder, memory)
    found.memory = memory
    found.request(model.RESET, 0)
    found.request(model.RESET, 1)
    found.request(model.ALLOW, BASE, ROOM)
    yield found
    found.close()


def word(value: int) -> bytes:
    return value.to_bytes(4, "little")


def test_nothing_is_said_of_what_is_right(board):
    board.memory.data[:16] = np.arange(16)
    for _ in range(3):
        board.write(GP0, word(0), 100)
    stats = board.stats()
    assert (stats["read_beats"], stats["written_beats"], stats["led"]) == (6, 6, 0)
    assert board.memory.data[:16].tobytes() == bytes.fromhex("00776655443322110177665544332211")
    assert board.read(GP0 + 8, 72, 0) == b"".join(map(word, range(2, 20)))  # bursts of 16 and 2


@pytest.mark.parametrize("kind", RULES)
def test_a_broken_rule_is_said(kind, board):
    with pytest.raises(RuleBroken, match=RULES[kind]):
        for _ in range(9):  # READY is high at once, more often than not
            board.write(GP0, word(kind), 200)
            board.read(GP0, 4, 0)
    with pytest.raises(RuleBroken, match=RULES[kind]):  # for ever
        board.read(GP0, 4, 0)


@pytest.mark.parametrize("kind", WAITING)
def test_what_waits_must_not_change(kind, board):
    board.request(model.FAULT, model.MEMORY_DEAD)
    with pytest.raises(RuleBroken, match=WAITING[kind]):
        board.write(GP0, word(kind), 200)


def test_memory_that_was_given_back_is_nobody_s(board):
    board.write(GP0, word(0), 100)
    board.request(model.FORBID, BASE)
    with pytest.raises(RuleBroken, match="no buffer holds"):
        board.write(GP0, word(0), 100)


def test_an_error_leaves_memory_as_it_was(board):
    """This logic does not look at the answer."""
    board.memory.data[:] = 7
    board.request(model.ANSWER, model.DECERR)
    board.request(model.FAULT, model.WRITES, BASE, BASE + 8)
    board.write(GP0, word(0), 100)
    assert (board.memory.data == 7).all()
    board.request(model.FAULT, model.WRITES, BASE + 16, BASE + 24)  # of other addresses
    board.write(GP0, word(0), 100)
    assert (board.memory.data != 7).any()


@pytest.mark.parametrize("narrow", [0, 1])
def test_a_narrow_port_moves_half_of_each_word(narrow, board):
    board.memory.data[:16] = 7
    board.request(model.WIDTH, 0, narrow)
    board.write(GP0, word(0), 100)
    second = board.memory.data[8:16].tobytes()
    assert second == bytes.fromhex("0177665544332211")[: 8 - 4 * narrow] + b"\7" * (4 * narrow)


def test_an_unanswered_access_is_said_for_ever(board):
    before = board.cycle
    board.request(model.FAULT, model.REGISTERS_DEAD)
    with pytest.raises(ProcessorHangs, match="a read of 0x43C00000 is not answered"):
        board.read(GP0, 4, 0)
    assert board.cycle - before >= 4096
    with pytest.raises(ProcessorHangs):
        board.write(GP0, word(0), 0)


def test_an_error_is_a_bus_error(board):
    with pytest.raises(BusError, match="a read of 0x43C01000 is answered with DECERR"):
        board.read(GP0 + 0x1000, 4, 0)
    with pytest.raises(BusError, match="a write to 0x43BFFFFC is answered with DECERR"):
        board.write(GP0 - 4, word(0), 0)
    assert board.read(GP0 + 4, 4, 0) == word(1)


def test_a_model_that_ended_is_said(board):
    board._process.kill()
    with pytest.raises(BoardError, match="the model ended"):
        board.read(GP0, 4, 0)
    board.close()
    with pytest.raises(BoardError, match="no bitstream is loaded any more"):
        board.read(GP0, 4, 0)


def test_a_folder_without_a_program_is_said(tmp_path):
    with pytest.raises(UserError, match=r"flow\.board\.prepare"):
        model.Model(tmp_path, model.Memory(BASE, 4096))
