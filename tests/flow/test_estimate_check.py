"""The bench of estimates: what it compares, and the table it prints."""

from flow.rtl.estimate_check import bench, cases, table


def test_estimates_are_near_what_is_synthesised(tmp_path):
    chosen = ["576 x 128, PE 8, SIMD 24, block RAM", "pool of 28 x 28 x 64, PE 16"]
    every = cases()
    result = bench(tmp_path, {name: every[name] for name in chosen})
    *rows, total = result["rows"]
    assert [row["case"] for row in rows] == chosen
    for row in result["rows"]:
        assert abs(row["lut_error_percent"]) <= 15, row
        assert row["estimated"]["bram36"] == row["synthesised"]["bram36"]
    assert total["synthesised"]["lut"] == sum(row["synthesised"]["lut"] for row in rows)
    layers, _, networks = table(result).partition("\n\n")
    assert len(layers.splitlines()) == 2 + len(result["rows"])
    assert len(networks.splitlines()) == 2 + len(result["routed"])
    for lines in (layers.splitlines(), networks.splitlines()):
        assert len({line.count("|") for line in lines}) == 1
