"""The driver on the model of test_driver_model: results, checks on opening, faults, threads."""

import base64
import json
import sys
import threading

from test_driver_model import AFI, Buffer, Shell, install  # puts the driver on the path

# isort: split
import hanbit_board.accelerator
import hanbit_board.shell
import numpy as np
import pytest
from hanbit_board import Accelerator, errors
from hanbit_board.layout import Images, Results
from hanbit_board.port_test import checksum

IMAGES = Images((6, 4), 3, 8, 1, 8, threshold=100)
RESULTS = Results("labels", 1, 4, 8, False, 1)
BUILD = 0x1234ABCD
COUNT = 20


def golden(data: np.ndarray) -> np.ndarray:
    """Of packed images: anything that depends on every byte."""
    places = np.arange(1, data.shape[1] + 1)
    return (data * places).sum(axis=1, keepdims=True) % 10


def pictures(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (count, 6, 4), np.uint8)


def expected(images: np.ndarray) -> np.ndarray:
    return golden(IMAGES.pack(IMAGES.fold(images)))[:, 0]


def body() -> dict:
    test = pictures(5, 9)
    return {
        "schema": 1,
        "name": "small",
        "build": f"0x{BUILD:08X}",
        "clock_mhz": 100.0,
        "images": vars(IMAGES) | {"shape": [6, 4]},
        "results": vars(RESULTS),
        "classes": list("0123456789"),
        "interval": 8,
        "self_test": {
            "images": base64.b64encode(test.tobytes()).decode(),
            "results": expected(test)[:, None].tolist(),
        },
    }


@pytest.fixture
def shell() -> Shell:
    return Shell(IMAGES, RESULTS, golden, BUILD)


@pytest.fixture
def bitfile(tmp_path):
    path = tmp_path / "small.bit"
    path.write_bytes(b"")
    path.with_suffix(".json").write_text(json.dumps(body()))
    return path


@pytest.fixture
def loads(monkeypatch, shell):
    monkeypatch.setattr(hanbit_board.shell, "STILL_SECONDS", 0.05)
    monkeypatch.setattr(hanbit_board.accelerator, "LOCK_SECONDS", 2.0)
    return install(monkeypatch, shell)


@pytest.fixture
def net(loads, bitfile):
    with Accelerator(bitfile, timeout_cycles=20_000) as opened:
        yield opened


def test_execute(net, shell):
    for count in (1, COUNT, 3):
        images = pictures(count, count)
        assert np.array_equal(net.execute(images), expected(images))
    assert np.array_equal(net.execute(images.reshape(3, 24)), expected(images))
    assert net.execute(pictures(0)).shape == (0,)
    assert shell.order[:2] == ["odma0", "idma0"]
    assert net.counters.run == 12345
    assert shell.resets == 0


def test_a_large_request_is_split(net, shell, monkeypatch):
    monkeypatch.setattr(hanbit_board.accelerator, "BUFFER_BYTES", 8 * IMAGES.bytes)
    images = pictures(COUNT)
    assert np.array_equal(net.execute(images), expected(images))
    assert shell.batches == [8, 8, 4]


def test_in_the_background(net):
    batches = [pictures(COUNT, seed) for seed in range(6)]
    for batch, future in [(b, net.execute_async(b)) for b in batches]:
        assert np.array_equal(future.result(timeout=10), expected(batch))


