"""The bench of speeds: each folding simulated and synthesised once, a table and a picture."""

from convolutions import ConvNetwork

from flow.lowering import foreign
from flow.lowering.lower import lower
from flow.rtl import speeds


def test_foldings_are_simulated_synthesised_and_kept(tmp_path, monkeypatch, capsys):
    network = ConvNetwork(channels=(3,), kernels=(3,), strides=(1,), pools=(2,))
    path = network.save(tmp_path / "net.onnx")
    graph = lower(path, foreign.golden(path, network.images(4))).graph
    monkeypatch.setattr(speeds, "SPEEDS", ((100_000, 900, None), (400_000, 2000, 10_000)))
    monkeypatch.setattr(speeds, "ESTIMATED", (50_000, 100_000, 400_000))
    found = speeds.bench("net", graph, network.images(6), tmp_path)
    assert [row["mismatches"] for row in found["rows"]] == [0, 0]
    for row in found["rows"]:
        assert row["images_per_second"] >= row["wanted_images_per_second"]
        assert row["synthesised"]["lut"] > 0 and row["latency_cycles"] > 0
    text = speeds.table(found)
    assert "| 3329 | FINN, published | 1.015 ms | 21886 |" in text and "bit-exact" in text
    assert (tmp_path / "front.png").read_bytes().startswith(b"\x89PNG")
    capsys.readouterr()
    again = speeds.bench("net", graph, network.images(6), tmp_path)
    assert again == found and "synthesis" not in capsys.readouterr().out