def test_threads_do_not_mix(net, shell):
    wrong = []
    shell.pause = 1e-5

    def work(seed):
        for i in range(20):
            images = pictures(5 + i, seed + i)
            if not np.array_equal(net.execute(images), expected(images)):
                wrong.append(seed + i)

    threads = [threading.Thread(target=work, args=(1000 * n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=30)
    assert not wrong and not any(thread.is_alive() for thread in threads)
    assert shell.mixed == 0 and len(shell.batches) == 80


def test_validate(net):
    assert net.validate() == {"images": 5, "mismatches": 0, "first_mismatch": None}
    images = pictures(10)
    wrong = expected(images)
    wrong[4] += 1
    report = net.validate(images, wrong, labels=expected(images))
    assert report == {"images": 10, "mismatches": 1, "first_mismatch": 4, "accuracy": 1.0}


def test_throughput_has_finn_s_keys(net):
    figures = net.throughput_test(batch_size=50)
    runtime = 12345 / 100e6
    assert figures["runtime[ms]"] == pytest.approx(1e3 * runtime)
    assert figures["throughput[images/s]"] == pytest.approx(50 / runtime)
    assert figures["DRAM_in_bandwidth[MB/s]"] == pytest.approx(50e-6 * IMAGES.bytes / runtime)
    assert figures["DRAM_out_bandwidth[MB/s]"] == pytest.approx(50e-6 / runtime)
    assert (figures["fclk[mhz]"], figures["batch_size"]) == (100, 50)
    steps = ("fold_input", "pack_input", "unpack_output", "unfold_output")
    copies = ("copy_input_data_to_device", "copy_output_data_from_device")
    assert all(figures[f"{step}[ms]"] >= 0 for step in (*steps, *copies))


def test_a_missing_flush_is_said(net, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(Buffer, "flush", lambda self: None)
        with pytest.raises(errors.ChecksumError, match="a flush is missing"):
            net.validate()
        images = pictures(COUNT)
        assert (net.execute(images) != expected(images)).any()  # not looked for in every batch
    assert net.validate()["mismatches"] == 0


def test_a_missing_invalidate_gives_wrong_results(net, monkeypatch):
    monkeypatch.setattr(Buffer, "invalidate", lambda self: None)
    assert net.validate()["mismatches"] > 0


def test_the_memory_port(net, shell):
    report = net.memory_test(images=9)
    assert report["bytes"] == report["copied_bytes"] == 9 * IMAGES.bytes
    assert report["read_correct"] and report["wrong_bytes"] == 0
    assert net.validate()["mismatches"] == 0
    move, wrong = shell.move, slice(3, 5)

    def spoilt(route: int) -> None:
        move(route)
        shell.read_only["CHECKSUM"] ^= 1
        shell.memory.blocks[max(shell.memory.blocks)][wrong] ^= 0xFF

    shell.move = spoilt
    report = net.memory_test(images=9)
    assert not report["read_correct"] and report["wrong_bytes"] == 2


def test_the_checksum_is_the_register_s():
    assert checksum(np.array([0x80000001_00000000, 0x00000001_00000002], "<u8")) == 0
    draw = np.random.default_rng(0)
    for count in (0, 1, 31, 32, 33, 100):
        words, total = draw.integers(0, 2**64, count, np.uint64), 0
        for word in words.tolist():
            total = (total << 1 | total >> 31) & 0xFFFFFFFF ^ word >> 32 ^ word & 0xFFFFFFFF
        assert checksum(words) == total


# Opening.


def test_without_hwh_and_with(loads, bitfile, shell):
    shell.clock = 50.0  # of the boot image; a Bitstream does not set it
    Accelerator(bitfile).close()
    assert loads == {"overlay": 0, "bitstream": 1, "attached": 0} and shell.clock == 100.0
    bitfile.with_suffix(".hwh").write_text("")
    with Accelerator(bitfile) as net:
        assert net.validate()["mismatches"] == 0
    Accelerator(bitfile, download=False).close()
    Accelerator(str(bitfile), through="bitstream").close()
    assert loads == {"overlay": 1, "bitstream": 2, "attached": 1}


def attribute(name, value):
    return lambda shell, path: setattr(shell, name, value)


def register(name, value):
    return lambda shell, path: shell.read_only.update({name: value})


def description(**changes):
    return lambda shell, path: path.with_suffix(".json").write_text(json.dumps(body() | changes))


@pytest.mark.parametrize(
    ("spoil", "raised", "text"),
    [
        (register("ID", 0xDEADBEEF), errors.IdError, "0xDEADBEEF"),
        (register("BUILD", 1), errors.BuildError, "0x00000001, its description 0x1234ABCD"),
        (register("INPUT", 5), errors.LayoutError, "INPUT"),
        (register("OUTPUT", 5), errors.LayoutError, "OUTPUT"),
        (attribute("clock", 50.0), errors.ClockError, "50 MHz, not at 100"),
        (attribute("clock", 0.0), errors.ClockError, "0 MHz, not at 100"),
        (attribute("system", {0xF8000900: 0x0, 0xF8000240: 0}), errors.NotLoadedError, "cut off"),
        (attribute("system", {0xF8000900: 0xF, 0xF8000240: 1}), errors.NotLoadedError, "cut off"),
        (attribute("refusal", OSError(22, "no")), errors.BitstreamError, "it is no .bit file"),
        (attribute("refusal", RuntimeError("no")), errors.BitstreamError, "it is no .bit file"),
        (attribute("narrow", {0: 1, 0x14: 0}), errors.PortWidthError, "for read"),
        (attribute("narrow", {0: 1, 0x14: 1}), errors.PortWidthError, "for read and write"),
        (lambda s, p: p.with_suffix(".json").unlink(), errors.DescriptionError, "missing"),
        (description(schema=2), errors.DescriptionError, "schema 2"),
        (description(images={}), errors.DescriptionError, "shape"),
        (description(build="x"), errors.DescriptionError, "ValueError"),
        (lambda s, p: p.unlink(), FileNotFoundError, "small.bit"),
    ],
)
def test_what_is_wrong_on_opening_is_said(spoil, raised, text, loads, shell, bitfile):
    bitfile.with_suffix(".hwh").write_text("")
    before = dict(vars(shell)), dict(shell.read_only)
    spoil(shell, bitfile)
    with pytest.raises(raised, match=text):
        Accelerator(bitfile)
    vars(shell).update(before[0] | {"read_only": before[1]})
    bitfile.write_bytes(b"")
    description()(shell, bitfile)
    with Accelerator(bitfile) as net:
        assert net.validate()["mismatches"] == 0


def test_the_port_is_widened_on_demand(loads, shell, bitfile):
    shell.narrow = {0x00: 0xF01, 0x14: 0xF01}
    Accelerator(bitfile, set_width=True).close()
    assert shell.read(AFI) == shell.read(AFI + 0x14) == 0xF00


def test_without_pynq(monkeypatch, bitfile):
    monkeypatch.setitem(sys.modules, "pynq", None)
    with pytest.raises(errors.NoPynqError):
        Accelerator(bitfile)


# Faults.


def works(net) -> bool:
    images = pictures(7, 7)
    return np.array_equal(net.execute(images), expected(images))


@pytest.mark.parametrize(
    ("fault", "raised"),
    [*errors.OF_FIELD.items(), ("hang", errors.HangError)],
)
def test_a_fault_has_its_exception_and_the_next_batch_works(fault, raised, net, shell):
    shell.fault = fault
    with pytest.raises(raised):
        net.execute(pictures(COUNT))
    assert shell.resets == 1 and works(net)
    shell.fault = fault
    with pytest.raises(raised):
        net.execute_async(pictures(COUNT)).result(timeout=10)
    assert works(net)


def test_a_clock_that_stands_still(net, shell):
    shell.fault, shell.step = "hang", 0
    with pytest.raises(errors.ClockError, match="stands still"):
        net.execute(pictures(COUNT))
    shell.step = 100
    assert works(net)


def test_memory_that_does_not_answer(net, shell):
    shell.fault, shell.never_resets = "TIMEOUT", False
    batch = shell.batch

    def never() -> None:
        batch()
        shell.never_resets = True

    shell.batch = never
    with pytest.raises(errors.ResetError) as caught:
        net.execute(pictures(COUNT))
    assert isinstance(caught.value.__context__, errors.StallError)
    with pytest.raises(errors.ResetError):
        net.execute(pictures(COUNT))
    shell.batch, shell.never_resets = batch, False
    assert works(net)
    net.reload()
    assert works(net)


def test_what_another_program_left_behind_is_reset(net, shell):
    shell.read_only["ERROR"] = 1
    assert works(net) and shell.resets == 1


def test_a_buffer_freed_early(net):
    buffers = net.allocate(4)
    images = pictures(4)
    net.pack(images, buffers)
    buffers.input.freebuffer()
    with pytest.raises(errors.FreedBufferError, match="input"):
        net.run(buffers, 4)
    with pytest.raises(errors.FreedBufferError):
        net.pack(images, buffers)
    assert works(net)


def test_results_that_the_program_wrote_over_are_not_evicted(net):
    buffers = net.allocate(4)
    images = pictures(4)
    net.pack(images, buffers)
    buffers.output[:] = 0xEE
    net.run(buffers, 4)
    assert np.array_equal(np.asarray(buffers.output), expected(images))


def test_buffers_of_one_s_own(net):
    buffers = net.allocate(10)
    images = pictures(4)
    net.pack(images, buffers)
    net.run(buffers, 4)
    assert np.array_equal(np.asarray(buffers.output)[:4], expected(images))
    with pytest.raises(errors.ImagesError, match="11 images"):
        net.pack(pictures(11), buffers)
    for count in (0, 11):
        with pytest.raises(errors.ImagesError):
            net.run(buffers, count)


def test_wrong_images(net):
    for images in (np.zeros((3, 5, 5), np.uint8), np.zeros((3, 6, 4))):
        with pytest.raises(errors.ImagesError):
            net.execute(images)
    assert works(net)


def test_a_wait_for_another_thread_is_bounded(net, monkeypatch):
    monkeypatch.setattr(hanbit_board.accelerator, "LOCK_SECONDS", 0.05)
    with net._lock, pytest.raises(errors.BusyError):
        net.execute(pictures(1))
    assert works(net)


def test_closed(net):
    assert works(net)
    net.close()
    net.close()
    for call in (net.execute, net.execute_async):
        with pytest.raises(errors.ClosedError):
            call(pictures(1))
